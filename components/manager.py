"""The manager: the one machine with a way out, and what it does for the others."""

from collections.abc import Mapping, Sequence

import pulumi

from cloudinit.hosts import LOGIN, manager_seed
from components.addressing import mac
from components.machines import Machine, Surroundings, virtual_machine
from components.resources import PortForward, Service
from components.services import rendered, service, wire_files
from config import MANAGER
from services import dnsmasq, firewall, node_exporter, registry, router, squid, ssh
from services.files import File
from services.kernel import kernel_files
from services.network import HostEntry

NAT = "nat"
REGISTRY_USER = "cloudmatrix"


class Manager(pulumi.ComponentResource):
    """Dnsmasq, Squid, the registry, the router and the packet filter, and the ports that lead to them.

    `hosts` are all nodes that may ever join, so that one more changes nothing here.
    """

    def __init__(self, around: Surroundings, hosts: Sequence[HostEntry], parent: pulumi.Resource) -> None:
        options = pulumi.ResourceOptions(parent=parent)
        super().__init__("cloudmatrix:index:Manager", MANAGER, None, options)
        self._around, self._hosts, self._network = around, hosts, around.network_spec
        self.machine = self._machine()
        # Images wait for the registry; all else is there from the first boot and is only looked at.
        self.registry_service = self._registry()
        self.router_service = self._router()
        self._system()
        self._names_and_way_out()
        self.register_outputs({})

    @property
    def registry(self) -> Mapping[str, pulumi.Input[str]]:
        """How images get into the registry, and out of it."""
        trust = self._around.trust
        return {
            "host": registry.registry_host(self._network),
            "ca": trust.authority.certificate,
            "username": REGISTRY_USER,
            "password": trust.registry_password.value,
        }

    def _machine(self) -> Machine:
        around, trust = self._around, self._around.trust
        macs = {card: mac(around.stack, MANAGER, card) for card in ("nat", "internal")}
        seed = pulumi.Output.all(
            authorized_key=trust.login.public_key,
            host_private_key=trust.host_keys[MANAGER].private_key,
            host_public_key=trust.host_keys[MANAGER].public_key,
        ).apply(
            lambda keys: manager_seed(
                self._network,
                self._hosts,
                around.config.egress,
                nat_mac=macs["nat"],
                internal_mac=macs["internal"],
                **keys,
            )
        )
        return virtual_machine(
            around,
            MANAGER,
            around.config.manager,
            cards=[
                {"network": NAT, "mac": macs["nat"]},
                {"network": around.network.id, "mac": macs["internal"]},
            ],
            seed=seed,
            ssh_port=around.config.forwards.ssh,
            parent=self,
        )

    def _system(self) -> None:
        after = [self.registry_service]
        system(self.machine, kernel_files(router=True), self, after)
        service(
            self.machine,
            "firewall",
            wire_files(firewall.firewall_files(self._network)),
            unit=firewall.UNIT,
            ready=firewall.READY,
            parent=self,
            after=after,
        )

    def _names_and_way_out(self) -> None:
        names = (
            *dnsmasq.dnsmasq_files(self._network, self._hosts),
            dnsmasq.hosts_file(self._network, self._hosts),
        )
        service(
            self.machine,
            "dnsmasq",
            wire_files(names),
            unit=dnsmasq.UNIT,
            ready=dnsmasq.READY,
            parent=self,
            after=[self.registry_service],
        )
        service(
            self.machine,
            "squid",
            wire_files(squid.squid_files(self._network, self._around.config.egress)),
            unit=squid.UNIT,
            action="reload",
            ready=squid.READY,
            parent=self,
            after=[self.registry_service],
        )

    def _registry(self) -> Service:
        trust = self._around.trust
        files = rendered(
            lambda **known: registry.registry_files(self._network, username=REGISTRY_USER, **known),
            certificate=trust.registry_certificate.certificate,
            private_key=trust.registry_certificate.private_key,
            bcrypt=trust.registry_password.bcrypt,
        )
        return service(
            self.machine,
            "registry",
            files,
            unit=registry.UNIT,
            ready=registry.ready(self._network),
            parent=self,
        )

    def _router(self) -> Service:
        made = service(
            self.machine,
            "router",
            wire_files(router.router_files()),
            unit=router.UNIT,
            ready=router.READY,
            parent=self,
            after=[self.registry_service],
        )
        forwards = self._around.config.forwards
        PortForward(
            "http",
            machine=self.machine.vm.uuid,
            hypervisor=self._around.hypervisor,
            host_ip=forwards.address,
            host_port=forwards.http,
            guest_port=firewall.ROUTER_PORT,
            opts=pulumi.ResourceOptions(parent=self, deleted_with=self.machine.vm),
        )
        return made


def system(
    machine: Machine, kernel: Sequence[File], parent: pulumi.Resource, after: Sequence[pulumi.Resource]
) -> None:
    """What every machine has besides its duties: sshd's settings, the kernel's, and the node exporter."""
    login = wire_files(ssh.ssh_files(LOGIN))
    service(machine, "ssh", login, unit=ssh.UNIT, action="reload", parent=parent, after=after)
    service(machine, "kernel", wire_files(kernel), parent=parent, after=after)
    service(
        machine,
        "node-exporter",
        wire_files(node_exporter.node_exporter_files(machine.address)),
        unit=node_exporter.UNIT,
        ready=node_exporter.ready(machine.address),
        parent=parent,
        after=after,
    )
