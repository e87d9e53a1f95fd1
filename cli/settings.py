"""config: reads and writes the stack's settings as `pulumi config` does, comments kept."""

import json
import sys
from typing import Any

import click

from cli import passphrase
from cli.errors import CliError
from cli.session import Session, pass_session, stack_option
from config import stackfile
from engine import set_config


@click.group(name="config")
def settings() -> None:
    """Read or change a setting of the stack."""


@settings.command("set")
@stack_option
@click.argument("key")
@click.argument("value", required=False)
@click.option("--secret", is_flag=True, help="Encrypt the value.")
@click.option("--path", is_flag=True, help="KEY leads into a mapping or list: applications.shop.port")
@pass_session
def set_(session: Session, key: str, value: str | None, secret: bool, path: bool) -> None:
    """Set KEY to VALUE. Without VALUE it is asked for, or read from standard input."""
    if value is None:
        value = _given(secret)
    passphrase.provide(session.matrix)
    set_config(session.root, session.stack, key, value, secret, path)


def _given(secret: bool) -> str:
    if sys.stdin.isatty():
        return str(click.prompt("Value", hide_input=secret))
    return sys.stdin.read().rstrip("\n")


@settings.command("get")
@stack_option
@click.argument("key", required=False)
@pass_session
def get(session: Session, key: str | None) -> None:
    """Show KEY (a path like applications.shop.port), or all settings; secrets stay hidden."""
    settings = stackfile.read(session.root, session.stack)
    found = settings if key is None else _inside(settings, key.removeprefix(f"{stackfile.NAMESPACE}:"))
    click.echo(found if isinstance(found, str) else json.dumps(found, indent=2))


def _inside(value: Any, key: str) -> Any:
    for part in key.split("."):
        if not isinstance(value, dict) or part not in value:
            raise CliError(f'config: "{key}" is not set; defaults are told in docs/settings.md')
        value = value[part]
    return value
