"""up, preview, refresh, destroy, prepare, select."""

import sys
import time

import click
from rich.console import Console

from cli import checks, choice, host, hypervisor, leftovers, packages, passphrase, stages, summary
from cli.engines import Run
from cli.errors import CliError
from cli.session import Session, pass_session, stack_option

parallel = click.option(
    "--parallel", "-p", type=click.IntRange(1, 256), default=16, show_default=True, help="Resources at once."
)
yes = click.option("--yes", "-y", is_flag=True, help="Do not ask.")


@click.command()
@stack_option
@yes
@parallel
@pass_session
def up(session: Session, yes: bool, parallel: int) -> None:
    """Raise the cloud, or change it to what the stack config says."""
    began = time.time()
    config = session.config()
    used = hypervisor.chosen(config.hypervisor, session.folder)
    click.echo(f"Hypervisor: {used.name}, as {used.reason}")
    host.prepare(packages.needed(used.name, config.base.source), session.matrix / "logs" / "apt.log")
    _stop_at_failures(session, used)
    passphrase.provide(session.matrix)
    engine = choice.choose()
    click.echo(engine.line)
    ask = not yes and sys.stdin.isatty() and sys.stdout.isatty()
    good = engine.up(Run(session.root, session.stack, ask=ask, parallel=parallel))
    works = stages.read(session.folder / "progress.jsonl", since=began)
    outputs = engine.outputs(session.root, session.stack, show_secrets=False) if good else {}
    if not good:
        raise click.exceptions.Exit(1)
    summary.show(Console(), outputs, works, time.time() - began)


def _stop_at_failures(session: Session, used: hypervisor.Choice) -> None:
    found = (
        *checks.check_hypervisor(used),
        *checks.surely_failing(session.root, session.folder, session.config()),
    )
    failures = [f"{finding.text}; {finding.hint}" for finding in found if finding.level == "failure"]
    if failures:
        raise CliError("\n".join(failures))


@click.command()
@stack_option
@click.option("--diff", is_flag=True, help="Show every change of a property.")
@parallel
@pass_session
def preview(session: Session, diff: bool, parallel: int) -> None:
    """Show what `up` would do."""
    session.config()
    passphrase.provide(session.matrix)
    engine = choice.choose()
    click.echo(engine.line)
    _end(engine.preview(Run(session.root, session.stack, diff=diff, parallel=parallel)))


@click.command()
@stack_option
@yes
@parallel
@pass_session
def refresh(session: Session, yes: bool, parallel: int) -> None:
    """Read what really exists into the state."""
    del yes  # nothing real is touched; the option is there because Pulumi's command has it
    passphrase.provide(session.matrix)
    engine = choice.choose()
    click.echo(engine.line)
    _end(engine.refresh(Run(session.root, session.stack, parallel=parallel)))


@click.command()
@stack_option
@yes
@parallel
@pass_session
def destroy(session: Session, yes: bool, parallel: int) -> None:
    """Remove every machine and file of the stack."""
    if not yes and not sys.stdin.isatty():
        raise CliError(f"destroying the stack {session.stack} needs --yes where nobody can be asked")
    passphrase.provide(session.matrix)
    engine = choice.choose()
    click.echo(engine.line)
    if not engine.destroy(Run(session.root, session.stack, ask=not yes, parallel=parallel)):
        raise click.exceptions.Exit(1)
    leftovers.remove_and_verify(session.folder)
    click.echo(f"Nothing is left of the stack {session.stack}.")


@click.command()
@stack_option
@click.option("--tests", is_flag=True, help="Also what ./matrix test needs.")
@pass_session
def prepare(session: Session, tests: bool) -> None:
    """Install what this computer lacks (up does it by itself as root)."""
    config = session.config()
    used = hypervisor.chosen(config.hypervisor, session.folder)
    wanted = (*packages.needed(used.name, config.base.source), *(packages.TESTS if tests else ()))
    host.prepare(wanted, session.matrix / "logs" / "apt.log")
    click.echo("Everything needed is installed.")


@click.command()
@click.argument("name")
@pass_session
def select(session: Session, name: str) -> None:
    """Make NAME the stack that commands work on."""
    session.choose(name)
    session.config()
    session.selection.write_text(name + "\n", encoding="utf-8")
    click.echo(f"Selected the stack {name}.")


def _end(good: bool) -> None:
    if not good:
        raise click.exceptions.Exit(1)
