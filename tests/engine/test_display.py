"""What is shown, as lines and on a terminal."""

import io
import re

import pytest
from rich.console import Console

from engine.display import LiveDisplay, PlainDisplay
from engine.events import Diagnostic, Done, Event, Failed, Progress, Step, Summary
from engine.plan import Op

URN = "urn:pulumi:s::p::lab:index:Thing::a"
STEP = Step(Op.UPDATE, URN, ("size", "b", "c", "d", "e", "f", "g"), (("size", "1", "2"), ("b", "", "x")))

PLAIN: list[tuple[Event, str]] = [
    (STEP, ""),
    (Progress(URN, "booting"), "   lab:index:Thing a: booting\n"),
    (Progress(URN, "booting"), ""),
    (Done(STEP, 1.26), " ~ lab:index:Thing a [size, b, c, d, e, f, …] updated (1.3 s)\n"),
    (Done(Step(Op.DELETE, URN, replaced=True), 0), "-- lab:index:Thing a deleted (0.0 s)\n"),
    (Done(Step(Op.DELETE, URN, replaced=True), 0, preview=True), ""),
    (Done(Step(Op.REPLACE, URN), 0, preview=True), "+- lab:index:Thing a\n"),
    (Failed(URN, "no luck\nat all"), "error: lab:index:Thing a: no luck\n    at all\n"),
    (Diagnostic("info", "hello"), "hello\n"),
    (Diagnostic("warning", "hot", URN), "warning: lab:index:Thing a: hot\n"),
    (Diagnostic("debug", "noise"), ""),
    (Summary("up", {"create": 2, "same": 1, "delete": 0}, 2.0, True), "up: 2 created, 1 unchanged (2.0 s)\n"),
    (Summary("preview", {"delete": 1, "same": 3}, 1.0, True), "preview: 1 to delete, 3 unchanged (1.0 s)\n"),
    (Summary("up", {}, 0.1, False), "up: failed: nothing to do (0.1 s)\n"),
]


def test_every_event_as_lines() -> None:
    out = io.StringIO()
    display = PlainDisplay(out)
    for event, text in PLAIN:
        before = len(out.getvalue())
        display.show(event)
        assert out.getvalue()[before:] == text


def test_with_diff_the_properties_that_change_are_lines_too() -> None:
    out = io.StringIO()
    PlainDisplay(out, diff=True).show(Done(STEP, 0.0))

    assert out.getvalue().splitlines()[1:] == ["      ~ size: 1 => 2", "      + b: x"]


def test_on_a_terminal_a_row_shows_what_is_going_on_and_leaves_a_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out = io.StringIO()
    display = LiveDisplay()
    display._console.file = out
    display._console._force_terminal = True
    display.show(STEP)
    display.show(Progress(URN, "[booting]\nsecond line"))
    row = io.StringIO()
    Console(file=row, width=100).print(display._table())
    for event, _ in PLAIN[3:]:
        display.show(event)
    display.close()
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", out.getvalue())

    assert re.search(r"~\s+lab:index:Thing\s+a\s+0 s\s+\[booting\]", row.getvalue())
    assert "second line" not in row.getvalue()
    for _, line in PLAIN[3:]:
        assert line.strip() in text
