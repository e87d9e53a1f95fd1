"""What each kind of machine starts with, put together from the services."""

from collections.abc import Sequence

from cloudinit.render import HostSeed, manager_cards, node_cards
from services import dnsmasq, docker, firewall, node_exporter, router, squid
from services.dnsmasq import dnsmasq_files, hosts_file
from services.docker import docker_files
from services.files import File
from services.firewall import firewall_files
from services.kernel import kernel_files
from services.network import HostEntry, NetworkSpec
from services.node_exporter import node_exporter_files
from services.registry import public_registry_files
from services.squid import squid_files
from services.ssh import ssh_files

LOGIN = "matrix"


def manager_files(
    network: NetworkSpec, hosts: Sequence[HostEntry], allowed: Sequence[str]
) -> tuple[File, ...]:
    """All files of the manager's first boot; the Services hold the same ones later."""
    return (
        *firewall_files(network),
        *dnsmasq_files(network, hosts),
        hosts_file(network, hosts),
        *squid_files(network, allowed),
        *public_registry_files(network),
        *router.router_files(),
        *node_exporter_files(network.manager),
        *kernel_files(router=True),
        *ssh_files(LOGIN),
    )


def node_files(network: NetworkSpec, ca_certificate: str, address: str) -> tuple[File, ...]:
    """All files of a node's first boot; `address` is its own."""
    return (
        *docker_files(network, ca_certificate),
        *node_exporter_files(address),
        *kernel_files(),
        *ssh_files(LOGIN),
    )


def manager_seed(
    network: NetworkSpec,
    hosts: Sequence[HostEntry],
    allowed: Sequence[str],
    *,
    nat_mac: str,
    internal_mac: str,
    authorized_key: str,
    host_private_key: str,
    host_public_key: str,
) -> HostSeed:
    """`hosts` are all nodes that may ever join. Docker starts at its first use: nothing here needs it."""
    return HostSeed(
        user=LOGIN,
        authorized_keys=(authorized_key,),
        host_private_key=host_private_key,
        host_public_key=host_public_key,
        files=manager_files(network, hosts, allowed),
        cards=manager_cards(nat_mac, internal_mac, f"{network.manager}/{network.network.prefixlen}"),
        units=(firewall.UNIT, dnsmasq.UNIT, squid.UNIT),
        units_late=(router.UNIT, node_exporter.UNIT),
        units_off=(docker.UNIT, "containerd.service"),
    )


def node_seed(
    network: NetworkSpec,
    ca_certificate: str,
    address: str,
    *,
    internal_mac: str,
    authorized_key: str,
    host_private_key: str,
    host_public_key: str,
) -> HostSeed:
    """Docker starts by itself, as its package has it."""
    return HostSeed(
        user=LOGIN,
        authorized_keys=(authorized_key,),
        host_private_key=host_private_key,
        host_public_key=host_public_key,
        files=node_files(network, ca_certificate, address),
        cards=node_cards(internal_mac),
        units_late=(node_exporter.UNIT,),
    )
