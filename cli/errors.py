"""What ends a command: one message, exit code 1."""

from typing import IO, Any

import click


class CliError(click.ClickException):
    """Something the user can mend. The text says what failed, then the cause, then what to do."""

    exit_code = 1

    def show(self, file: IO[Any] | None = None) -> None:
        click.echo(f"error: {self.format_message()}", err=True, file=file)
