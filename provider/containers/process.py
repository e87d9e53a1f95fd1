"""Programs of this computer, run so that an interrupt ends them and a failure shows what they said."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence

from provider import guard
from provider.commands.unshare import program
from provider.errors import Cancelled, UserError

KEPT_LINES = 200
SHOWN_LINES = 20
POLL = 0.05
GRACE = 15.0
"""Seconds between asking a program to end and killing it: mmdebstrap unmounts what it mounted."""


def run(
    argv: Sequence[str],
    *,
    what: str,
    cancelled: threading.Event | None = None,
    timeout: float = 1800.0,
    env: Mapping[str, str] | None = None,
    on_line: Callable[[str], None] | None = None,
) -> str:
    """Run to the end and return the last lines of its output (both streams, as they came).

    Raises UserError `what: ...` with the last lines when it fails, is missing or takes longer than
    `timeout` seconds, and Cancelled when `cancelled` is set meanwhile.
    """
    try:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, **env} if env else None,
            start_new_session=True,
        )
    except OSError as error:
        raise UserError(f"{what}: cannot run {argv[0]}: {error.strerror}") from error
    lines: deque[str] = deque(maxlen=KEPT_LINES)
    reader = threading.Thread(target=_read, args=(process, lines, on_line), daemon=True)
    reader.start()
    try:
        with guard.ends_with_us(process.pid):
            _await_end(process, what, cancelled, timeout)
    finally:
        _end(process)
        reader.join(timeout=5)
    text = "\n".join(lines)
    if process.returncode != 0:
        tail = "\n".join(list(lines)[-SHOWN_LINES:])
        raise UserError(f"{what}: {program(argv)} ended with exit code {process.returncode}\n{tail}".rstrip())
    return text


def answer(argv: Sequence[str], timeout: float = 60.0) -> str:
    """What a program says to a quick question, on one line; empty when it fails."""
    try:
        done = subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def succeeds(argv: Sequence[str], timeout: float = 60.0) -> bool:
    """Whether a quick question to a program is answered with exit code 0."""
    try:
        done = subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def _read(process: subprocess.Popen[bytes], lines: deque[str], on_line: Callable[[str], None] | None) -> None:
    assert process.stdout is not None  # noqa: S101 - Popen was given PIPE
    for raw in process.stdout:
        line = raw.decode(errors="replace").rstrip()
        if line:
            lines.append(line)
            if on_line:
                on_line(line)


def _await_end(
    process: subprocess.Popen[bytes], what: str, cancelled: threading.Event | None, timeout: float
) -> None:
    deadline = time.monotonic() + timeout
    while process.poll() is None:
        if cancelled is not None and cancelled.is_set():
            raise Cancelled(f"{what}: interrupted")
        if time.monotonic() > deadline:
            raise UserError(f"{what}: no end after {timeout:g} s, stopped")
        time.sleep(POLL)


def _end(process: subprocess.Popen[bytes]) -> None:
    if sys.platform == "win32":
        process.kill()
        process.wait(timeout=GRACE)
        return
    for number, patience in ((signal.SIGTERM, GRACE), (signal.SIGKILL, GRACE)):
        if process.poll() is not None:
            return
        try:
            os.killpg(process.pid, number)
            process.wait(timeout=patience)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            continue
