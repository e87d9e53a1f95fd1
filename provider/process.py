"""The plugin as a process: what it inherits, what it announces, and when it ends."""

import argparse
import contextlib
import faulthandler
import os
import signal
import sys
import threading
from collections.abc import MutableMapping, Sequence
from pathlib import Path

import psutil

from provider import guard, log
from provider.progress import Progress
from provider.registry import Registry
from provider.server import Servicer, serve


def run(arguments: Sequence[str], project: Path, registry: Registry) -> None:
    """Serve the engine whose address is in the arguments, until it ends."""
    engine = engine_address(arguments)
    scrub(os.environ)
    guard.start()
    # A ^C at the terminal reaches us too; the engine tells us by Cancel. Children get the default again.
    signal.signal(signal.SIGINT, lambda *_: None)
    path = log.start(project)
    server, port = serve(Servicer(registry, Progress(engine, project), project, path))
    watch_parent(os.getppid())
    print(port, flush=True)  # noqa: T201 - how the engine learns the port
    detach_output(path.with_name("provider.stderr"))
    server.wait_for_termination()


def engine_address(arguments: Sequence[str]) -> str:
    parser = argparse.ArgumentParser("provider", description="The matrix plugin, as Pulumi starts it.")
    parser.add_argument("engine", help="address of Pulumi's engine")
    address: str = parser.parse_known_args(arguments)[0].engine
    return address


def scrub(environment: MutableMapping[str, str]) -> None:
    """Take Pulumi's settings away from our children: among them are the config and the passphrase."""
    for name in [name for name in environment if name.startswith("PULUMI_")]:
        del environment[name]


def detach_output(file: Path) -> None:
    """Let go of the engine's pipes: a daemon that inherited them would hold up the engine's end."""
    sys.stdout.flush()
    sys.stderr.flush()
    target = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
    os.dup2(target, 1)
    os.dup2(target, 2)
    os.close(target)
    faulthandler.enable()


def watch_parent(parent: int) -> None:
    """End with the engine, even when it is killed: nobody would keep what we make."""
    threading.Thread(target=_end_with, args=(parent,), name="watch-parent", daemon=True).start()


def _end_with(parent: int) -> None:
    with contextlib.suppress(psutil.Error):
        psutil.Process(parent).wait()
    os._exit(1)
