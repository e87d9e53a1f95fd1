"""Who runs the program: the user's `pulumi`, or the embedded engine where there is none."""

import os
import shutil

from cli.embedded import Embedded
from cli.engines import Engine
from cli.errors import CliError
from cli.pulumi_cli import PulumiCli

VARIABLE = "CLOUDMATRIX_ENGINE"


def choose() -> Engine:
    """Raises CliError when the engine that was asked for is not there."""
    wanted, program = os.environ.get(VARIABLE, ""), shutil.which("pulumi")
    match wanted, program:
        case (("" | "pulumi"), str()):
            return PulumiCli(program, f"Engine: {program}")
        case "embedded", _:
            return Embedded(f"Engine: embedded ({VARIABLE} says so)")
        case "", None:
            return Embedded("Engine: embedded (there is no pulumi on PATH)")
        case "pulumi", None:
            raise CliError(
                f"{VARIABLE} is pulumi, but there is no pulumi on PATH; install it, or unset {VARIABLE}"
            )
        case _:
            raise CliError(f'{VARIABLE}: got "{wanted}"; need embedded or pulumi; try unsetting it')
