"""Runs one throw-away machine to its power-off, and tells from its serial console how far it is.

The machine has a disk, CDs and one NAT card. Nothing of it outlives `run`, however that ends.
"""

import re
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import platformdirs

from provider.errors import Cancelled, UserError
from provider.hypervisors.console import clean
from provider.hypervisors.qemu import workshop as qemu

POLL = 0.25
"""Seconds between two looks at the console."""
PROMPT = 2.0
"""Seconds after which a line without an end is judged too: a question leaves the cursor behind it."""
EXPLAINING = 2.0
"""Seconds to go on reading after an error: what explains it often comes after its first line."""
STARTING = 180.0
TAIL = 15
_BREAK = re.compile(rb"[\r\n]+")
_LOOPBACK = re.compile(r"(//(?:[^/@]*@)?)(?:localhost|127(?:\.\d+){3}|\[::1\])(?=[:/]|$)")
_DEAD = re.compile(r"Kernel panic - not syncing|^\(initramfs\)|^grub rescue>|^initrd: ")


@dataclass(frozen=True)
class Stage:
    """A part of the work. `pattern` (a regular expression, searched in a console line) begins it; what its
    first group holds, if it has one, is shown behind the name, anew with every line that matches.
    `deadline` is seconds from its beginning to that of a later stage, or to the power-off."""

    name: str
    pattern: str
    deadline: float


@dataclass(frozen=True)
class Job:
    """One machine and its work. Memory is MiB; `disk` is qcow2 or raw and exists; `folder` is its scratch.

    Stages come in their order, some may be left out, but not the last: a machine that powers off before
    it has failed. Until the first begins the machine is `starting`, for at most STARTING seconds.
    `silence` is seconds without any output before it counts as stuck. `log` takes the whole console; the
    default is `<user's cache>/logs/<name>.log`.
    """

    name: str
    folder: Path
    disk: Path
    stages: tuple[Stage, ...]
    cdroms: tuple[Path, ...] = ()
    cpus: int = 2
    memory: int = 2048
    boot: Literal["disk", "cdrom"] = "disk"
    silence: float = 300.0
    log: Path | None = None

    @property
    def console(self) -> Path:
        return self.log or platformdirs.user_cache_path("cloudmatrix") / "logs" / f"{self.name}.log"


def outward(address: str) -> str:
    """An address of this computer's own (a mirror, a proxy) as the machine behind its NAT card reaches it."""
    return _LOOPBACK.sub(r"\g<1>10.0.2.2", address)


class Guest(Protocol):
    """A started machine, whose console goes to the job's log."""

    def ended(self) -> str | None:
        """None while it runs; then "", or why it did not switch itself off."""
        ...

    def destroy(self) -> None:
        """End it at once; nothing to do when it has ended."""
        ...


Judge = Callable[[str], str | None]
"""From a line of the console, an error's text when the machine will never come to its end, else None."""


def run(
    job: Job,
    judge: Judge,
    progress: Callable[[str], None],
    cancelled: threading.Event,
    start: Callable[[Job], Guest] | None = None,
) -> None:
    """Run the machine until it powers itself off. UserError with stage, cause and the console's tail."""
    console = job.console
    console.parent.mkdir(parents=True, exist_ok=True)
    console.write_bytes(b"")
    watch = Watch(job, judge, progress, time.monotonic())
    guest = (start or qemu.start)(job)
    try:
        with console.open("rb") as stream:
            while (ended := guest.ended()) is None:
                watch.feed(stream.read(), time.monotonic())
                if cancelled.wait(POLL):
                    raise Cancelled(f"{job.name}: interrupted; the machine has been removed")
            watch.feed(stream.read() + b"\n", time.monotonic())
            watch.end(ended)
    finally:
        guest.destroy()


class Watch:
    """Judges a console as it grows. Pure but for `progress`: the time (seconds) is given."""

    def __init__(self, job: Job, judge: Judge, progress: Callable[[str], None], now: float) -> None:
        self._job, self._judge, self._progress = job, judge, progress
        self._current = 0 if job.stages[0].pattern == "" else -1
        self._begun = self._heard = now
        self._rest = b""
        self._tail: deque[str] = deque(maxlen=TAIL)
        self._shown = ""
        self._verdict = ""
        self._judged_at = now
        self._show(self._stage.name if self._current == 0 else "starting the machine")

    @property
    def _stage(self) -> Stage:
        return self._job.stages[self._current] if self._current >= 0 else Stage("starting", "", STARTING)

    def feed(self, data: bytes, now: float) -> None:
        """Take what came since the last call. UserError: it has failed, is too late, or says nothing."""
        if data:
            self._heard = now
            *whole, self._rest = _BREAK.split(self._rest + data)
            for raw in whole:
                self._line(_text(raw), now)
        elif self._rest and not self._verdict and now - self._heard >= PROMPT:
            # Who counts leaves it there too.
            self._place(_text(self._rest), now)
            self._judged(_text(self._rest), now)
        if self._verdict:
            if now - self._judged_at >= EXPLAINING:
                raise self._failure(self._verdict)
            return
        if now - self._begun > self._stage.deadline:
            raise self._failure(f"it took longer than {self._stage.deadline:.0f} s")
        if now - self._heard > self._job.silence:
            raise self._failure(f"it has said nothing for {self._job.silence:.0f} s")

    def end(self, complaint: str) -> None:
        """The machine has ended. UserError: with an error, too early, or not by itself."""
        if self._verdict:
            raise self._failure(self._verdict)
        if complaint:
            raise self._failure(complaint)
        if self._current != len(self._job.stages) - 1:
            raise self._failure(f'the machine ended before "{self._job.stages[-1].name}"')

    def _line(self, line: str, now: float) -> None:
        if not line:
            return
        self._tail.append(line)
        if not self._verdict:
            self._place(line, now)
            self._judged(line, now)

    def _place(self, line: str, now: float) -> None:
        """Go on to the stage that a line begins."""
        for number in range(max(self._current, 0), len(self._job.stages)):
            pattern = self._job.stages[number].pattern
            if pattern and (match := re.search(pattern, line)):
                if number != self._current:
                    self._current, self._begun = number, now
                more = (match[1] or "").strip() if match.re.groups else ""
                self._show(f"{self._stage.name} {more}".rstrip())
                break

    def _judged(self, line: str, now: float) -> None:
        if error := (line if _DEAD.search(line) else self._judge(line)):
            if self._rest and line == _text(self._rest):
                self._tail.append(line)
            self._verdict, self._judged_at = error, now

    def _show(self, text: str) -> None:
        if text != self._shown:
            self._shown = text
            self._progress(text)

    def _failure(self, cause: str) -> UserError:
        lines = "\n".join(f"  {line}" for line in self._tail) or "  (nothing)"
        return UserError(
            f"{self._job.name}: failed while {self._stage.name}: {cause}\n"
            f"the last lines of its console:\n{lines}\n"
            f"all of it is in {self._job.console}"
        )


def _text(raw: bytes) -> str:
    return clean(raw.decode(errors="replace"))
