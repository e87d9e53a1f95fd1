"""Who holds a TCP port of this computer."""

import socket
import sys
from dataclasses import dataclass
from typing import Any

import psutil

ANY = frozenset({"0.0.0.0", "::", ""})  # noqa: S104 - compared with, never bound


@dataclass(frozen=True)
class Holder:
    """`pid` is None when the port belongs to a process we may not look at."""

    pid: int | None
    name: str

    def __str__(self) -> str:
        return f"pid {self.pid} ({self.name})" if self.pid else "another user's process"


def holder(address: str, port: int) -> Holder | None:
    """Who prevents listening on address:port; None when it can be bound now."""
    if bindable(address, port):
        return None
    try:
        connections = psutil.net_connections("tcp")
    except psutil.AccessDenied:  # macOS shows them to root alone
        return Holder(None, "")
    for entry in connections:
        if entry.status == psutil.CONN_LISTEN and _overlap(tuple(entry.laddr), (address, port)):
            return Holder(entry.pid, _name(entry.pid))
    return Holder(None, "")


def bindable(address: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # What lets a port be taken again at once elsewhere lets it be taken away from its holder on Windows.
        if sys.platform == "win32":
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        else:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
            # Two sockets may share a port with SO_REUSEADDR until one listens.
            probe.listen(1)
        except OSError:
            return False
    return True


def _overlap(held: tuple[Any, ...], wanted: tuple[str, int]) -> bool:
    (address, port), (wanted_address, wanted_port) = held, wanted
    return port == wanted_port and (address == wanted_address or address in ANY or wanted_address in ANY)


def _name(pid: int | None) -> str:
    try:
        return psutil.Process(pid).name() if pid else ""
    except psutil.Error:
        return "gone meanwhile"
