"""Compressed layers, each compressed once on this computer and kept by the digest of its content."""

import hashlib
import os
import tempfile
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from provider.errors import UserError

LEVEL = 6
CHUNK = 1 << 20
KEPT_DAYS = 30
GZIP = b"\x1f\x8b"


@dataclass(frozen=True)
class Blob:
    """A file as a registry keeps it. `digest` is `sha256:...`, `size` bytes."""

    path: Path
    digest: str
    size: int


def packed(
    folder: Path, diff_id: str, open_layer: Callable[[], IO[bytes]], check: Callable[[], None]
) -> Blob:
    """The layer whose tar has the digest `diff_id`, gzipped; `open_layer` is only read when it is not kept.

    A layer that comes gzipped is kept as it is. UserError when the content has another digest.
    `check` is called between chunks and may raise.
    """
    folder.mkdir(parents=True, exist_ok=True)
    content = diff_id.removeprefix("sha256:")
    for path in folder.glob(f"{content}-*.gz"):
        os.utime(path)
        return Blob(path, f"sha256:{path.stem.partition('-')[2]}", path.stat().st_size)
    handle, name = tempfile.mkstemp(dir=folder, prefix="new-")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as out, open_layer() as layer:
            found, digest = _compress(layer, out, check)
        if found != content:
            raise UserError(f"a layer of the image is damaged: expected sha256:{content}, got sha256:{found}")
        path = folder / f"{content}-{digest}.gz"
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return Blob(path, f"sha256:{digest}", path.stat().st_size)


def forget_unused(folder: Path, now: float | None = None) -> None:
    """Remove what no image has used for a month; it would be compressed anew."""
    oldest = (now or time.time()) - KEPT_DAYS * 86400
    for path in folder.glob("*"):
        if path.stat().st_mtime < oldest:
            path.unlink(missing_ok=True)


def _compress(layer: IO[bytes], out: IO[bytes], check: Callable[[], None]) -> tuple[str, str]:
    """The digests (hex) of the tar and of what was written."""
    content, written = hashlib.sha256(), hashlib.sha256()
    first = layer.read(CHUNK)
    gzipped = first.startswith(GZIP)
    # No time and no name in the header: the same layer has the same bytes on any day.
    packer = zlib.compressobj(LEVEL, zlib.DEFLATED, 31)
    unpacker = zlib.decompressobj(31)

    def write(data: bytes) -> None:
        written.update(data)
        out.write(data)

    chunk = first
    while chunk:
        check()
        content.update(unpacker.decompress(chunk) if gzipped else chunk)
        write(chunk if gzipped else packer.compress(chunk))
        chunk = layer.read(CHUNK)
    if not gzipped:
        write(packer.flush())
    return content.hexdigest(), written.hexdigest()
