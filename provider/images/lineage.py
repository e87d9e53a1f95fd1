"""What a machine's disk builds on, read from the disk itself: no hypervisor is asked."""

import os
import struct
import uuid
from pathlib import Path

QCOW2 = b"QFI\xfb"
LONGEST_NAME = 1023
VDI_SIGNATURE, VDI_OWN, VDI_PARENT = (0x40, b"\x7f\x10\xda\xbe"), 0x188, 0x1A8
"""Offsets in the header of a VirtualBox disk; its UUIDs are little-endian."""
NO_UUID = uuid.UUID(int=0)

Parent = Path | uuid.UUID
"""A qcow2 disk names its backing file, a VirtualBox disk the UUID of another."""


def parent_of(disk: Path) -> Parent | None:
    """None for a disk that stands by itself, and for a file that is no disk."""
    head = _head(disk)
    if head.startswith(QCOW2):
        return _backing_file(disk, head)
    found = _uuid(head, VDI_PARENT)
    return None if found in (None, NO_UUID) else found


def is_parent(parent: Parent, folder: Path) -> bool:
    """Whether a disk with that parent builds on the image in the folder."""
    if isinstance(parent, Path):
        return parent.resolve().parent == folder.resolve()
    return any(_uuid(_head(disk), VDI_OWN) == parent for disk in folder.glob("*.vdi"))


def _head(disk: Path) -> bytes:
    try:
        with disk.open("rb") as file:
            return file.read(512)
    except OSError:
        return b""


def _backing_file(disk: Path, head: bytes) -> Path | None:
    try:
        offset, length = struct.unpack(">QI", head[8:20])
        if not offset or length > LONGEST_NAME:
            return None
        with disk.open("rb") as file:
            file.seek(offset)
            return disk.parent / os.fsdecode(file.read(length))
    except (OSError, struct.error, ValueError):
        return None


def _uuid(head: bytes, offset: int) -> uuid.UUID | None:
    place, signature = VDI_SIGNATURE
    if head[place : place + len(signature)] != signature or len(head) < offset + 16:
        return None
    return uuid.UUID(bytes_le=head[offset : offset + 16])
