"""QEMU's monitor, over qemu.qmp, from plain threads: one short conversation a call."""

import asyncio
import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from qemu.qmp import ConnectError, QMPClient, QMPError
from qemu.qmp.qmp_client import ExecuteError, GreetingError, NegotiationError

from provider.errors import described
from provider.hypervisors.base import Forward
from provider.hypervisors.qemu.argv import MONITOR, NAT_ID, hostfwd_rule

TIMEOUT = 20.0
LONGEST_SOCKET_PATH = 100
_LISTENING = re.compile(r"TCP\[HOST_FORWARD\]\s+\d+\s+(\S+)\s+(\d+)\s+\S+\s+(\d+)")

# The library logs each lost connection as an error; a machine that ends is none.
logging.getLogger("qemu.qmp").setLevel(logging.CRITICAL)


class MonitorError(Exception):
    """The machine's monitor does not answer, or refuses the command."""


def execute(folder: Path, command: str, **arguments: Any) -> Any:
    """Run one command on the machine in this folder and return its result. Raises MonitorError."""
    with _address(folder / MONITOR) as address:
        try:
            return asyncio.run(asyncio.wait_for(_execute(address, command, arguments), TIMEOUT))
        except ExecuteError as error:
            raise MonitorError(f"{command}: {error}") from error
        except (QMPError, OSError, EOFError, TimeoutError) as error:
            raise MonitorError(f"{command}: {described(error)}") from error


def say(folder: Path, line: str) -> str:
    """Run a line of the human monitor; forwards can be changed by it alone."""
    return str(execute(folder, "human-monitor-command", **{"command-line": line})).strip()


def add_forward(folder: Path, rule: Forward) -> None:
    answer = say(folder, f"hostfwd_add {NAT_ID} {hostfwd_rule(rule)}")
    if answer:
        raise MonitorError(answer)


def remove_forward(folder: Path, rule: Forward) -> None:
    """Removing what is not there is no failure."""
    say(folder, f"hostfwd_remove {NAT_ID} tcp:{rule.host_ip}:{rule.host_port}")


def listening(folder: Path) -> set[tuple[str, int, int]]:
    """(address, port, guest port) of every forward that the machine really serves."""
    return parse_usernet(say(folder, "info usernet"))


def parse_usernet(text: str) -> set[tuple[str, int, int]]:
    return {(ip, int(port), int(guest)) for ip, port, guest in _LISTENING.findall(text)}


async def _execute(address: str, command: str, arguments: dict[str, Any]) -> Any:
    client = await _connected(address)
    try:
        return await client.execute(command, arguments or None)
    finally:
        # After `quit` the other side is gone first.
        with suppress(QMPError, OSError, EOFError):
            await client.disconnect()


async def _connected(address: str) -> QMPClient:
    """A client in session, as often as it takes: the library takes an event that QEMU sends before its answer
    for the answer. Nothing has been executed by then."""
    while True:
        client = QMPClient("cloudmatrix")
        try:
            await client.connect(address)
            return client
        except ConnectError as error:
            if not isinstance(error.exc, GreetingError | NegotiationError):
                raise


@contextmanager
def _address(path: Path) -> Iterator[str]:
    """The socket's path, through an open folder where it is too long for the kernel."""
    if len(os.fsencode(path)) <= LONGEST_SOCKET_PATH:
        yield str(path)
        return
    try:
        descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise MonitorError(str(error)) from error
    try:
        yield f"/proc/self/fd/{descriptor}/{path.name}"
    finally:
        os.close(descriptor)
