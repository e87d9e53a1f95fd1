"""outputs, apps, nodes: what the stack says about itself."""

import json
from collections.abc import Mapping
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from cli import choice, passphrase
from cli.errors import CliError
from cli.session import Session, pass_session, stack_option


def read(session: Session, *, show_secrets: bool = False) -> Mapping[str, Any]:
    """The stack's outputs. Raises CliError for a stack that is not up."""
    passphrase.provide(session.matrix)
    outputs = choice.choose().outputs(session.root, session.stack, show_secrets=show_secrets)
    if not outputs:
        raise CliError(f"the stack {session.stack} is not up; run ./matrix up")
    return outputs


@click.command()
@stack_option
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.option("--show-secrets", is_flag=True, help="Show secret values too.")
@pass_session
def outputs(session: Session, as_json: bool, show_secrets: bool) -> None:
    """Show the stack's outputs."""
    found = read(session, show_secrets=show_secrets)
    if as_json:
        click.echo(json.dumps(found, indent=2, sort_keys=True))
        return
    for name, value in sorted(found.items()):
        click.echo(f"{name}: {value if isinstance(value, str) else json.dumps(value, indent=2)}")


@click.command()
@stack_option
@pass_session
def apps(session: Session) -> None:
    """List the applications of the plan and where they answer."""
    config = session.config()
    urls = read(session).get("urls") or {}
    shown = table("application", "from", "nodes", "URL")
    for application in config.applications:
        origin = application.source or application.image or application.archive or ""
        where = ", ".join(placement.name for placement in application.placements)
        url = urls.get(application.name, "a job" if application.port is None else "not up")
        shown.add_row(application.name, origin, where, url)
    Console().print(shown)


@click.command()
@stack_option
@pass_session
def nodes(session: Session) -> None:
    """List the machines, their addresses and sizes."""
    config = session.config()
    addresses = read(session).get("addresses") or {}
    shown = table("machine", "address", "CPUs", "MiB", "state")
    for host, size in {"manager": config.manager, **config.nodes}.items():
        state = "up" if host in addresses else "not up"
        shown.add_row(host, config.network.address(host), str(size.cpus), str(size.memory), state)
    Console().print(shown)


def table(*columns: str) -> Table:
    """An empty table in the style of all commands."""
    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column in columns:
        made.add_column(column, overflow="fold")
    return made
