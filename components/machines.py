"""A virtual machine of the cloud, the way to it, and what it starts with."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
from pulumi_command import remote

from cloudinit.hosts import LOGIN
from cloudinit.render import HostSeed, network_config, user_data
from components.resources import BaseImage, Network, VirtualMachine
from components.trust import Trust
from config import MANAGER, Config, Size
from services.network import NetworkSpec


@dataclass(frozen=True)
class Surroundings:
    """What every machine of one cloud is made with."""

    stack: str
    config: Config
    hypervisor: str
    trust: Trust
    image: BaseImage
    network: Network
    network_spec: NetworkSpec


@dataclass(frozen=True)
class Machine:
    """A machine that others build on. They name its `incarnation`, and so wait until it is up."""

    host: str
    address: str
    vm: VirtualMachine
    connection: Mapping[str, Any]

    @property
    def incarnation(self) -> pulumi.Output[str]:
        return self.vm.incarnation


def connection_to(around: Surroundings, host: str) -> dict[str, Any]:
    """The wire connection to a host: the manager by its forwarded port, a node through the manager."""
    own = {
        "user": LOGIN,
        "private_key": around.trust.login.private_key,
        "host_key": around.trust.host_keys[host].public_key,
    }
    if host == MANAGER:
        return {"host": "127.0.0.1", "port": around.config.forwards.ssh, **own}
    address = around.config.network.address(host)
    return {"host": address, "port": 22, **own, "proxy": connection_to(around, MANAGER)}


def command_connection(connection: Mapping[str, Any]) -> remote.ConnectionArgs:
    """The same connection for pulumi-command, with its host keys pinned too."""
    own = {key: connection[key] for key in ("host", "port", "user", "private_key", "host_key")}
    proxy = connection.get("proxy")
    if proxy is None:
        return remote.ConnectionArgs(**own, per_dial_timeout=30)
    return remote.ConnectionArgs(
        **own,
        per_dial_timeout=30,
        proxy=remote.ProxyConnectionArgs(
            **{key: proxy[key] for key in ("host", "port", "user", "private_key", "host_key")},
            per_dial_timeout=30,
        ),
    )


def virtual_machine(
    around: Surroundings,
    host: str,
    size: Size,
    *,
    cards: Sequence[Mapping[str, Any]],
    seed: pulumi.Output[HostSeed],
    ssh_port: int | None,
    parent: pulumi.Resource,
) -> Machine:
    """Declare the machine of a host. Machines depend on no other machine: all of them boot at once."""
    raw = connection_to(around, host)
    vm = VirtualMachine(
        f"{host}-vm",
        hostname=host,
        hypervisor=around.hypervisor,
        image={"id": around.image.id, "path": around.image.path},
        cpus=size.cpus,
        memory=size.memory,
        disk=size.disk,
        cards=cards,
        user_data=pulumi.Output.secret(seed.apply(user_data)),
        network_config=seed.apply(lambda known: network_config(known.cards)),
        connection=raw,
        ssh_port=ssh_port,
        opts=pulumi.ResourceOptions(parent=parent, depends_on=[around.network]),
    )
    return Machine(host, around.config.network.address(host), vm, raw)
