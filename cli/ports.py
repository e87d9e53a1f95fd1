"""Who holds a TCP port of this computer."""

from dataclasses import dataclass
from pathlib import Path

import psutil

from config.host import works_in

EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104 - compared with, never bound


@dataclass(frozen=True)
class Holder:
    """`pid` None means a process that only root may look at."""

    pid: int | None
    name: str

    def __str__(self) -> str:
        return f"pid {self.pid} ({self.name})" if self.pid else "a process of another user"

    def belongs_to(self, folder: Path) -> bool:
        """Whether it is a machine of the stack that this folder is of. VirtualBox does not say whose."""
        if self.pid is None or not psutil.pid_exists(self.pid):
            return False
        return self.name.startswith(("VBoxHeadless", "VirtualBoxVM")) or works_in(
            psutil.Process(self.pid), folder
        )


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
        return Holder(pid, psutil.Process(pid).name())
    except psutil.Error:
        return Holder(pid, "gone meanwhile")
