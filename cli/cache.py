"""cache: what is kept for all stacks in the user's cache, and the removal of what no stack uses."""

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from cli.errors import CliError
from cli.outputs import table
from cli.session import Session, pass_session

ROOT = Path(__file__).resolve().parent.parent
AGES = ((86400, "d"), (3600, "h"), (60, "min"))


@dataclass(frozen=True)
class Item:
    """As `python -m provider.images` tells it: `size` is bytes, `time` seconds since 1970, `kept` says why it
    cannot be pruned."""

    kind: str
    path: str
    name: str
    origin: str
    size: int
    time: float
    users: tuple[str, ...]
    kept: str


@click.group(invoke_without_command=True)
@pass_session
@click.pass_context
def cache(context: click.Context, session: Session) -> None:
    """List base images and downloads: what they take, and which stacks use them."""
    if context.invoked_subcommand is None:
        items = ask(session)
        if not items:
            click.echo("The cache is empty.")
            return
        console = Console()
        console.print(listing(items, time.time()))
        console.print(f"{size(sum(item.size for item in items))} in all; {_prunable(items)}.")


@cache.command()
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Only tell what would be removed.")
@pass_session
def prune(session: Session, yes: bool, dry_run: bool) -> None:
    """Remove what no stack uses."""
    unused = [item for item in ask(session) if not item.kept]
    if not unused:
        click.echo("Nothing to remove: all that is there is in use.")
        return
    Console().print(listing(unused, time.time()))
    total = size(sum(item.size for item in unused))
    if dry_run:
        click.echo(f"{total} would be removed.")
        return
    if not yes:
        if not sys.stdin.isatty():
            raise CliError("pruning the cache needs --yes where nobody can be asked")
        click.confirm(f"Remove {total}?", abort=True)
    done = ask(session, [item.path for item in unused])
    kept = [f"{item.name} was kept: {item.kept}" for item in done if item.kept]
    click.echo("\n".join([*kept, f"Removed {size(sum(item.size for item in done if not item.kept))}."]))


def ask(session: Session, paths: Sequence[str] = ()) -> list[Item]:
    """What the plugin knows about the cache, or did with these paths. Raises CliError."""
    argv = [sys.executable, "-m", "provider.images", str(session.root), *paths]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise CliError(f"the cache cannot be read: {last}")
    return [_item(fields) for fields in json.loads(done.stdout)]


def _item(fields: dict[str, Any]) -> Item:
    return Item(**{**fields, "users": tuple(fields["users"])})


def listing(items: Sequence[Item], now: float) -> Table:
    shown = table("what", "name", "made from", "size", "age", "used by")
    shown.columns[3].justify = "right"
    shown.columns[4].justify = "right"
    for item in items:
        why = ", ".join(item.users) or item.kept or "nothing"
        shown.add_row(item.kind, item.name, item.origin, size(item.size), age(now - item.time), why)
    return shown


def size(length: int) -> str:
    """Decimal, as elsewhere: 1056.4 MB is 1.1 GB."""
    if length >= 1_000_000_000:
        return f"{length / 1e9:.1f} GB"
    return f"{length / 1e6:.1f} MB" if length else "0 MB"


def age(seconds: float) -> str:
    for unit, name in AGES:
        if seconds >= unit:
            return f"{int(seconds // unit)} {name}"
    return "now"


def _prunable(items: Sequence[Item]) -> str:
    unused = [item for item in items if not item.kept]
    if not unused:
        return "all of it is in use"
    return f"./matrix cache prune removes {size(sum(item.size for item in unused))} that no stack uses"
