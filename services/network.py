"""The cloud's private network as the services on it see it."""

import ipaddress
from dataclasses import dataclass

MANAGER = "manager"
INTERNAL_CARD, NAT_CARD = "matrix0", "nat0"
"""Names of the cards on every machine: the private network's, and (manager only) the one that leads out."""


@dataclass(frozen=True)
class NetworkSpec:
    """`cidr` is an IPv4 network of 24 bits; the manager is its first host. `domain` has no leading dot."""

    cidr: str = "10.10.10.0/24"
    domain: str = "matrix"

    @property
    def network(self) -> ipaddress.IPv4Network:
        return ipaddress.IPv4Network(self.cidr)

    @property
    def manager(self) -> str:
        """The manager's address."""
        return str(self.network[1])

    @property
    def manager_name(self) -> str:
        return f"{MANAGER}.{self.domain}"


@dataclass(frozen=True)
class HostEntry:
    """A node that may join: its host word, its internal card's MAC (colons) and its fixed address."""

    name: str
    mac: str
    address: str
