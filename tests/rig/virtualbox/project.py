"""A small stack of real resources on VirtualBox, raised by the embedded engine: a base image, a network, a
manager and a node behind it, forwards. The guest is the tiny one."""

import io
import json
import sys
import threading
from pathlib import Path
from typing import Any

from cloudinit.render import CardSpec, network_config, user_data
from engine import operations
from engine.display import PlainDisplay
from engine.operations import Options, Outcome
from provider.hypervisors.virtualbox.driver import VirtualBox
from provider.images import recipe
from provider.images.cache import Cache
from provider.machine_record import machine_uuid
from tests.rig.guests import connection, seed, tiny_image
from tests.rig.plugin import ROOT
from tests.rig.sshd import free_port, new_key

STACK = "small"
SOURCE = {"from": "packages", "release": "trixie"}
PARTS = ("cloudinit", "components", "config", "provider", "services", "vcl")
SETTINGS = """\
name: cloudmatrix
runtime: {{name: python, options: {{toolchain: pip, virtualenv: {venv}}}}}
backend: {{url: "file://.matrix/state?create_dir=true"}}
plugins: {{providers: [{{name: matrix, path: ./provider}}]}}
"""
PROGRAM = """\
import json
from pathlib import Path

import pulumi
from components.resources import BaseImage, Network, PortForward, VirtualMachine

wanted = json.loads(Path("wanted.json").read_text())
image = BaseImage("base", source={"from": "packages"})
network = Network("internal", cidr="10.10.10.0/24", hypervisor="virtualbox")
machines = {}
for name, inputs in wanted["machines"].items():
    networks = {"nat": "nat", "internal": network.id}
    cards = [{**card, "network": networks[card["network"]]} for card in inputs["cards"]]
    secret = {key: pulumi.Output.secret(inputs[key]) for key in ("connection", "user_data")}
    made = {"image": {"id": image.id, "path": image.path}, "cards": cards, **secret}
    machines[name] = VirtualMachine(name, **{**inputs, **made})
for name, inputs in wanted["forwards"].items():
    PortForward(name, machine=machines["manager"].id, hypervisor="virtualbox", host_ip="127.0.0.1", **inputs)
"""
NAT_MAC, MANAGER_MAC, NODE_MAC = "52:54:00:0c:00:01", "52:54:00:0c:00:02", "52:54:00:0c:00:03"


class Small:
    """`shown` is what the last operation displayed; `wanted` is what the program declares once `save` wrote
    it."""

    def __init__(self, folder: Path, cache: Path) -> None:
        self.root = folder / "project"
        self.root.mkdir(parents=True)
        self.shown = ""
        for name in PARTS:
            (self.root / name).symlink_to(ROOT / name)
        (self.root / ".venv").symlink_to(sys.prefix)
        (self.root / "Pulumi.yaml").write_text(SETTINGS.format(venv=sys.prefix))
        (self.root / f"Pulumi.{STACK}.yaml").write_text("config: {}\n")
        (self.root / "__main__.py").write_text(PROGRAM)
        self.image = _cached_image(cache)
        self.wanted: dict[str, Any] = {"machines": _machines(), "forwards": {"http": _forward(80)}}
        self.save()

    @property
    def matrix(self) -> Path:
        return self.root / ".matrix"

    @property
    def driver(self) -> VirtualBox:
        return VirtualBox(self.matrix)

    def uuid(self, name: str) -> str:
        return machine_uuid(STACK, name)

    def connection(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self.wanted["machines"][name]["connection"]
        return found

    def save(self) -> None:
        (self.root / "wanted.json").write_text(json.dumps(self.wanted))

    def run(self, verb: str) -> Outcome:
        """preview, up, refresh or destroy. On failure the text holds what a user would see."""
        out = io.StringIO()
        try:
            outcome: Outcome = getattr(operations, verb)(Options(self.root, STACK, PlainDisplay(out)))
            return outcome
        finally:
            self.shown = out.getvalue()

    def consoles(self) -> str:
        """The end of every machine's serial console."""
        parts = []
        for name in self.wanted["machines"]:
            tail = "\n".join(self.driver.console_tail(self.uuid(name)))
            parts.append(f"--- console of {name} ---\n{tail}")
        return "\n".join(parts)


def _forward(guest_port: int) -> dict[str, int]:
    return {"host_port": free_port(), "guest_port": guest_port}


def _cached_image(root: Path) -> Path:
    """The tiny guest in the place of the image that the program's source means; its way into the cache is
    BaseImage's own."""
    spec = {**SOURCE, "recipe": recipe.digest()}
    tiny = tiny_image("virtualbox")
    image = Cache(root / "cloudmatrix" / "images").ensure(
        spec,
        recipe.DISK_GIB,
        lambda folder, lock: (folder / recipe.DISK).write_bytes(tiny.read_bytes()) and None,
        lambda _: None,
        threading.Event(),
    )
    return image.folder


def _machines() -> dict[str, Any]:
    host, login, port = new_key(), new_key(), free_port()
    manager = connection(host, login, port)
    cards = [CardSpec("nat", NAT_MAC), CardSpec("internal", MANAGER_MAC, "10.10.10.1/24")]
    node_host, node_login = new_key(), new_key()
    behind = {**connection(node_host, node_login, 22), "host": "10.10.10.2", "proxy": manager}
    node_cards = [CardSpec("internal", NODE_MAC, "10.10.10.2/24")]
    return {
        "manager": {
            **_machine("manager", cards, user_data(seed(host, login))),
            "connection": manager,
            "ssh_port": port,
        },
        "node2": {
            **_machine("node2", node_cards, user_data(seed(node_host, node_login))),
            "connection": behind,
        },
    }


def _machine(name: str, cards: list[CardSpec], seed_text: str) -> dict[str, Any]:
    return {
        "hostname": name,
        "hypervisor": "virtualbox",
        "cpus": 1,
        "memory": 192,
        "disk": 1,
        "cards": [{"network": card.name, "mac": card.mac} for card in cards],
        "user_data": seed_text,
        "network_config": network_config(cards),
    }
