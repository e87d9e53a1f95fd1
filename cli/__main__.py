"""The command line behind ./matrix."""

import sys
import time
import traceback
from pathlib import Path
from typing import Any

import click

from cli.cache import cache
from cli.doctor import doctor
from cli.errors import CliError
from cli.lifecycle import destroy, prepare, preview, refresh, select, up
from cli.outputs import apps, nodes, outputs
from cli.session import Session, stack_option
from cli.settings import settings
from cli.ssh import ssh
from cli.testing import test
from config import ConfigError
from engine.errors import EngineError

ROOT = Path(__file__).resolve().parent.parent


class Commands(click.Group):
    """Turns what is expected to fail into one message, and keeps the traceback of everything else."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (ConfigError, EngineError) as error:
            raise CliError(str(error)) from None
        except (click.ClickException, click.exceptions.Exit, click.Abort, KeyboardInterrupt):
            raise
        except Exception as error:
            raise CliError(_kept(ctx.ensure_object(Session), error)) from None

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order of a day's work, not of the alphabet."""
        del ctx
        return list(self.commands)


def _kept(session: Session, error: Exception) -> str:
    folder = session.matrix / "logs"
    folder.mkdir(mode=0o700, exist_ok=True)
    file = folder / f"error-{time.strftime('%Y%m%d-%H%M%S')}.log"
    file.touch(mode=0o600)
    file.write_text("".join(traceback.format_exception(error)), encoding="utf-8")
    return f"internal error: {error!r}; the traceback is in {file}; please report it"


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@stack_option
def main() -> None:
    """A private cloud of virtual machines on this computer."""


DAILY = (up, preview, refresh, destroy, outputs, ssh, apps, nodes)
SELDOM = (settings, select, doctor, prepare, cache, test)

for command in (*DAILY, *SELDOM):
    main.add_command(command)


if __name__ == "__main__":
    sys.exit(main(prog_name="./matrix", obj=Session(ROOT)))
