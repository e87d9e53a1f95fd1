"""An exclusive lock on a file, held by the kernel for as long as the file is open somewhere.

It ends with its holder, kill -9 included; a child process given the descriptor holds it too.
"""

import os
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

if sys.platform == "win32":
    import msvcrt

    def _try_lock(descriptor: int) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _try_lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


class FileLock:
    """Use as a context manager; what `try_acquire` got is given back at its end. The file stays."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._descriptor)

    def try_acquire(self) -> bool:
        """True when the lock is now held by this object (also when it was before)."""
        try:
            _try_lock(self._descriptor)
        except OSError:
            return False
        return True

    def fileno(self) -> int:
        return self._descriptor
