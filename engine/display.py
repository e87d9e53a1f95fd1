"""Showing a run: lines for pipes and logs, a live table for a terminal."""

import re
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any, TextIO

from engine import urn as urns
from engine.events import Diagnostic, Display, Done, Event, Failed, Progress, Step, Summary
from engine.plan import Op

__all__ = ["Display", "LiveDisplay", "PlainDisplay"]

_SIGNS = {Op.CREATE: "+", Op.UPDATE: "~", Op.REPLACE: "+-", Op.DELETE: "-", Op.READ: ">", Op.SAME: " "}
_DONE = {
    Op.CREATE: "created",
    Op.UPDATE: "updated",
    Op.REPLACE: "replaced",
    Op.DELETE: "deleted",
    Op.READ: "read",
    Op.SAME: "unchanged",
}
_COLOURS = {Op.CREATE: "green", Op.UPDATE: "yellow", Op.REPLACE: "magenta", Op.DELETE: "red"}
_KEYS = 6


def _thing(urn: str) -> str:
    return f"{urns.type_of(urn)} {urns.name_of(urn)}" if urn else "the stack"


def phase(text: str) -> str:
    """What is being done, without how far: "unpacking packages 10/216" is "unpacking packages"."""
    return re.split(r"[,(:]|\s\d", text, maxsplit=1)[0].strip()


def _indented(text: str, by: str = "    ") -> str:
    return "\n".join(by + line for line in text.splitlines())


def step_line(step: Step) -> str:
    """`+- matrix:index:VirtualMachine node2 [image, memory]`"""
    keys = ", ".join(step.keys[:_KEYS]) + (", …" if len(step.keys) > _KEYS else "")
    sign = "--" if step.replaced else _SIGNS[step.op]
    return f"{sign:>2} {_thing(step.urn)}" + (f" [{keys}]" if keys else "")


def _tells(event: Done) -> bool:
    """A preview says once that something is replaced."""
    return event.step.op is not Op.READ and not (event.preview and event.step.replaced)


def leaf_lines(step: Step) -> Iterator[str]:
    for path, old, new in step.leaves:
        if not old:
            yield f"      + {path}: {new}"
        elif not new:
            yield f"      - {path}: {old}"
        else:
            yield f"      ~ {path}: {old} => {new}"


def summary_line(event: Summary) -> str:
    """`up: 3 created, 4 unchanged (2.1 s)`"""
    counts = [f"{count} {_DONE[Op(op)]}" for op, count in event.changes.items() if count]
    if event.kind == "preview":
        counts = [f"{count} to {op}" if op != "same" else f"{count} unchanged" for op, count in _some(event)]
    verdict = "" if event.ok else "failed: "
    return f"{event.kind}: {verdict}{', '.join(counts) or 'nothing to do'} ({event.seconds:.1f} s)"


def _some(event: Summary) -> Iterator[tuple[str, int]]:
    return ((op, count) for op, count in event.changes.items() if count)


def message(event: Diagnostic | Failed) -> str:
    """`error: lab:index:Thing a: …`, with further lines indented."""
    severity = "error" if isinstance(event, Failed) else event.severity
    where = f"{_thing(event.urn)}: " if event.urn else ""
    first, *rest = event.message.splitlines() or [""]
    text = f"{where}{first}" if severity == "info" else f"{severity}: {where}{first}"
    return "\n".join([text, _indented("\n".join(rest))]) if rest else text


class PlainDisplay:
    """One line a change, with `diff` also the properties that change; a phase is told once."""

    def __init__(self, out: TextIO | None = None, diff: bool = False) -> None:
        self._out = out or sys.stdout  # now, not later: the program's own output is redirected
        self._diff = diff
        self._lock = threading.RLock()
        self._said: dict[str, str] = {}

    def _print(self, text: str) -> None:
        with self._lock:
            self._out.write(text + "\n")
            self._out.flush()

    def show(self, event: Event) -> None:
        if isinstance(event, Done) and _tells(event):
            took = "" if event.preview else f" {_DONE[event.step.op]} ({event.seconds:.1f} s)"
            lines = [step_line(event.step) + took, *(leaf_lines(event.step) if self._diff else ())]
            self._print("\n".join(lines))
        elif isinstance(event, Progress) and self._said.get(event.urn) != phase(event.message):
            self._said[event.urn] = phase(event.message)
            self._print(f"   {_thing(event.urn)}: {event.message}")
        elif isinstance(event, Failed) or (isinstance(event, Diagnostic) and event.severity != "debug"):
            self._print(message(event))
        elif isinstance(event, Summary):
            self._print(summary_line(event))

    def close(self) -> None:
        return


class LiveDisplay:
    """A row for every resource under way, with what its provider is doing and for how long; rows that are
    done move up as plain lines. For terminals."""

    def __init__(self, diff: bool = False) -> None:
        from rich.console import Console  # noqa: PLC0415 - only where there is a terminal
        from rich.live import Live  # noqa: PLC0415

        self._console = Console(file=sys.stdout, highlight=False)
        self._diff = diff
        self._lock = threading.RLock()
        self._rows: dict[str, tuple[Step, float, str]] = {}
        self._live = Live(
            get_renderable=self._table,
            console=self._console,
            refresh_per_second=4,
            redirect_stdout=False,
            redirect_stderr=False,
            transient=True,
        )
        self._started = False

    def _table(self) -> Any:
        from rich.table import Table  # noqa: PLC0415

        table = Table.grid(padding=(0, 2))
        now = time.monotonic()
        with self._lock:
            rows = list(self._rows.values())
        for step, begun, text in rows[: max(self._console.height - 2, 1)]:
            style = _COLOURS.get(step.op, "")
            sign = f"[{style}]{_SIGNS[step.op]:>2}[/]" if style else _SIGNS[step.op]
            table.add_row(sign, step.type, step.name, f"{now - begun:4.0f} s", _plain(text))
        return table

    def _print(self, text: str, style: str = "") -> None:
        self._console.print(text, style=style or None, markup=False, soft_wrap=True)

    def show(self, event: Event) -> None:
        with self._lock:
            if not self._started:
                self._live.start()
                self._started = True
            if isinstance(event, Step):
                self._rows[event.urn] = (event, time.monotonic(), "")
            elif isinstance(event, Progress) and event.urn in self._rows:
                step, begun, _ = self._rows[event.urn]
                self._rows[event.urn] = (step, begun, event.message.splitlines()[0] if event.message else "")
            elif isinstance(event, Done):
                self._done(event)
            elif isinstance(event, Failed):
                self._rows.pop(event.urn, None)
                self._print(message(event), "red")
            elif isinstance(event, Diagnostic) and event.severity != "debug":
                self._print(message(event), {"warning": "yellow", "error": "red"}.get(event.severity, ""))
            elif isinstance(event, Summary):
                self._print(summary_line(event), "bold" if event.ok else "bold red")

    def _done(self, event: Done) -> None:
        self._rows.pop(event.step.urn, None)
        if not _tells(event):
            return
        took = "" if event.preview else f" {_DONE[event.step.op]} ({event.seconds:.1f} s)"
        self._print(step_line(event.step) + took, _COLOURS.get(event.step.op, ""))
        if self._diff:
            for line in leaf_lines(event.step):
                self._print(line)

    def close(self) -> None:
        with self._lock:
            if self._started:
                self._live.stop()
                self._started = False


def _plain(text: str) -> Any:
    from rich.text import Text  # noqa: PLC0415

    return Text(text)
