"""Reads files out of an ISO 9660 image by their Rock Ridge names; a damaged image is a UserError."""

import io
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pycdlib
from pycdlib.pycdlibexception import PyCdlibException

from provider.errors import UserError

SECTOR = 2048
MIB = 1 << 20
DESCRIPTORS = 16 * SECTOR
"""Where the volume descriptors begin, the primary one first."""
_SIZE_FIELD = 80
"""Where the primary volume descriptor holds its number of sectors (little endian, then big endian)."""


class Iso:
    """An open image. Paths are absolute (`/boot/grub/grub.cfg`)."""

    def __init__(self, image: pycdlib.PyCdlib) -> None:
        self._image = image

    @property
    def volume(self) -> str:
        """The volume id, without the blanks that fill it up."""
        return bytes(self._image.pvd.volume_identifier).decode(errors="replace").strip()

    def size(self, path: str) -> int | None:
        """Bytes of a file; None when there is none of that name."""
        try:
            record = self._image.get_record(rr_path=path)
        except PyCdlibException:
            return None
        return int(record.get_data_length()) if record.is_file() else None

    def folders(self, path: str) -> list[str]:
        """Names of the folders in a folder, sorted; none when it is not there."""
        try:
            children = list(self._image.list_children(rr_path=path))
        except PyCdlibException:
            return []
        found = (child.rock_ridge.name().decode(errors="replace") for child in children if child.is_dir())
        return sorted(name for name in found if name not in ("", ".", ".."))

    def read(self, path: str) -> bytes:
        """A whole file, which must be there."""
        buffer = io.BytesIO()
        self._image.get_file_from_iso_fp(buffer, rr_path=path)
        return buffer.getvalue()

    def text(self, path: str, limit: int = MIB) -> str:
        """A text file; "" when it is not there or has more bytes than any such file has."""
        size = self.size(path)
        return self.read(path).decode(errors="replace") if size is not None and size <= limit else ""


@contextmanager
def opened(path: Path) -> Iterator[Iso]:
    """The image in a file. UserError: not an ISO, truncated, or damaged."""
    _check_whole(path)
    image = pycdlib.PyCdlib()
    try:
        image.open(str(path))
    except (PyCdlibException, struct.error, IndexError, ValueError) as error:
        raise UserError(f"{path.name}: the ISO image is damaged ({error}); fetch it again") from error
    try:
        yield Iso(image)
    finally:
        image.close()


def _check_whole(path: Path) -> None:
    """Ask the image itself how long it is, before anything is read that a truncated one does not have."""
    try:
        with path.open("rb") as stream:
            stream.seek(DESCRIPTORS)
            descriptor = stream.read(SECTOR)
    except OSError as error:
        raise UserError(f"{path.name}: cannot be read: {error.strerror}") from error
    if descriptor[:6] != b"\x01CD001":
        raise UserError(
            f"{path.name}: is not an ISO image; base.from: iso needs an installer's ISO, "
            "and a disk image (qcow2, raw, vmdk) needs from: cloud"
        )
    expected = int.from_bytes(descriptor[_SIZE_FIELD : _SIZE_FIELD + 4], "little") * SECTOR
    actual = path.stat().st_size
    if actual < expected:
        raise UserError(f"{path.name}: is truncated: has {actual} of {expected} bytes; fetch it again")
