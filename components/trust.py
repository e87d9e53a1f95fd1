"""Who may log in where, and who may be believed: keys, the stack's own CA, the registry's password."""

import pulumi

from components.resources import Certificate, KeyPair, Password
from services.network import NetworkSpec


class Trust(pulumi.ComponentResource):
    """The secrets of one cloud. Host keys are made here, so that no first connection is taken on trust."""

    def __init__(self, stack: str, hosts: list[str], network: NetworkSpec, parent: pulumi.Resource) -> None:
        super().__init__("cloudmatrix:index:Trust", "trust", None, pulumi.ResourceOptions(parent=parent))
        child = pulumi.ResourceOptions(parent=self)
        self.login = KeyPair("login", comment=f"cloudmatrix {stack}", opts=child)
        self.host_keys = {host: KeyPair(f"{host}-host-key", comment=host, opts=child) for host in hosts}
        self.authority = Certificate("ca", common_name=f"cloudmatrix {stack} CA", opts=child)
        self.registry_certificate = Certificate(
            "registry-certificate",
            common_name=network.manager_name,
            dns_names=[network.manager_name, "localhost"],
            ip_addresses=[network.manager, "127.0.0.1"],
            issuer=self.authority,
            opts=child,
        )
        self.registry_password = Password("registry-password", opts=child)
        self.register_outputs({})
