"""Tiny guests on this computer: what a test needs to make them, and to see that nothing of them is left."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from cloudinit.render import CardSpec, HostSeed, network_config, user_data
from tests.rig.processes import below
from tests.rig.sshd import Key, free_port, new_key
from tests.rig.tinyguest.build import Missing, build

MAC = "52:54:00:0c:00:01"


def tiny_image(hypervisor: str = "qemu") -> Path:
    """The disk of the tiny guest; skips the test where it cannot be made."""
    if hypervisor == "qemu" and not shutil.which("qemu-system-x86_64"):
        pytest.skip("qemu-system-x86_64 is not on PATH")
    try:
        return build() / "disk.qcow2"
    except Missing as error:
        pytest.skip(f"the tiny guest cannot be made: {error}")


def machine_inputs(hostname: str, hypervisor: str = "qemu") -> dict[str, Any]:
    """Inputs of a VirtualMachine with one NAT card, reached through a free port."""
    host, login, port = new_key(), new_key(), free_port()
    return {
        "hostname": hostname,
        "hypervisor": hypervisor,
        "image": {"id": "tiny", "path": str(tiny_image(hypervisor))},
        "cpus": 1,
        "memory": 192,
        "disk": 1,
        "cards": [{"network": "nat", "mac": MAC}],
        "user_data": user_data(seed(host, login)),
        "network_config": network_config([CardSpec("nat", MAC)]),
        "connection": connection(host, login, port),
        "ssh_port": port,
        "running": True,
    }


def seed(host: Key, login: Key) -> HostSeed:
    return HostSeed("matrix", (login.public,), host.private, host.public)


def connection(host: Key, login: Key, port: int) -> dict[str, Any]:
    return {
        "host": "127.0.0.1",
        "port": port,
        "user": "matrix",
        "private_key": login.private,
        "host_key": host.public,
    }


def daemons(root: Path) -> list[str]:
    """Command lines of every process that runs in or below this folder."""
    return [each.line for each in below(root)]
