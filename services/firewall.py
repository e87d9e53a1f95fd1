"""The manager's packet filter: a table of its own, which Docker's rules cannot undo (a drop is final)."""

from collections.abc import Sequence

from services.files import File
from services.network import INTERNAL_CARD, NAT_CARD, NetworkSpec
from services.registry import PORT as REGISTRY_PORT
from services.squid import FORBIDDEN, FORBIDDEN_IPV6
from services.squid import PORT as PROXY_PORT
from services.templates import render

UNIT = "matrix-firewall.service"
CONFIG = "/etc/matrix/firewall.nft"
ROUTER_PORT = 6081
OUTER_PORTS = (22, ROUTER_PORT)
READY = "nft list table inet matrix >/dev/null"


def firewall_files(network: NetworkSpec, outer_ports: Sequence[int] = OUTER_PORTS) -> tuple[File, ...]:
    """`outer_ports` are TCP ports open on the NAT card. Nodes reach DHCP, DNS, the proxy and the registry."""
    values = {
        "network": network,
        "internal": INTERNAL_CARD,
        "outer": NAT_CARD,
        "outer_ports": list(outer_ports),
        "inner_ports": [53, PROXY_PORT, REGISTRY_PORT],
        "forbidden": FORBIDDEN,
        "forbidden_ipv6": FORBIDDEN_IPV6,
    }
    return (
        File(CONFIG, render("firewall.nft.j2", **values)),
        File(f"/etc/systemd/system/{UNIT}", render("matrix-firewall.service.j2", config=CONFIG)),
    )
