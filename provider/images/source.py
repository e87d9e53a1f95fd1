"""What a base image is made from, as it stands on the wire: judged, and reduced to what decides its content.

A mirror, an address and a path are only ways; the content is decided by the sum of the file they lead to
(`digest`), or by the release that is unpacked.
"""

import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from provider.errors import UserError
from provider.images import checksums, recipe, web
from provider.images.checksums import HEX, Known

Source = Mapping[str, Any]
PACKAGES = "packages"
FILES = ("iso", "cloud")
FILE_KEYS = frozenset(("from", "url", "path", "sha256", "mirror"))
KEYS: Mapping[str, frozenset[str]] = {
    PACKAGES: frozenset(("from", "release", "mirror")),
    **dict.fromkeys(FILES, FILE_KEYS),
}
MIRRORS = {PACKAGES: ("http://", "https://", "file:"), **dict.fromkeys(FILES, ("http://", "https://"))}


def completed(source: Source) -> dict[str, Any]:
    """With the defaults of what was left out."""
    kind = source.get("from", PACKAGES)
    release = {"release": recipe.RELEASE} if kind == PACKAGES else {}
    return {"from": kind, **release, **source}


def judged(source: Source, unknown: str) -> list[str]:
    """What is wrong with a completed source by itself; values that are `unknown` pass."""
    kind = source["from"]
    if kind == unknown:
        return []
    if kind not in KEYS:
        return [f'source.from: got "{kind}"; need {", ".join(KEYS)}']
    return [*_wrong_keys(source, kind), *_wrong_values(source, kind, unknown)]


def _wrong_keys(source: Source, kind: str) -> Iterator[str]:
    known = ", ".join(sorted(KEYS[kind]))
    for key in source:
        if key not in KEYS[kind]:
            yield f"source.{key}: unknown key with from: {kind}; need one of {known}"


def _wrong_values(source: Source, kind: str, unknown: str) -> Iterator[str]:
    given = {key: value for key, value in source.items() if value != unknown}
    mirror = str(given.get("mirror") or "")
    if mirror and not mirror.startswith(MIRRORS[kind]):
        yield f'source.mirror: got "{mirror}"; need a URL; try http://…/debian'
    if kind == PACKAGES:
        if given.get("release", recipe.RELEASE) not in recipe.RELEASES:
            yield f'source.release: got "{given["release"]}"; need {" or ".join(recipe.RELEASES)}'
        return
    if ("url" in source) == ("path" in source):
        got = "url and path" if "url" in source else "neither"
        yield f"source: got {got}; need exactly one of url and path"
    if "url" in given and not web.is_address(str(given["url"])):
        yield f'source.url: got "{given["url"]}"; need an http or https address'
    if "url" in source and "sha256" not in source:
        yield "source.sha256: got nothing; need 64 hex digits, or the address or path of a SHA256SUMS file"


def unsupported_here(source: Source) -> str:
    """Why this computer cannot make an image from the source, or ""."""
    if source["from"] == PACKAGES and sys.platform != "linux":
        return (
            "base.from: packages can be unpacked on Linux alone; "
            "set base to an installer ISO (from: iso) or a cloud image (from: cloud)"
        )
    return ""


def identity(source: Source, digest: str) -> dict[str, Any]:
    """The part of an image's spec that its source decides."""
    if source["from"] == PACKAGES:
        return {"from": PACKAGES, "release": source["release"]}
    return {"from": source["from"], "sha256": digest}


def local_file(source: Source, project: Path) -> Path | None:
    """The user's own file, when the source is one; a relative path begins in the project."""
    path = source.get("path")
    return None if path is None else project / Path(path).expanduser()


def ready(source: Source, digest: str, project: Path) -> dict[str, Any]:
    """The source as a builder wants it: `sha256` is the file's own sum, `path` is absolute."""
    if source["from"] == PACKAGES:
        return dict(source)
    path = local_file(source, project)
    return {**source, "sha256": digest, **({} if path is None else {"path": str(path)})}


def digest_of(
    source: Source,
    project: Path,
    known: Known,
    progress: Callable[[str], None],
    cancelled: threading.Event,
) -> str:
    """The sum of the source's file: given, listed in a SHA256SUMS file, or computed. UserError: neither."""
    given = source.get("sha256")
    if given is not None and HEX.fullmatch(str(given).lower()):
        return str(given).lower()
    path = local_file(source, project)
    if given is not None:
        name = path.name if path else web.last_part(source["url"])
        return checksums.listed(str(given), name, project)
    if path is None or not path.is_file():
        raise UserError(missing(path or Path()))
    return known.sum_of(path, progress, cancelled)


def missing(path: Path) -> str:
    what = "is a folder" if path.is_dir() else "does not exist"
    return f"base.path: {path} {what}; need the path of a file; a relative one begins in the project's folder"
