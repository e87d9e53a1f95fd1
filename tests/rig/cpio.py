"""Reads a gzipped cpio archive back with Debian's own reader of the format, busybox."""

import gzip
import stat
import subprocess
import tempfile
from pathlib import Path


def unpack(data: bytes) -> dict[str, tuple[int, bytes]]:
    """Mode and content of each file by path."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            ["busybox", "cpio", "-idm"],
            cwd=folder,
            input=gzip.decompress(data),
            capture_output=True,
            check=True,
        )
        files = [path for path in Path(folder).rglob("*") if stat.S_ISREG(path.lstat().st_mode)]
        return {str(path.relative_to(folder)): (path.lstat().st_mode, path.read_bytes()) for path in files}
