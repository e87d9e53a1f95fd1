"""Daemons with an identity: started in a session of their own, found again, never mistaken for another's.

A daemon is recognised by its program, by the words of its command line that carry its UUID, and by its
working folder; its process id and start time are recorded only to find it fast. So a recycled process id
is never signalled, and a daemon whose record was lost is found all the same.
"""

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from provider.errors import UserError

RECORD = "process.json"
POLL = 0.05
KILL_DEADLINE = 20.0
NAMED_DEADLINE = 5.0
DELETED = " (deleted)"
FAULTS = frozenset({signal.SIGABRT, signal.SIGSEGV, signal.SIGILL, signal.SIGFPE})
"""Signals that a program brings upon itself."""


@dataclass(frozen=True)
class Daemon:
    """What tells one daemon from every other process: its program, `marks` (consecutive words of its command
    line) and a working folder somewhere below `root`. It runs in `folder`, which may have been deleted."""

    program: str
    marks: tuple[str, ...]
    folder: Path
    root: Path

    def is_this(self, process: psutil.Process) -> bool:
        """Whether the process is this daemon; a zombie is not."""
        try:
            argv = process.cmdline()
            if not argv or not Path(argv[0]).name.startswith(self.program) or not self._marked(argv):
                return False
            below = Path(process.cwd().removesuffix(DELETED)).is_relative_to(self.root.resolve())
            return below and process.status() != psutil.STATUS_ZOMBIE
        except (psutil.Error, OSError):
            return False

    def _marked(self, argv: Sequence[str]) -> bool:
        size = len(self.marks)
        return any(tuple(argv[at : at + size]) == self.marks for at in range(len(argv)))


def spawn(daemon: Daemon, argv: Sequence[str], log: Path) -> psutil.Process | None:
    """Start the daemon and record it; None when it ended at once (its log says why)."""
    environment = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        child = subprocess.Popen(
            argv,
            cwd=daemon.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=descriptor,
            stderr=descriptor,
            start_new_session=True,
        )
    finally:
        os.close(descriptor)
    threading.Thread(target=_reap, args=(child, log), name=f"reap-{child.pid}", daemon=True).start()
    try:
        process = psutil.Process(child.pid)
        _record(daemon, process)
        _await_named(process)
    except psutil.NoSuchProcess:
        return None
    return process


def _reap(child: subprocess.Popen[bytes], log: Path) -> None:
    """Wait for its end, so that it never stays behind as a zombie; nobody else tells of a signal."""
    code = child.wait()
    if code >= 0:
        return
    # A log that is gone is not made again: its folder is being removed.
    with suppress(OSError), os.fdopen(os.open(log, os.O_WRONLY | os.O_APPEND), "w") as file:
        file.write(_ended_by(-code) + "\n")


def _ended_by(number: int) -> str:
    return f"ended by signal {number} ({signal.strsignal(number)})"


def crashed(said: str) -> bool:
    """Whether a daemon broke down by itself, of whose log this is the end, without the last line's break."""
    return said.endswith(tuple(map(_ended_by, FAULTS)))


def _await_named(process: psutil.Process) -> None:
    """Until it has a command line: for a moment after the start there is none, and `find` would not know it.

    psutil.NoSuchProcess: it has ended.
    """
    end = time.monotonic() + NAMED_DEADLINE
    while not process.cmdline() and time.monotonic() < end:
        time.sleep(POLL / 10)


def find(daemon: Daemon) -> psutil.Process | None:
    """The running daemon, by its record or else among all processes."""
    recorded = _recorded(daemon)
    if recorded and daemon.is_this(recorded):
        return recorded
    for process in psutil.process_iter():
        if daemon.is_this(process):
            if daemon.folder.is_dir():
                _record(daemon, process)
            return process
    return None


def wait_gone(daemon: Daemon, process: psutil.Process, deadline: float) -> bool:
    """Whether the daemon has ended within `deadline` seconds."""
    end = time.monotonic() + deadline
    while daemon.is_this(process) or not _ended(process):
        if time.monotonic() > end:
            return False
        time.sleep(POLL)
    return True


def _ended(process: psutil.Process) -> bool:
    """Whether nothing of it is left: while it dies it has no command line, but its ports are still open."""
    try:
        zombie = process.status() == psutil.STATUS_ZOMBIE and process.num_threads() <= 1
        return zombie or not process.is_running()
    except psutil.NoSuchProcess:
        return True


def kill(daemon: Daemon) -> None:
    """End the daemon at once. UserError: it does not go."""
    process = find(daemon)
    if process is None:
        return
    try:
        # psutil compares the start time once more before it sends.
        process.send_signal(signal.SIGKILL)
    except psutil.NoSuchProcess:
        return
    except psutil.AccessDenied as error:
        raise UserError(
            f"{daemon.program} (pid {process.pid}) cannot be ended: it belongs to another user\n"
            f"run this as the user who started it, or end it with: sudo kill {process.pid}"
        ) from error
    if not wait_gone(daemon, process, KILL_DEADLINE):
        raise UserError(
            f"{daemon.program} (pid {process.pid}) does not end after SIGKILL\n"
            "it hangs in the kernel, mostly on a disk that does not answer; look at dmesg"
        )


def _record(daemon: Daemon, process: psutil.Process) -> None:
    text = json.dumps({"pid": process.pid, "started": process.create_time()})
    target = daemon.folder / RECORD
    fresh = target.with_suffix(f".{threading.get_ident()}.new")
    fresh.write_text(text)
    fresh.replace(target)


def _recorded(daemon: Daemon) -> psutil.Process | None:
    try:
        known = json.loads((daemon.folder / RECORD).read_text())
        process = psutil.Process(known["pid"])
    except (OSError, ValueError, KeyError, TypeError, psutil.Error):
        return None
    # A second of tolerance: the wall clock may have been set since.
    return process if abs(process.create_time() - known["started"]) < 1 else None
