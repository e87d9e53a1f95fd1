"""Which project and which stack a command works on."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from cli.errors import CliError
from config import Config, parse, stackfile

NAME = r"[a-z][a-z0-9-]{0,39}"
RESERVED = ("logs", "state")
"""Folders of `.matrix` that belong to no stack."""

Command = TypeVar("Command", bound=Callable[..., Any])


@dataclass
class Session:
    """`root` is the project's folder. The stack is the one given, else the selected one, else `dev`."""

    root: Path
    chosen: str | None = None

    @property
    def matrix(self) -> Path:
        """Where everything that is made for this project is kept; only its owner may enter."""
        folder = self.root / ".matrix"
        folder.mkdir(mode=0o700, exist_ok=True)
        return folder

    @property
    def selection(self) -> Path:
        return self.matrix / "selected"

    @property
    def stack(self) -> str:
        if self.chosen:
            return self.chosen
        return self.selection.read_text().strip() if self.selection.is_file() else "dev"

    @property
    def folder(self) -> Path:
        """What belongs to the stack and goes with it."""
        return self.matrix / self.stack

    def choose(self, name: str) -> None:
        if not re.fullmatch(NAME, name) or name in RESERVED:
            raise CliError(
                f'stack: got "{name}"; need a-z, 0-9 and -, a letter first, at most 40 characters, '
                f"not {' or '.join(RESERVED)}; try dev"
            )
        self.chosen = name

    def config(self) -> Config:
        """The stack's config. Raises CliError or ConfigError."""
        file = stackfile.path(self.root, self.stack)
        if not file.is_file():
            raise CliError(
                f'there is no stack "{self.stack}": {file.name} is missing; '
                f"write it (an empty file is the smallest stack) or choose another with --stack"
            )
        return parse(stackfile.read(self.root, self.stack))


pass_session = click.make_pass_decorator(Session)


def stack_option(command: Command) -> Command:
    """--stack, before or after the command's name."""

    def chosen(context: click.Context, _: click.Parameter, value: str | None) -> None:
        if value:
            context.ensure_object(Session).choose(value)

    option = click.option(
        "--stack", "-s", metavar="NAME", expose_value=False, callback=chosen, help="The stack to work on."
    )
    return option(command)
