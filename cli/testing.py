"""test: every check of the project, the quick ones first."""

import os
import shutil
import subprocess
import sys
import threading

import click

from cli import host, packages
from cli.session import Session, pass_session

STATIC = (
    ("ruff", "check"),
    ("ruff", "format", "--check"),
    ("mypy",),
)


NO_RIG = 77
"""Exit code of the run in a rig of our own when this computer cannot have one: these tests are skipped."""

PATIENCE = 5.0
"""Seconds for the last output after the end."""


@click.command(context_settings={"ignore_unknown_options": True})
@click.option(
    "--fast", is_flag=True, help="Only the quick tests, with what is installed: no machine is made."
)
@click.option(
    "--iso",
    is_flag=True,
    help="Only the ways from a cloud image to a machine and from an ISO to an application: twenty minutes.",
)
@click.option(
    "--virtualbox",
    is_flag=True,
    help="Only the tests on VirtualBox: yours, or one in a folder of its own where there is none.",
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@pass_session
def test(session: Session, fast: bool, iso: bool, virtualbox: bool, arguments: tuple[str, ...]) -> None:
    """Run every check. ARGUMENTS go to pytest; its counts are the last lines."""
    if not fast:
        wanted = (*packages.needed("qemu"), *packages.TESTS)
        host.prepare(wanted, session.matrix / "logs" / "apt.log")
    if iso:
        if not _passes(session, ("pytest", "-m", "iso", *arguments)):
            raise click.exceptions.Exit(1)
        return
    if virtualbox:
        if _on_virtualbox(session, arguments):
            raise click.exceptions.Exit(1)
        return
    failed = [words for words in STATIC if not _passes(session, words)]
    for words in failed:
        click.echo(f"FAILED: {' '.join(words)}")
    words = ("pytest", *(("-m", "not slow and not guest and not cloud") if fast else ()), *arguments)
    counts, code = _counted(session, words)
    click.echo(f"tests: {counts}")
    if not fast and not arguments and not _has_virtualbox():
        on_virtualbox = _on_virtualbox(session, ())
        code = code or on_virtualbox not in (0, NO_RIG)
        click.echo(f"tests: {counts}")
    if failed or code:
        raise click.exceptions.Exit(1)


def _has_virtualbox() -> bool:
    """Whether pytest finds a VirtualBox on this computer, so that its own run has the tests on it."""
    return shutil.which("VBoxManage") is not None


def _on_virtualbox(session: Session, arguments: tuple[str, ...]) -> int:
    runner = "pytest" if _has_virtualbox() else "tests.rig.virtualbox"
    counts, code = _counted(session, (runner, "tests/virtualbox", *arguments))
    click.echo(f"tests on VirtualBox: {counts}")
    return code


def _counted(session: Session, words: tuple[str, ...]) -> tuple[str, int]:
    """The last line of what is shown, which has pytest's counts, and the exit code."""
    out, into = os.pipe()
    process = _started(session, words, into)
    os.close(into)
    tail = bytearray()
    reader = threading.Thread(target=_show, args=(out, tail), daemon=True)
    reader.start()
    code = process.wait()
    # A daemon that a test has left behind may still hold the pipe.
    reader.join(PATIENCE)
    lines = tail.decode(errors="replace").strip().splitlines()
    return lines[-1].strip("= ") if lines else "nothing was run", code


def _show(out: int, tail: bytearray) -> None:
    """As it comes, for a test's dot is no whole line; the end is kept in `tail`."""
    while piece := os.read(out, 4096):
        sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()
        tail += piece
        del tail[:-4096]


def _passes(session: Session, words: tuple[str, ...]) -> bool:
    return _started(session, words).wait() == 0


def _started(
    session: Session, words: tuple[str, ...], stdout: int | None = None
) -> "subprocess.Popen[bytes]":
    click.echo(f"$ {' '.join(words)}")
    sys.stdout.flush()
    # Programs of administrators are not on a user's PATH, and the tests start some.
    path = f"{os.environ.get('PATH', '')}:{packages.SYSTEM_FOLDERS}"
    argv = [sys.executable, "-m", *words]
    return subprocess.Popen(argv, cwd=session.root, env={**os.environ, "PATH": path}, stdout=stdout)
