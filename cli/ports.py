"""Who holds a TCP port of this computer."""

from dataclasses import dataclass
from pathlib import Path

import psutil

EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104 - compared with, never bound


@dataclass(frozen=True)
class Holder:
    """`pid` None means a process that only root may look at."""

    pid: int | None
    name: str
    command: str = ""

    def __str__(self) -> str:
        return f"pid {self.pid} ({self.name})" if self.pid else "a process of another user"

    def belongs_to(self, folder: Path) -> bool:
        """Whether it is a machine of the stack that this folder is of. VirtualBox does not say whose."""
        return str(folder) in self.command or self.name.startswith(("VBoxHeadless", "VirtualBoxVM"))


def holder(address: str, port: int) -> Holder | None:
    """Who listens where `address:port` would be bound; None when it is free."""
    for connection in psutil.net_connections("tcp"):
        if connection.status != psutil.CONN_LISTEN or not connection.laddr:
            continue
        ip, held = connection.laddr
        if held == port and (ip == address or ip in EVERYWHERE or address in EVERYWHERE):
            return _describe(connection.pid)
    return None


def _describe(pid: int | None) -> Holder:
    if pid is None:
        return Holder(None, "")
    try:
        process = psutil.Process(pid)
        return Holder(pid, process.name(), " ".join(process.cmdline()))
    except psutil.Error:
        return Holder(pid, "gone meanwhile")
