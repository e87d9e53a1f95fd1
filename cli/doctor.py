"""doctor: what is right and wrong with this computer for this stack, and what to do about it."""

import click

from cli import checks
from cli.session import Session, pass_session, stack_option

MARKS = {"ok": "  ok     ", "warning": "  warning", "failure": "  FAILURE"}


@click.command()
@stack_option
@pass_session
def doctor(session: Session) -> None:
    """Check this computer against the stack config; exit 1 when `up` would surely fail."""
    config = session.config()
    failures = 0
    for finding in checks.all_checks(session.root, session.folder, config):
        click.echo(f"{MARKS[finding.level]}  {finding.text}")
        if finding.hint:
            click.echo(f"             {finding.hint}")
        failures += finding.level == "failure"
    if failures:
        click.echo(f"{failures} of these would make up fail.")
        raise click.exceptions.Exit(1)
    click.echo("Nothing here stops up.")
