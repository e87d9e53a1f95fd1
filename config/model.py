"""A cloud as its stack config describes it, with every default filled in. Memory is MiB, disk GiB."""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field

import pulumi

MANAGER = "manager"
"""The host word of the machine that serves the others."""


def number(host: str) -> int:
    """The last octet of a host's address: 1 for the manager, N for nodeN."""
    return 1 if host == MANAGER else int(host.removeprefix("node"))


@dataclass(frozen=True)
class Secret:
    """A value that no repr, log or message shows."""

    value: str = field(repr=False)

    @property
    def output(self) -> pulumi.Output[str]:
        """The value for a resource's input: encrypted in the state, `[secret]` on the screen."""
        return pulumi.Output.secret(self.value)


@dataclass(frozen=True)
class Size:
    cpus: int
    memory: int
    disk: int


@dataclass(frozen=True)
class Network:
    """The private network of the cloud. `cidr` has 24 bits: the last octet is the host's number."""

    cidr: str
    domain: str

    def address(self, host: str) -> str:
        """The IPv4 address of `manager` or `nodeN`."""
        return str(ipaddress.IPv4Network(self.cidr)[number(host)])

    def fqdn(self, host: str) -> str:
        return f"{host}.{self.domain}"

    @property
    def manager_address(self) -> str:
        return self.address(MANAGER)


@dataclass(frozen=True)
class Forwards:
    """Ports of this computer: `ssh` (always on 127.0.0.1) and `http` (on `address`) lead to the manager."""

    ssh: int
    http: int
    address: str


@dataclass(frozen=True)
class Base:
    """Where the machines' base image comes from: `source` is packages, iso or cloud.

    `release` goes with packages alone. A file has a `url`, with a sum, or a `path`. `sha256` is its sum in
    hex, or the address or path of a SHA256SUMS file. Without `mirror`, packages and Debian's installer use
    the mirror of this computer's apt, a cloud image and Ubuntu's installer their own.
    """

    source: str
    release: str | None = None
    mirror: str | None = None
    url: str | None = None
    path: str | None = None
    sha256: str | None = None

    @property
    def wire(self) -> dict[str, str]:
        """The source of the resource BaseImage."""
        given = {
            "release": self.release,
            "mirror": self.mirror,
            "url": self.url,
            "path": self.path,
            "sha256": self.sha256,
        }
        return {"from": self.source, **{key: value for key, value in given.items() if value is not None}}


@dataclass(frozen=True)
class Placement:
    """One instance of an application: the `number`-th (from 1) on its node."""

    node: str
    number: int = 1

    @property
    def name(self) -> str:
        """Unique within the application: node2, or node2-2 for the second one there."""
        return self.node if self.number == 1 else f"{self.node}-{self.number}"


@dataclass(frozen=True)
class Application:
    """Exactly one of `source`, `image` and `archive` is set. Without `port` it is a job that runs once."""

    name: str
    source: str | None
    image: str | None
    archive: str | None
    port: int | None
    path: str
    strip: bool
    health_path: str
    placements: tuple[Placement, ...]
    environment: Mapping[str, str]
    secrets: Mapping[str, Secret]
    memory: int
    release: str | None
    cache_seconds: int
    timeout_seconds: int


@dataclass(frozen=True)
class Config:
    """`nodes` are in the order of their numbers, `applications` in that of their names."""

    hypervisor: str
    manager: Size
    nodes: Mapping[str, Size]
    network: Network
    forwards: Forwards
    base: Base
    egress: tuple[str, ...]
    applications: tuple[Application, ...]


@dataclass(frozen=True)
class HostFacts:
    """What this computer can give: `memory` is MiB that is free or held by this stack's own machines."""

    memory: int


class ConfigError(Exception):
    """Everything that is wrong with a stack config; each error is one line `field: got …; need …; try …`."""

    def __init__(self, errors: tuple[str, ...]) -> None:
        super().__init__("\n".join(errors))
        self.errors = errors
