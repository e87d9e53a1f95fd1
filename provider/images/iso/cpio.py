"""An initial RAM disk of our own: files in cpio's "newc" format, gzipped. Pure.

The kernel unpacks one archive after the other over the same root. A plain archive must begin at a multiple
of four bytes or is passed over in silence; a gzipped one may begin anywhere.
"""

import gzip
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath


@dataclass(frozen=True)
class Member:
    """A file's content and permission bits."""

    content: bytes
    mode: int = 0o644


def archive(members: Mapping[str, Member]) -> bytes:
    """The gzipped archive of files by path (no leading slash), with the folders on the way to them."""
    return gzip.compress(b"".join(_records(members)), compresslevel=9, mtime=0)


def _records(members: Mapping[str, Member]) -> Iterator[bytes]:
    folders = {str(parent) for path in members for parent in PurePosixPath(path).parents} - {"."}
    number = 0
    for number, folder in enumerate(sorted(folders), 1):
        yield _record(number, folder, stat.S_IFDIR | 0o755, b"")
    for number, (path, member) in enumerate(sorted(members.items()), number + 1):  # noqa: B020
        yield _record(number, path, stat.S_IFREG | member.mode, member.content)
    yield _record(0, "TRAILER!!!", 0, b"")


def _record(number: int, path: str, mode: int, content: bytes) -> bytes:
    name = path.encode() + b"\0"
    links = 2 if stat.S_ISDIR(mode) else 1
    # inode, mode, uid, gid, links, mtime, size, device (4 numbers), length of the name, checksum
    numbers = (number, mode, 0, 0, links, 0, len(content), 0, 0, 0, 0, len(name), 0)
    header = b"070701" + b"".join(b"%08X" % value for value in numbers) + name
    return header + bytes(-len(header) % 4) + content + bytes(-len(content) % 4)
