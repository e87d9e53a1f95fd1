"""dnsmasq on the manager: DHCP and DNS for the private network, and for nothing else.

It answers for the cloud's own domain only and forwards nothing: nodes reach the outside by name through
Squid, which resolves on the manager, so a node has no DNS tunnel out.
"""

from collections.abc import Sequence

from services.files import File
from services.network import INTERNAL_CARD, MANAGER, HostEntry, NetworkSpec
from services.templates import render

UNIT = "dnsmasq.service"
CONFIG = "/etc/dnsmasq.conf"
HOSTS = "/etc/dnsmasq.hosts"
LEASES = "/var/lib/misc/dnsmasq.leases"
"""One line a lease: expiry (Unix time), MAC, address, name, client id. Readable by every user."""
READY = "systemctl is-active --quiet dnsmasq.service"


def dnsmasq_files(network: NetworkSpec, hosts: Sequence[HostEntry]) -> tuple[File, ...]:
    """`hosts` may hold nodes that do not exist (yet): a name resolves only while its lease lasts."""
    values = {
        "card": INTERNAL_CARD,
        "network": network,
        "netmask": network.network.netmask,
        "hosts_file": HOSTS,
        "lease_file": LEASES,
    }
    return (
        File(CONFIG, render("dnsmasq.conf.j2", **values)),
        File(HOSTS, "".join(f"{host.mac.lower()},{host.address},{host.name}\n" for host in hosts)),
        File(f"/etc/systemd/system/{UNIT}", render("dnsmasq.service.j2", config=CONFIG)),
    )


def hosts_file(network: NetworkSpec, hosts: Sequence[HostEntry]) -> File:
    """The manager's own /etc/hosts: its name is never a loopback address, and nodes go by name there too."""
    entries = [HostEntry(MANAGER, "", network.manager), *hosts]
    lines = [f"{host.address} {host.name}.{network.domain} {host.name}\n" for host in entries]
    return File("/etc/hosts", "127.0.0.1 localhost\n::1 localhost\n" + "".join(lines))
