"""A copy of an ISO in which some files hold something else, and all the rest is as it was.

pycdlib's in-place editor writes the files' own sectors and their folder entries, so what makes the image
boot from a CD or a stick (boot sectors, El Torito, partition tables) is not touched. A file can take as many
bytes as its sectors hold, and none can be added.
"""

import contextlib
import io
import shutil
import struct
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pycdlib
from pycdlib.pycdlibexception import PyCdlibException

from provider.errors import UserError
from provider.images.iso.reader import DESCRIPTORS, SECTOR, Iso

if sys.platform == "linux":
    import fcntl

_FICLONE = 0x40049409
"""Linux's request to let one file share another's blocks."""


def room(iso: Iso, path: str) -> int:
    """Bytes that a file can hold without growing; 0 when it is not there."""
    return -(-(iso.size(path) or 0) // SECTOR) * SECTOR


def carrier(iso: Iso, candidates: Sequence[str], length: int, name: str) -> str:
    """The first of some files that nobody needs which can hold `length` bytes. UserError: none can."""
    for path in candidates:
        if length <= room(iso, path):
            return path
    there = ", ".join(f"{path} {room(iso, path)}" for path in candidates if room(iso, path))
    raise UserError(
        f"{name}: the answers to the installer's questions have {length} bytes and fit into no file of the "
        f"ISO that could hold them (bytes of room: {there or 'no such file'}); use the distribution's own, "
        "unchanged ISO"
    )


def check(iso: Iso, changes: Mapping[str, bytes], name: str) -> None:
    """UserError when a new content does not fit the file's old place, before anything is copied."""
    for path, content in changes.items():
        if len(content) > room(iso, path):
            raise UserError(
                f"{name}: the new {path} has {len(content)} bytes; the ISO has room for {room(iso, path)}; "
                "use the distribution's own, unchanged ISO"
            )


def edited_copy(source: Path, target: Path, changes: Mapping[str, bytes]) -> None:
    """Write `target` as `source` with other contents of some files, by path. UserError: the disk is full."""
    try:
        clone(source, target)
        target.chmod(0o600)
        with pycdlib.InPlaceEditor(str(target)) as editor:
            for path, content in changes.items():
                editor.modify_file(io.BytesIO(content), len(content), rr_path=path)
        _same_descriptors(source, target)
    except (OSError, PyCdlibException, struct.error) as error:
        target.unlink(missing_ok=True)
        raise UserError(f"{source.name}: no edited copy could be made in {target.parent}: {error}") from error


def _same_descriptors(source: Path, target: Path) -> None:
    """Undo the new date of modification: boot loaders and Linux take it for the file system's UUID."""
    with source.open("rb") as old, target.open("r+b") as new:
        old.seek(DESCRIPTORS)
        new.seek(DESCRIPTORS)
        while (sector := old.read(SECTOR))[1:6] == b"CD001":
            new.write(sector)


def clone(source: Path, target: Path) -> None:
    """Copy a file; on a file system that can do so, at no cost of space."""
    with source.open("rb") as old, target.open("wb") as new:
        if sys.platform == "linux":
            with contextlib.suppress(OSError):
                fcntl.ioctl(new.fileno(), _FICLONE, old.fileno())
                return
        shutil.copyfileobj(old, new, 1 << 20)
