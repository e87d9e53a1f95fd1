"""The private registry on the manager: TLS by the stack's own CA, and a password.

The certificate's key and the password's hash are secrets: they come by SSH, after the first boot.
"""

from services.files import File
from services.network import NetworkSpec
from services.templates import render

UNIT = "docker-registry.service"
PORT = 5000
FOLDER = "/etc/docker/registry"
STORAGE = "/var/lib/docker-registry"
OWNER = "docker-registry:docker-registry"


def registry_host(network: NetworkSpec) -> str:
    """The registry as an image's name has it: `manager.matrix:5000`."""
    return f"{network.manager_name}:{PORT}"


def public_registry_files(network: NetworkSpec) -> tuple[File, ...]:
    """What is no secret, and so is there from the first boot."""
    values = {
        "address": f"{network.manager}:{PORT}",
        "folder": FOLDER,
        "storage": STORAGE,
    }
    return (
        File(f"{FOLDER}/config.yml", render("registry.yml.j2", **values)),
        File(f"/etc/systemd/system/{UNIT}", render("docker-registry.service.j2", **values)),
    )


def registry_files(
    network: NetworkSpec, certificate: str, private_key: str, username: str, bcrypt: str
) -> tuple[File, ...]:
    """`certificate` and `private_key` are PEM; `bcrypt` is the password's hash ($2y$, $2b$ or $2a$).

    Each request costs one bcrypt, on an emulated machine a long one: a random password needs no high cost.
    """
    return (
        *public_registry_files(network),
        File(f"{FOLDER}/tls.crt", certificate),
        File(f"{FOLDER}/tls.key", private_key, "0400", OWNER),
        File(f"{FOLDER}/htpasswd", f"{username}:{bcrypt}\n", "0400", OWNER),
    )


def ready(network: NetworkSpec) -> str:
    """A shell command that exits 0 once the registry answers and asks for the password."""
    return (
        f"curl -s -o /dev/null -w '%{{http_code}}' --max-time 5 --insecure https://{network.manager}:{PORT}/v2/"
        " | grep -qx 401"
    )
