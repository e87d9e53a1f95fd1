"""A node: one card, Docker, and no way out but the manager's proxy."""

import pulumi

from cloudinit.hosts import node_seed
from components.addressing import mac
from components.machines import Machine, Surroundings, virtual_machine
from components.manager import Manager, system
from components.resources import Service
from components.services import rendered, service
from config import Size
from services import docker
from services.kernel import kernel_files


class Node(pulumi.ComponentResource):
    """`ready` is what an instance on this node has to wait for."""

    def __init__(
        self, around: Surroundings, host: str, size: Size, manager: Manager, parent: pulumi.Resource
    ) -> None:
        super().__init__("cloudmatrix:index:Node", host, None, pulumi.ResourceOptions(parent=parent))
        self._around, self._host = around, host
        self.machine = self._machine(size)
        self.ready = [self._docker(), self._login(manager)]
        system(self.machine, kernel_files(), self, self.ready)
        self.register_outputs({})

    def _machine(self, size: Size) -> Machine:
        around, trust = self._around, self._around.trust
        address, card = around.config.network.address(self._host), mac(around.stack, self._host, "internal")
        seed = pulumi.Output.all(
            ca_certificate=trust.authority.certificate,
            authorized_key=trust.login.public_key,
            host_private_key=trust.host_keys[self._host].private_key,
            host_public_key=trust.host_keys[self._host].public_key,
        ).apply(lambda known: node_seed(around.network_spec, address=address, internal_mac=card, **known))
        return virtual_machine(
            around,
            self._host,
            size,
            cards=[{"network": around.network.id, "mac": card}],
            seed=seed,
            ssh_port=None,
            parent=self,
        )

    def _docker(self) -> Service:
        files = rendered(
            lambda ca: docker.docker_files(self._around.network_spec, ca),
            ca=self._around.trust.authority.certificate,
        )
        return service(self.machine, "docker", files, unit=docker.UNIT, ready=docker.READY, parent=self)

    def _login(self, manager: Manager) -> Service:
        """The registry's password: a secret, so it comes by SSH and not with the first boot's files."""
        files = rendered(
            lambda username, password: (
                docker.credentials_file(self._around.network_spec, docker.Credentials(username, password)),
            ),
            username=manager.registry["username"],
            password=manager.registry["password"],
        )
        return service(self.machine, "registry-login", files, parent=self)
