"""test: every check of the project, the quick ones first."""

import os
import subprocess
import sys

import click

from cli import host, packages
from cli.session import Session, pass_session

STATIC = (
    ("ruff", "check"),
    ("ruff", "format", "--check"),
    ("mypy",),
)


@click.command(context_settings={"ignore_unknown_options": True})
@click.option(
    "--fast", is_flag=True, help="Only the quick tests, with what is installed: no machine is made."
)
@click.option(
    "--iso", is_flag=True, help="Only the way from an installer ISO to an application, half an hour."
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@pass_session
def test(session: Session, fast: bool, iso: bool, arguments: tuple[str, ...]) -> None:
    """Run every check. ARGUMENTS go to pytest; its counts are the last line."""
    if not fast:
        wanted = (*packages.needed("qemu"), *packages.TESTS)
        host.prepare(wanted, session.matrix / "logs" / "apt.log")
    if iso:
        if not _passes(session, ("pytest", "-m", "iso", "tests/iso", *arguments)):
            raise click.exceptions.Exit(1)
        return
    failed = [words for words in STATIC if not _passes(session, words)]
    for words in failed:
        click.echo(f"FAILED: {' '.join(words)}")
    passed = _passes(
        session, ("pytest", *(("-m", "not slow and not guest and not cloud") if fast else ()), *arguments)
    )
    if failed or not passed:
        raise click.exceptions.Exit(1)


def _passes(session: Session, words: tuple[str, ...]) -> bool:
    click.echo(f"$ {' '.join(words)}")
    sys.stdout.flush()
    # Programs of administrators are not on a user's PATH, and the tests start some.
    path = f"{os.environ.get('PATH', '')}:{packages.SYSTEM_FOLDERS}"
    argv = [sys.executable, "-m", *words]
    return subprocess.run(argv, cwd=session.root, env={**os.environ, "PATH": path}).returncode == 0
