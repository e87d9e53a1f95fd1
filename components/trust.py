"""Who may log in where, and who may be believed: keys, the stack's own CA, the registry's password."""

import pulumi

from components.resources import Certificate, KeyPair, Password


class Trust(pulumi.ComponentResource):
    """The secrets of one cloud. Host keys are made here, so that no first connection is taken on trust."""

    def __init__(self, name: str, hosts: list[str], registry: str, addresses: list[str]) -> None:
        super().__init__("cloudmatrix:index:Trust", name)
        child = pulumi.ResourceOptions(parent=self)
        self.login = KeyPair(f"{name}-login", comment=f"{name} login", opts=child)
        self.host_keys = {host: KeyPair(f"{host}-host-key", comment=host, opts=child) for host in hosts}
        self.authority = Certificate(f"{name}-ca", common_name=f"cloudmatrix {name} CA", opts=child)
        self.registry_certificate = Certificate(
            f"{name}-registry-certificate",
            common_name=registry,
            dns_names=[registry, "localhost"],
            ip_addresses=[*addresses, "127.0.0.1"],
            issuer=self.authority,
            opts=child,
        )
        self.registry_password = Password(f"{name}-registry-password", opts=child)
        self.register_outputs({})
