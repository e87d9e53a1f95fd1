"""The wire contract: every resource of the `matrix` package, its inputs and its outputs.

The provider (`provider/resources/<type>.py`) makes real what is declared here. All names on the wire
are snake_case, sizes are MiB unless a name says otherwise, and every secret stays wrapped.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import pulumi

PACKAGE = "matrix"


def _type(name: str) -> str:
    return f"{PACKAGE}:index:{name}"


class _Resource(pulumi.CustomResource):
    """A custom resource whose outputs are named by the subclass, so the engine fills them in."""

    TYPE = ""
    OUTPUTS: tuple[str, ...] = ()
    SECRETS: tuple[str, ...] = ()

    def __init__(
        self, name: str, inputs: Mapping[str, Any], opts: pulumi.ResourceOptions | None = None
    ) -> None:
        props: dict[str, Any] = {key: value for key, value in inputs.items() if value is not None}
        for output in self.OUTPUTS:
            props.setdefault(output, None)
        defaults = pulumi.ResourceOptions(additional_secret_outputs=list(self.SECRETS))
        super().__init__(_type(self.TYPE), name, props, pulumi.ResourceOptions.merge(defaults, opts))

    # The SDK must not translate names: the wire is snake_case already.
    def translate_output_property(self, prop: str) -> str:
        return prop

    def translate_input_property(self, prop: str) -> str:
        return prop


class KeyPair(_Resource):
    """An Ed25519 key pair in OpenSSH form; the id is the key's SHA-256 fingerprint."""

    TYPE, OUTPUTS, SECRETS = "KeyPair", ("public_key", "private_key", "fingerprint"), ("private_key",)
    public_key: pulumi.Output[str]
    private_key: pulumi.Output[str]
    fingerprint: pulumi.Output[str]

    def __init__(self, name: str, *, comment: str, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, {"comment": comment}, opts)


class Password(_Resource):
    """A random password and its bcrypt hash, both secret."""

    TYPE, OUTPUTS, SECRETS = "Password", ("value", "bcrypt"), ("value", "bcrypt")
    value: pulumi.Output[str]
    bcrypt: pulumi.Output[str]

    def __init__(self, name: str, *, length: int = 32, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, {"length": length}, opts)


class Certificate(_Resource):
    """An X.509 certificate and its key as PEM: a certificate authority when `issuer` is not given."""

    TYPE, OUTPUTS = "Certificate", ("certificate", "private_key", "fingerprint")
    SECRETS = ("private_key",)
    certificate: pulumi.Output[str]
    private_key: pulumi.Output[str]
    fingerprint: pulumi.Output[str]

    def __init__(
        self,
        name: str,
        *,
        common_name: str,
        dns_names: Sequence[str] = (),
        ip_addresses: Sequence[str] = (),
        issuer: "Certificate | None" = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        signer = issuer and {"certificate": issuer.certificate, "private_key": issuer.private_key}
        inputs = {
            "common_name": common_name,
            "dns_names": list(dns_names),
            "ip_addresses": list(ip_addresses),
            "issuer": signer,
        }
        super().__init__(name, inputs, opts)


class BaseImage(_Resource):
    """A golden disk in the user's cache; the id is the SHA-256 of its spec."""

    TYPE, OUTPUTS = "BaseImage", ("path", "sha256", "format", "disk_size")
    path: pulumi.Output[str]
    sha256: pulumi.Output[str]
    format: pulumi.Output[str]
    disk_size: pulumi.Output[int]

    def __init__(
        self, name: str, *, source: Mapping[str, Any], opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__(name, {"source": dict(source)}, opts)


class Network(_Resource):
    """A layer-2 segment that only this stack's machines can join."""

    TYPE, OUTPUTS = "Network", ()

    def __init__(
        self,
        name: str,
        *,
        cidr: str,
        hypervisor: str,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__(name, {"cidr": cidr, "hypervisor": hypervisor}, opts)


class VirtualMachine(_Resource):
    """A virtual machine cloned from a base image, created when its SSH answers with the expected host key.

    `cards` are `{"network": "nat" | <network id>, "mac": "52:54:00:.."}` in slot order. `user_data` and
    `network_config` are read at the first boot only. `ssh_port` (machines with a NAT card) is forwarded
    from 127.0.0.1 to the guest's port 22. `connection` is the way SSH is awaited. `incarnation` is new each
    time the machine is made: what lives on its disk names it as `machine`, and goes and comes with it.
    """

    TYPE, OUTPUTS = "VirtualMachine", ("uuid", "incarnation", "accelerator")
    uuid: pulumi.Output[str]
    incarnation: pulumi.Output[str]
    accelerator: pulumi.Output[str]

    def __init__(
        self,
        name: str,
        *,
        hostname: str,
        hypervisor: str,
        image: pulumi.Input[Mapping[str, Any]],
        cpus: int,
        memory: int,
        disk: int,
        cards: Sequence[Mapping[str, Any]],
        user_data: pulumi.Input[str],
        network_config: pulumi.Input[str],
        connection: pulumi.Input[Mapping[str, Any]],
        ssh_port: int | None = None,
        running: bool = True,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        inputs = {
            "hostname": hostname,
            "hypervisor": hypervisor,
            "image": image,
            "cpus": cpus,
            "memory": memory,
            "disk": disk,
            "cards": list(cards),
            "user_data": user_data,
            "network_config": network_config,
            "connection": connection,
            "ssh_port": ssh_port,
            "running": running,
        }
        super().__init__(name, inputs, opts)


class PortForward(_Resource):
    """A TCP port of this computer that leads to a port of a machine's NAT card."""

    TYPE, OUTPUTS = "PortForward", ()

    def __init__(
        self,
        name: str,
        *,
        machine: pulumi.Input[str],
        hypervisor: str,
        host_ip: str,
        host_port: int,
        guest_port: int,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        inputs = {
            "machine": machine,
            "hypervisor": hypervisor,
            "host_ip": host_ip,
            "host_port": host_port,
            "guest_port": guest_port,
        }
        super().__init__(name, inputs, opts)


class Service(_Resource):
    """Files and a systemd unit on a host: written where their digest differs, then restarted or reloaded.

    `files` are `{"path", "content", "mode": "0644", "owner": "root:root"}`. `ready` is a shell command
    that must exit 0 within `ready_timeout` seconds before the service counts as up.
    """

    TYPE, OUTPUTS = "Service", ()

    def __init__(
        self,
        name: str,
        *,
        host: str,
        connection: pulumi.Input[Mapping[str, Any]],
        machine: pulumi.Input[str],
        files: pulumi.Input[Sequence[Any]],
        unit: str | None = None,
        action: str = "restart",
        ready: str | None = None,
        ready_timeout: int = 120,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        inputs = {
            "host": host,
            "connection": connection,
            "machine": machine,
            "files": files,
            "unit": unit,
            "action": action,
            "ready": ready,
            "ready_timeout": ready_timeout,
        }
        super().__init__(name, inputs, opts)


class ApplicationBuild(_Resource):
    """An application's image, built on this computer from a folder with a Dockerfile (relative to the
    project). It needs no machine, so it is made while they boot. `source_digest` as in ApplicationImage."""

    TYPE, OUTPUTS = "ApplicationBuild", ("digest",)
    digest: pulumi.Output[str]

    def __init__(
        self, name: str, *, repository: str, source: str, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__(name, {"repository": repository, "source": source}, opts)


class ApplicationImage(_Resource):
    """An application's container image in the private registry; the id is `repository@sha256:…`.

    One of `source` (a folder with a Dockerfile, relative to the project), `archive` (a docker-archive or
    OCI archive) or `image` (a public reference) says where it comes from. The provider adds the input
    `source_digest`, so that a changed file is a change. `registry` is
    `{"host", "ca", "username", "password"}`, reached through `connection`.
    """

    TYPE, OUTPUTS = "ApplicationImage", ("reference", "digest")
    reference: pulumi.Output[str]
    digest: pulumi.Output[str]

    def __init__(
        self,
        name: str,
        *,
        repository: str,
        connection: pulumi.Input[Mapping[str, Any]],
        machine: pulumi.Input[str],
        registry: pulumi.Input[Mapping[str, Any]],
        source: str | None = None,
        archive: str | None = None,
        image: str | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        inputs = {
            "repository": repository,
            "connection": connection,
            "machine": machine,
            "registry": registry,
            "source": source,
            "archive": archive,
            "image": image,
        }
        super().__init__(name, inputs, opts)


class Instance(_Resource):
    """One container of an application on one node.

    With `port`, the container is published on `address` at a port that the provider allocates and counts
    as created once `health_path` answers 200. Without, it is a job: run once, created when it exits 0.
    `secrets` become files under /run/secrets, never environment.
    """

    TYPE, OUTPUTS = "Instance", ("container", "host_port", "log")
    container: pulumi.Output[str]
    host_port: pulumi.Output[int]
    log: pulumi.Output[str]

    def __init__(
        self,
        name: str,
        *,
        application: str,
        connection: pulumi.Input[Mapping[str, Any]],
        machine: pulumi.Input[str],
        image: pulumi.Input[str],
        address: str,
        port: int | None,
        health_path: str,
        environment: Mapping[str, str],
        secrets: Mapping[str, pulumi.Input[str]],
        memory: int,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        inputs = {
            "application": application,
            "connection": connection,
            "machine": machine,
            "image": image,
            "address": address,
            "port": port,
            "health_path": health_path,
            "environment": dict(environment),
            "secrets": dict(secrets),
            "memory": memory,
        }
        super().__init__(name, inputs, opts)


class Route(_Resource):
    """A path prefix of the router, led to an application's instances (`{"address", "port"}` each).

    `probe_timeout`: seconds that an instance has to answer each of the router's health checks.
    """

    TYPE, OUTPUTS = "Route", ()

    def __init__(
        self,
        name: str,
        *,
        application: str,
        connection: pulumi.Input[Mapping[str, Any]],
        machine: pulumi.Input[str],
        path: str,
        strip: bool,
        health_path: str,
        instances: Sequence[pulumi.Input[Mapping[str, Any]]],
        cache_seconds: int,
        timeout_seconds: int,
        probe_timeout: pulumi.Input[float] | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        inputs = {
            "application": application,
            "connection": connection,
            "machine": machine,
            "path": path,
            "strip": strip,
            "health_path": health_path,
            "instances": list(instances),
            "cache_seconds": cache_seconds,
            "timeout_seconds": timeout_seconds,
            "probe_timeout": probe_timeout,
        }
        super().__init__(name, inputs, opts)
