"""A whole cloud: what everything shares, the manager, the nodes and the applications on them."""

from typing import Any

import pulumi

from components.addressing import mac
from components.application import Application
from components.machines import Surroundings
from components.manager import Manager
from components.node import Node
from components.resources import BaseImage, Network
from components.trust import Trust
from config import MANAGER, Config
from config import Application as Plan
from services.network import HostEntry, NetworkSpec

NODES = range(2, 255)
"""Numbers a node may have: its address's last octet."""


class Cloud(pulumi.ComponentResource):
    """One stack. `outputs` are what a user wants to know when it is up."""

    def __init__(self, stack: str, config: Config) -> None:
        super().__init__("cloudmatrix:index:Cloud", stack)
        self._stack, self._config = stack, config
        around = self._surroundings()
        self._manager = Manager(around, possible_nodes(stack, config), self)
        self._nodes = {
            host: Node(around, host, size, self._manager, self) for host, size in config.nodes.items()
        }
        self._applications = [self._application(plan) for plan in config.applications]
        self.register_outputs({})

    @property
    def outputs(self) -> dict[str, Any]:
        """`urls` by application, `addresses`, `ssh` commands and (secret) `connections` by host."""
        config, machines = self._config, [self._manager.machine, *(n.machine for n in self._nodes.values())]
        base = f"http://{_shown(config.forwards.address)}:{config.forwards.http}"
        return {
            "urls": {app.name: base + app.url for app in self._applications if app.url is not None},
            "addresses": {machine.host: machine.address for machine in machines},
            "ssh": {machine.host: f"./matrix ssh {machine.host}" for machine in machines},
            "connections": pulumi.Output.secret({machine.host: machine.connection for machine in machines}),
        }

    def _surroundings(self) -> Surroundings:
        config = self._config
        child = pulumi.ResourceOptions(parent=self)
        network = NetworkSpec(config.network.cidr, config.network.domain)
        trust = Trust(self._stack, [MANAGER, *config.nodes], network, self)
        return Surroundings(
            stack=self._stack,
            config=config,
            hypervisor=config.hypervisor,
            trust=trust,
            image=BaseImage("base-image", source=config.base.wire, opts=child),
            network=Network("internal", cidr=config.network.cidr, hypervisor=config.hypervisor, opts=child),
            network_spec=network,
        )

    def _application(self, plan: Plan) -> Application:
        return Application(
            plan,
            manager=self._manager.machine,
            nodes={host: node.machine for host, node in self._nodes.items()},
            registry=self._manager.registry,
            after={
                MANAGER: [self._manager.registry_service],
                "router": [self._manager.router_service],
                **{host: list[pulumi.Resource](node.ready) for host, node in self._nodes.items()},
            },
            parent=self,
        )


def possible_nodes(stack: str, config: Config) -> tuple[HostEntry, ...]:
    """Every node the network has room for, with the MAC and the address it would have."""
    return tuple(
        HostEntry(host, mac(stack, host, "internal"), config.network.address(host))
        for host in (f"node{number}" for number in NODES)
    )


def _shown(address: str) -> str:
    return "127.0.0.1" if address == "0.0.0.0" else address  # noqa: S104 - where to ask, not to listen
