"""SHA-256 sums: of files, and out of SHA256SUMS files as the distributions publish them."""

import hashlib
import json
import os
import re
import tempfile
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from provider.errors import Cancelled, UserError
from provider.images import web

HEX = re.compile(r"[0-9a-f]{64}")
_LINE = re.compile(r"\\?(?P<sum>[0-9A-Fa-f]{64})[ \t]+\*?(?P<name>\S.*)")
_BSD_LINE = re.compile(r"SHA256 \((?P<name>.+)\) = (?P<sum>[0-9A-Fa-f]{64})")
CHUNK = 1 << 20
SHOWN_FROM = 256 << 20
"""Bytes from which computing a sum takes long enough to be told."""


def sha256_of(path: Path, progress: Callable[[str], None], cancelled: threading.Event) -> str:
    """The sum of a file in hex. Raises Cancelled, and UserError when the file cannot be read."""
    total = hashlib.sha256()
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_size >= SHOWN_FROM:
                progress(f"checking {path.name}")
            while chunk := file.read(CHUNK):
                if cancelled.is_set():
                    raise Cancelled(f"{path.name}: stopped computing its sum")
                total.update(chunk)
    except OSError as error:
        raise UserError(f"base image: {path} cannot be read: {error.strerror}; check its rights") from None
    return total.hexdigest()


def parse(text: str) -> Mapping[str, str]:
    """File name without folders -> sum, from the lines `sum  name`, `sum *name` and `SHA256 (name) = sum`."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        match = _LINE.fullmatch(line.strip()) or _BSD_LINE.fullmatch(line.strip())
        if match:
            found.setdefault(match["name"].rsplit("/", 1)[-1], match["sum"].lower())
    return found


def listed(place: str, name: str, project: Path) -> str:
    """The sum of the file `name` in the SHA256SUMS file at an address or path. UserError: none there."""
    text = _fetched(place) if web.is_address(place) else _read(project / Path(place).expanduser())
    sums = parse(text)
    if name in sums:
        return sums[name]
    names = ", ".join(sorted(sums)[:5]) + (f" and {len(sums) - 5} more" if len(sums) > 5 else "")
    held = f"it names {names}" if sums else "it holds no SHA-256 sums"
    raise UserError(
        f"base.sha256: {place} does not name {name}; {held}; "
        "try the SHA256SUMS beside the file, or the file's 64 hex digits"
    )


def _fetched(address: str) -> str:
    try:
        return web.read_text(address)
    except web.WebError as error:
        raise UserError(
            f"base.sha256: {address} cannot be read: {error}; "
            "check the address and the network, or give the 64 hex digits themselves"
        ) from None


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError as error:
        raise UserError(
            f"base.sha256: {path} cannot be read: {error.strerror}; "
            "try the path of a SHA256SUMS file, or 64 hex digits"
        ) from None


class Known:
    """Sums of the user's own files, kept by size and time, so that a large file is read once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def sum_of(self, path: Path, progress: Callable[[str], None], cancelled: threading.Event) -> str:
        """The sum of an existing file. Raises as `sha256_of`."""
        facts = path.stat()
        place = str(path.resolve())
        now = {"path": place, "size": facts.st_size, "mtime": facts.st_mtime_ns}
        note = self._folder / f"{hashlib.sha256(os.fsencode(place)).hexdigest()[:32]}.json"
        with suppress(OSError, ValueError, KeyError, TypeError):
            known = json.loads(note.read_text())
            if {key: known[key] for key in now} == now:
                return str(known["sha256"])
        found = sha256_of(path, progress, cancelled)
        with suppress(OSError):  # a cache that cannot be written still serves
            _replace(note, json.dumps({**now, "sha256": found}))
        return found


def _replace(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=".note-", delete=False) as file:
        file.write(text)
    Path(file.name).replace(path)
