"""Machines for driver tests that need QEMU but no guest that has come up."""

from pathlib import Path

import psutil

from provider.hypervisors.base import NAT, Card, Forward, Machine
from provider.machine_record import machine_uuid
from tests.rig.guests import MAC, tiny_image
from tests.rig.processes import below


def machine(root: Path, name: str = "node2", stack: str = "dev", **changes: object) -> Machine:
    """A machine with one NAT card below the `.matrix` folder `root`."""
    wanted = {
        "uuid": machine_uuid(stack, name),
        "name": name,
        "stack": stack,
        "folder": root / stack / "machines" / name,
        "image": tiny_image(),
        "cpus": 1,
        "memory": 192,
        "disk": 1,
        "cards": (Card(NAT, MAC),),
        **changes,
    }
    return Machine(**wanted)  # type: ignore[arg-type]


def forward(port: int, name: str = "ssh", guest_port: int = 22) -> Forward:
    return Forward(name, "127.0.0.1", port, guest_port)


def qemus(root: Path) -> list[psutil.Process]:
    """The QEMU processes that run in or below this folder."""
    return [each.process for each in below(root) if "qemu-system" in each.line.split(" ", 1)[0]]
