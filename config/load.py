"""What the program calls: reads the stack config from Pulumi, or ends the run with one message."""

import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any, NoReturn

import pulumi
from pulumi.runtime import config as pulumi_config

from config.host import host_facts
from config.model import Config, ConfigError
from config.parse import parse
from config.stackfile import NAMESPACE

ALREADY_SHOWN = 32
"""The exit code by which Pulumi's language host knows that the message is out."""


def load() -> Config:
    """The config of the running stack. What is wrong with it is logged once, then the program exits."""
    quiet_interrupts()
    folder = Path.cwd() / ".matrix" / pulumi.get_stack()
    try:
        return parse(_raw(), host_facts(folder))
    except ConfigError as error:
        fail(str(error))


def fail(message: str) -> NoReturn:
    """Ends the program with one message and no traceback."""
    pulumi.log.error(message)
    sys.exit(ALREADY_SHOWN)


def quiet_interrupts() -> None:
    """After any failed resource Pulumi's CLI interrupts the program, which would print a traceback.

    Only where the CLI's language host runs the program: elsewhere the process belongs to someone else.
    """
    ours = "PULUMI_CONFIG" in os.environ and threading.current_thread() is threading.main_thread()
    if ours and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, lambda *_: os._exit(1))


def _raw() -> dict[str, Any]:
    """All keys of the namespace, so that unknown ones are found too. `pulumi.Config` cannot list keys, and
    its secret getters would wrap a whole object when one value in it is secret."""
    prefix = f"{NAMESPACE}:"
    settings = {**pulumi_config.get_config_env(), **pulumi_config.CONFIG.get()}
    return {key.removeprefix(prefix): value for key, value in settings.items() if key.startswith(prefix)}
