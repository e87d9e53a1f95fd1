"""What an installer ISO is, read from the ISO itself: its name and its address may say anything."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from provider.errors import UserError
from provider.images import recipe
from provider.images.iso.reader import Iso, opened

ARCHITECTURE = "amd64"
DEBIAN, UBUNTU = (
    tuple(release for name, release in recipe.SYSTEMS if name == distribution)
    for distribution in ("debian", "ubuntu")
)
"""Releases by code name: those that the finish can do."""

_NUMBERS = {"bookworm": "12", "trixie": "13", "noble": "24.04"}
_DEBIAN = re.compile(
    r'Debian GNU/Linux (?P<version>\S+) "(?P<release>\w+)" - .*?\b(?P<architecture>[a-z0-9]+) '
    r"(?P<medium>NETINST|(?:CD|DVD|BD|DLBD|STICK\d+GB) Binary-(?P<number>\d+))"
)
_UBUNTU = re.compile(
    r'(?P<flavour>Ubuntu[\w-]*) (?P<version>\S+)(?: LTS)? "(?P<release>\w+)[^"]*" - .*?'
    r"\b(?P<architecture>amd64|arm64|i386|ppc64el|s390x|riscv64|armhf)\b"
)


@dataclass(frozen=True)
class Installer:
    """`release` is the code name, `version` as the ISO has it (`13.1.0`); `kind` is `netinst`, `disc`
    (the first CD, DVD or BD) or `live-server`. `kernel` and `initrd` are paths in the ISO."""

    distribution: Literal["debian", "ubuntu"]
    release: str
    version: str
    kind: Literal["netinst", "disc", "live-server"]
    kernel: str
    initrd: str

    @property
    def title(self) -> str:
        """`Debian 13.1.0 (trixie)`"""
        return f"{self.distribution.capitalize()} {self.version} ({self.release})"


def known() -> str:
    """The list of what can be installed, for people."""
    debian = ", ".join(f"{_NUMBERS.get(name, '?')} ({name})" for name in DEBIAN)
    ubuntu = ", ".join(f"{_NUMBERS.get(name, '?')} ({name})" for name in UBUNTU)
    return f"Debian {debian} netinst or first CD, DVD or BD; Ubuntu Server {ubuntu}; both for {ARCHITECTURE}"


def recognise(path: Path) -> Installer:
    """UserError: not an ISO, truncated, damaged, or an ISO that is not known, named by what it says it is."""
    with opened(path) as iso:
        return identify(iso, path.name)


def identify(iso: Iso, name: str) -> Installer:
    """The installer on an open ISO; `name` is the file's, for the error."""
    info = (iso.text("/.disk/info", 4096).splitlines() or [""])[0].strip()
    if match := _DEBIAN.search(info):
        return _debian(iso, name, info, match)
    if match := _UBUNTU.search(info):
        return _ubuntu(iso, name, info, match)
    raise _refused(name, f'is "{info or iso.volume or "an ISO without a name"}"', "")


def _debian(iso: Iso, name: str, info: str, match: re.Match[str]) -> Installer:
    # What the archive on the disc says counts; a daily build's title has no code name to rely on.
    release = _archive_release(iso) or match["release"].lower()
    what = f'is "{info}"'
    if match["architecture"] != ARCHITECTURE:
        raise _refused(name, what, f", which is for {match['architecture']}")
    if release not in DEBIAN:
        raise _refused(name, what, f", whose release {release} is not supported")
    if match["number"] not in (None, "1"):
        raise _refused(name, what, ", which is not the first of its set")
    kernel, initrd = "/install.amd/vmlinuz", "/install.amd/initrd.gz"
    _check_files(iso, name, what, (kernel, initrd))
    kind: Literal["netinst", "disc"] = "netinst" if match["number"] is None else "disc"
    return Installer("debian", release, match["version"], kind, kernel, initrd)


def _ubuntu(iso: Iso, name: str, info: str, match: re.Match[str]) -> Installer:
    release, what = match["release"].lower(), f'is "{info}"'
    if match["flavour"] != "Ubuntu-Server":
        raise _refused(name, what, ", which is not the server's")
    if match["architecture"] != ARCHITECTURE:
        raise _refused(name, what, f", which is for {match['architecture']}")
    if release not in UBUNTU:
        raise _refused(name, what, f", whose release {release} is not supported")
    kernel, initrd = "/casper/vmlinuz", "/casper/initrd"
    _check_files(iso, name, what, (kernel, initrd))
    return Installer("ubuntu", release, match["version"], "live-server", kernel, initrd)


def _archive_release(iso: Iso) -> str:
    """The code name in the Release file of the disc's own archive, "" without one."""
    for folder in iso.folders("/dists"):
        found = re.search(r"^Codename:\s*(\S+)", iso.text(f"/dists/{folder}/Release"), re.MULTILINE)
        if found:
            return found[1].lower()
    return ""


def _check_files(iso: Iso, name: str, what: str, paths: tuple[str, ...]) -> None:
    missing = [path for path in paths if not iso.size(path)]
    if missing:
        raise _refused(name, what, f", but has no {' and no '.join(missing)}")


def _refused(name: str, what: str, why: str) -> UserError:
    return UserError(f"{name}: {what}{why}; it cannot be installed unattended; need one of: {known()}")
