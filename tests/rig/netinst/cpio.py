"""The archive format of an initramfs (cpio, newc), read and written whole."""

import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

HEADER = 110
FIELDS = 13
MAGIC = b"070701"
END = "TRAILER!!!"
_INO, _MODE, _UID, _GID, _NLINK, _MTIME, _SIZE = range(7)


@dataclass(frozen=True)
class Entry:
    """`numbers` are the header's, name and size excepted: inode, mode, uid, gid, links, time, devices."""

    name: str
    content: bytes
    numbers: tuple[int, ...]

    @property
    def mode(self) -> int:
        return self.numbers[_MODE]


def file(name: str, content: bytes, mode: int = 0o644, kind: int = stat.S_IFREG) -> Entry:
    """root's, with no other link."""
    return Entry(name, content, (0, kind | mode, 0, 0, 1, 0, 0, 0, 0, 0))


def read(archive: bytes) -> Iterator[Entry]:
    offset = 0
    while archive[offset : offset + 6] == MAGIC:
        words = [archive[offset + 6 + 8 * n : offset + 14 + 8 * n] for n in range(FIELDS)]
        values = [int(word, 16) for word in words]
        size, length = values[_SIZE], values[11]
        begin = offset + HEADER
        name = archive[begin : begin + length - 1].decode()
        data = _aligned(begin + length)
        if name == END:
            return
        numbers = (*values[:_SIZE], *values[7:11])
        yield Entry(name, archive[data : data + size], numbers)
        offset = _aligned(data + size)


def write(entries: Iterable[Entry]) -> bytes:
    return b"".join([*(_packed(entry) for entry in entries), _packed(Entry(END, b"", (0,) * 10))])


def _packed(entry: Entry) -> bytes:
    name = entry.name.encode() + b"\0"
    before, after = entry.numbers[:_SIZE], entry.numbers[_SIZE:]
    values = (*before, len(entry.content), *after, len(name), 0)
    header = MAGIC + b"".join(b"%08X" % value for value in values) + name
    return header + bytes(-len(header) % 4) + entry.content + bytes(-len(entry.content) % 4)


def _aligned(offset: int) -> int:
    return offset + -offset % 4
