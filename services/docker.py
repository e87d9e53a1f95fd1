"""Docker on a node: the proxy it goes out by, the registry it trusts, and bounds for what it keeps."""

import base64
import json
from dataclasses import dataclass, field

from services.files import File
from services.network import NetworkSpec
from services.registry import registry_host
from services.squid import PORT as PROXY_PORT

UNIT = "docker.service"
READY = "docker info --format '{{.ServerVersion}}'"
CREDENTIALS = "/root/.docker/config.json"


@dataclass(frozen=True)
class Credentials:
    """A login of the registry."""

    username: str
    password: str = field(repr=False)


def proxy_url(network: NetworkSpec) -> str:
    return f"http://{network.manager_name}:{PROXY_PORT}"


def docker_files(
    network: NetworkSpec,
    ca_certificate: str,
    proxy: str | None = None,
    credentials: Credentials | None = None,
) -> tuple[File, ...]:
    """`ca_certificate` is PEM; `proxy` a URL, the manager's Squid when not given.

    With `credentials` one more file holds them, for root alone: deliver it by SSH, never in user-data.
    """
    files = (
        File("/etc/docker/daemon.json", _json(daemon_settings(network, proxy or proxy_url(network)))),
        File(f"/etc/docker/certs.d/{registry_host(network)}/ca.crt", ca_certificate),
        File(
            "/etc/containerd/config.toml", 'version = 2\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n'
        ),
    )
    return files if credentials is None else (*files, credentials_file(network, credentials))


def credentials_file(network: NetworkSpec, credentials: Credentials) -> File:
    """Root's Docker config with the registry's login; the file is a secret."""
    login = base64.b64encode(f"{credentials.username}:{credentials.password}".encode()).decode()
    return File(CREDENTIALS, _json({"auths": {registry_host(network): {"auth": login}}}), "0400")


def daemon_settings(network: NetworkSpec, proxy: str) -> dict[str, object]:
    """What daemon.json says."""
    return {
        "proxies": {
            "http-proxy": proxy,
            "https-proxy": proxy,
            "no-proxy": f"localhost,127.0.0.0/8,{network.cidr},{network.manager_name}",
        },
        # The driver that rotates and compresses by itself: an application cannot fill the disk with words.
        "log-driver": "local",
        "log-opts": {"max-size": "5m", "max-file": "2"},
        # A restart of the daemon leaves the containers running.
        "live-restore": True,
        # Published ports by rules of the kernel: no process of its own per port.
        "userland-proxy": False,
        "iptables": True,
        "ip6tables": False,
        "icc": False,
        "no-new-privileges": True,
        "shutdown-timeout": 10,
    }


def _json(value: object) -> str:
    return json.dumps(value, indent=2) + "\n"
