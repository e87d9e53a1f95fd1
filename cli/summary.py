"""What `up` ends with: where the applications answer, how to reach the machines, how long it took."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from cli.stages import Work

LISTED_FROM = 0.5
"""Seconds; what was quicker is left out of the table of stages."""


def show(console: Console, outputs: Mapping[str, Any], works: Sequence[Work], seconds: float) -> None:
    """Tables of what there is to see; empty ones are left out."""
    stages = _stages(works)
    if stages.row_count:
        console.print(stages)
    for table in (_applications(outputs), _machines(outputs)):
        if table.row_count:
            console.print(table)
    console.print(f"Done in {duration(seconds)}.")


def duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{int(seconds // 60)} min {int(seconds % 60)} s"


def _applications(outputs: Mapping[str, Any]) -> Table:
    table = _table("application", "URL")
    for name, url in (outputs.get("urls") or {}).items():
        table.add_row(name, url)
    return table


def _machines(outputs: Mapping[str, Any]) -> Table:
    table = _table("machine", "address", "SSH")
    addresses = outputs.get("addresses") or {}
    for host, command in (outputs.get("ssh") or {}).items():
        table.add_row(host, addresses.get(host, ""), command)
    return table


def _stages(works: Sequence[Work]) -> Table:
    table = _table("resource", "seconds", "of which")
    table.columns[1].justify = "right"
    for work in works:
        if work.seconds >= LISTED_FROM:
            table.add_row(work.name, f"{work.seconds:.1f}", _parts(work))
    return table


def _parts(work: Work) -> str:
    if len(work.stages) < 2:
        return ""
    return ", ".join(f"{stage.name} {stage.seconds:.1f}" for stage in work.stages if stage.seconds >= 0.05)


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table
