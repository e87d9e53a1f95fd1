"""The beginning of a VirtualBox disk, laid out as VirtualBox 7 writes it."""

import uuid

NONE = uuid.UUID(int=0)


def vdi(own: uuid.UUID, parent: uuid.UUID = NONE) -> bytes:
    """The header: a text, signature and version at 64, the disk's own UUID at 392, its parent's at 424."""
    head = bytearray(512)
    head[:39] = b"<<< Oracle VirtualBox Disk Image >>>\n\0\0"
    head[64:72] = bytes.fromhex("7f10dabe01000100")
    head[392:408], head[424:440] = own.bytes_le, parent.bytes_le
    return bytes(head)
