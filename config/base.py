"""The stack config's `base`: where the machines' base image comes from."""

import re
from typing import Any

from config.model import Base
from config.reader import Problems, Section, shown

KEYS = ("from", "release", "url", "path", "sha256", "mirror")
PACKAGES = "packages"
SOURCES = {PACKAGES: "Debian packages", "iso": "an installer ISO", "cloud": "a cloud image"}
FILE_KEYS = ("url", "path", "sha256")
DEFAULT_RELEASE = "trixie"

HEX = r"[0-9A-Fa-f]{64}"
ADDRESS = r"https?://[^\s\"'/]+/[^\s\"']*[^\s\"'/]"
FILE = r"(?!\w{2,}:)[^\s](?:.*[^\s])?"
"""A file's name; something with a scheme before it is none (C: is a drive)."""
CUT_SHORT = r"(?:sha256:)?[0-9A-Fa-f]{16,}"
"""A sum that is too long or too short, and no file's name."""
SUM = "64 hex digits, or the address or path of a SHA256SUMS file that names {}"


def base(problems: Problems, raw: Any) -> Base:
    """Notes all that is wrong: exactly one of `url` and `path` for a file, none of them for packages."""
    section = Section(problems, "base", raw, KEYS)
    source = section.choice("from", tuple(SOURCES))
    if section.has("from") and section.raw["from"] != source:
        return Base(PACKAGES)
    if source == PACKAGES:
        return _packages(section)
    return _file(section, source)


def _packages(section: Section) -> Base:
    for key in FILE_KEYS:
        if section.has(key):
            section.refuse(key, f"no {key} where the source is packages", "from: iso or from: cloud")
    release = section.text("release", r"[a-z]+", "the code name of a Debian release", DEFAULT_RELEASE)
    mirror = section.text(
        "mirror",
        r"(?:https?://|file:/)[^\s\"']+",
        "the http, https or file address of a Debian mirror",
        "no mirror at all",
    )
    return Base(PACKAGES, release=release or DEFAULT_RELEASE, mirror=mirror)


def _file(section: Section, source: str) -> Base:
    what = SOURCES[source]
    if section.has("release"):
        section.refuse("release", f"none, as the release is read from {what}", "leaving it out")
    mirror = section.text(
        "mirror",
        r"https?://[^\s\"']+",
        "the http or https address of a mirror of its distribution",
        "no mirror at all",
    )
    url, path = _place(section, what, ".iso" if source == "iso" else ".qcow2")
    return Base(source, mirror=mirror, url=url, path=path, sha256=_sum(section, url, path))


def _place(section: Section, what: str, suffix: str) -> tuple[str | None, str | None]:
    given = [key for key in ("url", "path") if section.has(key)]
    if len(given) != 1 and not section.broken:
        got = " and ".join(given) or "neither of them"
        attempt = f"{given[0]} alone" if given else f"path: image{suffix}"
        section.problems.add(section.path, got, "exactly one of url and path", attempt)
    url = section.text("url", ADDRESS, f"the http or https address of {what}", f"path: image{suffix}")
    path = section.text("path", FILE, f"the file name of {what}", f"image{suffix}")
    return url, path


def _sum(section: Section, url: str | None, path: str | None) -> str | None:
    """A sum in small letters; a file's own sum is computed when none is given."""
    name = (url or path or "the file").rsplit("/", 1)[-1]
    need = SUM.format(name)
    beside = f"{url.rsplit('/', 1)[0]}/SHA256SUMS" if url else "leaving it out"
    if not section.has("sha256"):
        if url:
            section.problems.add(section.field("sha256"), "nothing", need, beside)
        return None
    given = section.raw["sha256"]
    if isinstance(given, str) and re.fullmatch(CUT_SHORT, given) and not re.fullmatch(HEX, given):
        got = f"{shown(given)} ({len(given)} characters)"
        section.problems.add(section.field("sha256"), got, need, beside)
        return None
    text = section.text("sha256", f"{HEX}|{ADDRESS}|{FILE}", need, beside)
    return text.lower() if text and re.fullmatch(HEX, text) else text
