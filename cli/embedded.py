"""The embedded engine, for machines without Pulumi's CLI."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from cli.engines import Run
from engine import operations
from engine.display import Display, LiveDisplay, PlainDisplay


@dataclass(frozen=True)
class Embedded:
    line: str

    def preview(self, run: Run) -> bool:
        return operations.preview(_options(run, PlainDisplay(diff=run.diff))).ok

    def up(self, run: Run) -> bool:
        if run.ask and not self._agreed(run, "Do this?"):
            return False
        return operations.up(_options(run, _display(run))).ok

    def refresh(self, run: Run) -> bool:
        return operations.refresh(_options(run, _display(run))).ok

    def destroy(self, run: Run) -> bool:
        if run.ask:
            click.confirm(f"Remove every machine and all data of the stack {run.stack}?", abort=True)
        return operations.destroy(_options(run, _display(run))).ok

    def outputs(self, root: Path, stack: str, *, show_secrets: bool) -> Mapping[str, Any]:
        return operations.outputs(root, stack, show_secrets)

    def _agreed(self, run: Run, question: str) -> bool:
        outcome = operations.preview(_options(run, PlainDisplay(diff=run.diff)))
        if outcome.ok and any(count for step, count in outcome.changes.items() if step != "same"):
            click.confirm(question, abort=True)
        return outcome.ok


def _options(run: Run, display: Display) -> operations.Options:
    return operations.Options(project=run.root, stack=run.stack, display=display, parallel=run.parallel)


def _display(run: Run) -> Display:
    return LiveDisplay() if sys.stdout.isatty() else PlainDisplay(diff=run.diff)
