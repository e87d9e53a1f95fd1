"""Squid on the manager: the only way out for nodes, to an allow-list of destinations."""

import ipaddress
import re
from collections.abc import Sequence

from services.files import File
from services.network import NetworkSpec
from services.templates import render

UNIT = "squid.service"
PORT = 3128
CONFIG = "/etc/squid/squid.conf"
NAMES_UNITS = ("squid-names.path", "squid-names.service")
READY = "systemctl is-active --quiet squid.service"

FORBIDDEN = (
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.168.0.0/16",
    "224.0.0.0/3",
)
"""Never a destination, whatever name leads there: this network, other private ones, link-local, multicast."""
# No block for ::ffff:a.b.c.d: that is IPv4 to Squid, and the block would be all of IPv4.
FORBIDDEN_IPV6 = ("::/127", "64:ff9b::/96", "fc00::/7", "fe80::/10", "ff00::/8")

_NAME = re.compile(r"\.?([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


def squid_files(network: NetworkSpec, allowed: Sequence[str]) -> tuple[File, ...]:
    """`allowed` are host names, `.suffix` (the domain and all below it) or public IPv4 addresses.

    Nodes reach them by HTTP on port 80 and by CONNECT to port 443. Raises ValueError for anything else.
    """
    literals, names = _sorted(allowed)
    values = {
        "network": network,
        "port": PORT,
        "names": names,
        "literals": literals,
        "forbidden": [*FORBIDDEN, *FORBIDDEN_IPV6],
    }
    return (
        File(CONFIG, render("squid.conf.j2", **values)),
        File(f"/etc/systemd/system/{UNIT}", render("squid.service.j2", config=CONFIG)),
        *(File(f"/etc/systemd/system/{name}", render(name)) for name in NAMES_UNITS),
    )


def _sorted(allowed: Sequence[str]) -> tuple[list[str], list[str]]:
    """Literals and names, each once; names that a `.suffix` covers are left out (Squid refuses overlaps)."""
    entries = sorted({_checked(entry) for entry in allowed})
    literals = [entry for entry in entries if _is_address(entry)]
    names = [entry for entry in entries if not _is_address(entry)]
    suffixes = [entry for entry in names if entry.startswith(".")]
    return literals, [name for name in names if not any(_covers(suffix, name) for suffix in suffixes)]


def _covers(suffix: str, name: str) -> bool:
    return name != suffix and (name == suffix[1:] or name.endswith(suffix))


def _is_address(entry: str) -> bool:
    try:
        ipaddress.IPv4Address(entry)
    except ValueError:
        return False
    return True


def _checked(entry: str) -> str:
    name = entry.lower()
    if _is_address(name) and any(
        ipaddress.IPv4Address(name) in ipaddress.IPv4Network(net) for net in FORBIDDEN
    ):
        raise ValueError(f"egress: got {entry!r}; need a public address; private ones are never let through")
    # A last label of digits alone is an address in disguise (127.1), not a name.
    if not _is_address(name) and (not _NAME.fullmatch(name) or name.rpartition(".")[2].isdigit()):
        raise ValueError(f"egress: got {entry!r}; need a host name, a .suffix or an IPv4 address")
    return name
