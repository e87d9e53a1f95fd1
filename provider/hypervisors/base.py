"""The narrow interface every hypervisor implements. No word of any one hypervisor appears here."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Literal, Protocol

NAT = "nat"
"""The network name of a card that reaches the outside through this computer."""


class PowerState(Enum):
    """ABSENT: nothing of the machine exists; OFF: it exists and does not run; BROKEN: its record or disk
    is unusable and only `delete` helps."""

    ABSENT = "absent"
    OFF = "off"
    RUNNING = "running"
    BROKEN = "broken"


@dataclass(frozen=True)
class Facts:
    """What this hypervisor is on this computer, for `doctor` and for messages. The version is "" when it is
    not installed; with a problem no machine starts; each text is "what is wrong; what to do"."""

    name: str
    version: str
    accelerator: str
    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Card:
    """A network card, in slot order. `network` is NAT or a network's name; `mac` is lower case."""

    network: str
    mac: str


@dataclass(frozen=True)
class Forward:
    """A TCP port of this computer led to `guest_port` of the machine's NAT card. The name is unique within
    the machine: a-z, 0-9 and -."""

    name: str
    host_ip: str
    host_port: int
    guest_port: int


@dataclass(frozen=True)
class Machine:
    """A virtual machine as it should be. Memory is MiB, disk GiB; `seed` is an ISO attached at first boot.

    `folder` belongs to this machine alone and is removed with it.
    """

    uuid: str
    name: str
    stack: str
    folder: Path
    image: Path
    cpus: int
    memory: int
    disk: int
    cards: tuple[Card, ...]
    forwards: tuple[Forward, ...] = ()
    seed: Path | None = None


@dataclass(frozen=True)
class Status:
    """A machine as it is. `forwards`, `cpus` and `memory` are read back from the hypervisor.

    `reason` is what the hypervisor says of one that does not run; empty when that is nothing. `crashed`: it
    was the hypervisor that broke down, so that another start may go well.
    """

    state: PowerState
    cpus: int = 0
    memory: int = 0
    disk: int = 0
    accelerator: str = ""
    forwards: tuple[Forward, ...] = ()
    reason: str = field(default="", compare=False)
    crashed: bool = field(default=False, compare=False)


StopMode = Literal["graceful", "now"]


class Hypervisor(Protocol):
    """Synchronous and thread-safe; every call is idempotent; a machine is known by its UUID alone.

    Failures the user can mend raise `provider.errors.UserError`.
    """

    name: str

    def probe(self) -> Facts: ...

    def create_network(self, stack: str, name: str, cidr: str) -> None: ...

    def network_exists(self, stack: str, name: str) -> bool: ...

    def delete_network(self, stack: str, name: str) -> None: ...

    def create(self, machine: Machine) -> None:
        """Make the clone and its record without starting it; adopt a half-made one of the same UUID."""
        ...

    def start(self, uuid: str) -> None: ...

    def stop(self, uuid: str, mode: StopMode, deadline: float = 60.0) -> None:
        """`graceful` asks the guest and falls back to `now` after `deadline` seconds."""
        ...

    def status(self, uuid: str) -> Status: ...

    def configure(self, uuid: str, cpus: int, memory: int, disk: int) -> None:
        """Change a machine that is OFF; the disk only grows."""
        ...

    def forward(self, uuid: str, rule: Forward) -> None:
        """Add a forward, live when the machine runs. A port in use is a UserError that names the holder."""
        ...

    def unforward(self, uuid: str, name: str) -> None: ...

    def detach_seed(self, uuid: str) -> None:
        """Take the seed out of the machine and delete its file."""
        ...

    def console_tail(self, uuid: str, lines: int = 40) -> Sequence[str]: ...

    def delete(self, uuid: str) -> None:
        """Stop and remove the machine with all it owns, and check that nothing is left."""
        ...

    def list(self, stack: str) -> Sequence[str]:
        """UUIDs of this stack's machines, half-made ones included."""
        ...
