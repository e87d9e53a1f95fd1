"""The helpers that we run (builds, copies) end with us, even when we are killed by SIGKILL.

A small process of our own waits for our end of a pipe to close, which only our end does, and ends them.
Machines are in sessions of their own that nobody names here: they stay. Windows has no process groups to
end, so there this does nothing and a plugin that is killed leaves a running build to its own end.
"""

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

OPEN_FILES = 1024
"""More files than we have open before the service starts."""
NOT_STARTED = -1
GRACE = 3.0
"""Seconds between asking a helper to end and killing it."""
POLL = 0.05

_lifeline = NOT_STARTED


def start() -> None:
    """Guard our process group from now on. Call before any thread is started."""
    global _lifeline
    if sys.platform == "win32":
        return
    if os.getpgid(0) != os.getpid():
        os.setpgid(0, 0)
    ours = os.getpid()
    theirs, _lifeline = os.pipe()
    if os.fork() == 0:
        os.close(_lifeline)
        _wait_and_end(ours, theirs)
    os.close(theirs)


@contextmanager
def ends_with_us(group: int) -> Iterator[None]:
    """Meanwhile, this other process group is ended too when we are gone."""
    _tell(f"+{group}\n")
    try:
        yield
    finally:
        _tell(f"-{group}\n")


def _tell(line: str) -> None:
    if _lifeline != NOT_STARTED:
        os.write(_lifeline, line.encode())


def _wait_and_end(ours: int, lifeline: int) -> NoReturn:
    try:
        os.setsid()
        os.dup2(lifeline, 0)
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        os.closerange(3, OPEN_FILES)
        with os.fdopen(0) as lines:
            groups = remaining(lines)
        _end(groups | {ours})
    finally:
        os._exit(0)


def remaining(lines: Iterator[str]) -> set[int]:
    """The groups that were named (`+123`) and not taken back (`-123`)."""
    groups: set[int] = set()
    for line in lines:
        number = int(line[1:])
        if line.startswith("+"):
            groups.add(number)
        else:
            groups.discard(number)
    return groups


def _end(groups: set[int]) -> None:
    """Ask first: a bootstrap takes down its mounts, a build its containers."""
    left = {group for group in groups if _signal(group, signal.SIGTERM)}
    deadline = time.monotonic() + GRACE
    while left and time.monotonic() < deadline:
        time.sleep(POLL)
        left = {group for group in left if _signal(group, 0)}
    for group in left:
        _signal(group, signal.SIGKILL)


def _signal(group: int, number: int) -> bool:
    """Whether there was anybody to signal."""
    try:
        os.killpg(group, number)
    except OSError:
        return False
    return True
