"""Which builds are under way, so that what a killed one left behind is removed and no other's work is.

Each build holds a lock on a file of its own; the kernel ends it with the process. A file that nobody holds is
of a build that was broken off.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from uuid import uuid4

from provider.images.lock import FileLock


@contextmanager
def under_way(
    folder: Path, gate: Callable[[], AbstractContextManager[None]], sweep: Callable[[], None]
) -> Iterator[None]:
    """A build is under way as long as this is entered. When builds were broken off, this one or others
    before, and no other is under way, `sweep` is called. `gate` lets one process in at a time."""
    folder.mkdir(parents=True, exist_ok=True)
    mark = folder / f"{os.getpid()}-{uuid4().hex[:8]}"
    with gate():
        _sweep(folder, sweep)
        lock = FileLock(mark)
        lock.try_acquire()
    whole = False
    try:
        with lock:
            yield
        whole = True
    finally:
        with gate():
            if whole:
                mark.unlink()
            else:
                _sweep(folder, sweep)


def _sweep(folder: Path, sweep: Callable[[], None]) -> None:
    marks = list(folder.iterdir())
    if marks and all(map(_free, marks)):
        sweep()
        for mark in marks:
            mark.unlink()


def _free(mark: Path) -> bool:
    with FileLock(mark) as lock:
        return lock.try_acquire()
