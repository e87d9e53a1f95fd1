"""From a made base image to both applications answering, against the bare boot of the same three machines.

    python benchmarks/raise.py [--rounds 1]

Each round boots the manager and two nodes at the same time with the project's own driver, seeds and options
until SSH answers on all three, and takes them down; then it runs `./matrix up` in a fresh checkout with the
base image in the cache, until both applications answer. It prints both times and their ratio: what everything
but the machines' own boot costs. Containers' base images are in the cache too after the first round.
"""

import argparse
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from cloudinit.hosts import LOGIN, manager_seed, node_seed
from cloudinit.render import HostSeed, meta_data, network_config, user_data
from components.addressing import mac
from components.cloud import possible_nodes
from config import parse
from provider.boot import Boot
from provider.hypervisors import select
from provider.hypervisors.base import NAT, Card, Forward, Hypervisor, Machine
from provider.machine_record import machine_uuid
from provider.resources.base import Context
from provider.resources.base_image import BaseImageResource
from provider.seed import write_seed
from services.network import NetworkSpec
from tests.rig.cloud import Cloud
from tests.rig.sshd import Key, free_port, new_key

STACK, NET = "bare", "internal"
NETWORK = NetworkSpec()
HOSTS = ("manager", "node2", "node3")
APPLICATIONS = ("/simplewebapp1/", "/simplewebapp2/")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=1)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory(prefix="cm-", dir="/var/tmp") as folder:
        for number in range(rounds):
            bare = bare_boot(Path(folder) / f"bare{number}")
            whole = raise_cloud(Path(folder) / f"cloud{number}")
            print(f"round {number + 1}: bare boot {bare:.1f} s, up {whole:.1f} s, ratio {whole / bare:.2f}")


def bare_boot(folder: Path) -> float:
    """Seconds until SSH answers on three machines that boot at once."""
    context = Context(STACK, "base-image", folder, lambda _: None, threading.Event())
    image = base_image(context)
    hypervisor = select("auto", folder / ".matrix")
    hypervisor.create_network(STACK, NET, NETWORK.cidr)
    bare = Bare(hypervisor, image, context, free_port(), new_key(), {host: new_key() for host in HOSTS})
    begin = time.monotonic()
    try:
        with ThreadPoolExecutor(len(HOSTS)) as pool:
            list(pool.map(bare.boot, HOSTS))
        return time.monotonic() - begin
    finally:
        for host in HOSTS:
            hypervisor.delete(machine_uuid(STACK, host))
        hypervisor.delete_network(STACK, NET)


def base_image(context: Context) -> Path:
    """The disk of the default base image, made first where the cache has none."""
    resource = BaseImageResource()
    inputs, _ = resource.check(context, {"source": {}})
    return Path(resource.create(context, inputs).outputs["path"])


@dataclass(frozen=True)
class Bare:
    """Machines as the cloud has them, without the cloud."""

    hypervisor: Hypervisor
    image: Path
    context: Context
    port: int
    login: Key
    keys: Mapping[str, Key]

    def boot(self, host: str) -> None:
        machine, seed = self._machine(host), self._seed(host)
        machine.folder.mkdir(parents=True)
        assert machine.seed is not None
        texts = user_data(seed), meta_data(machine.uuid, host), network_config(seed.cards)
        write_seed(machine.seed, *texts)
        self.hypervisor.create(machine)
        self.hypervisor.start(machine.uuid)
        Boot(
            self.hypervisor, machine.uuid, host, STACK, self._connection(host), self.context.cancelled
        ).await_ssh()

    def _machine(self, host: str) -> Machine:
        config, folder = parse({}), self.context.stack_dir / "machines" / host
        manager = host == "manager"
        size = config.manager if manager else config.nodes[host]
        cards = (Card(NAT, mac(STACK, host, "nat")),) if manager else ()
        return Machine(
            uuid=machine_uuid(STACK, host),
            name=host,
            stack=STACK,
            folder=folder,
            image=self.image,
            cpus=size.cpus,
            memory=size.memory,
            disk=size.disk,
            cards=(*cards, Card(NET, mac(STACK, host, "internal"))),
            forwards=(Forward("ssh", "127.0.0.1", self.port, 22),) if manager else (),
            seed=folder / "seed.iso",
        )

    def _seed(self, host: str) -> HostSeed:
        card = mac(STACK, host, "internal")
        keys = {
            "authorized_key": self.login.public,
            "host_private_key": self.keys[host].private,
            "host_public_key": self.keys[host].public,
        }
        if host == "manager":
            return manager_seed(
                NETWORK,
                possible_nodes(STACK, parse({})),
                (),
                nat_mac=mac(STACK, host, "nat"),
                internal_mac=card,
                **keys,
            )
        return node_seed(NETWORK, "", parse({}).network.address(host), internal_mac=card, **keys)

    def _connection(self, host: str) -> dict[str, Any]:
        own = {"user": LOGIN, "private_key": self.login.private, "host_key": self.keys[host].public}
        if host == "manager":
            return {"host": "127.0.0.1", "port": self.port, **own}
        address = parse({}).network.address(host)
        return {"host": address, "port": 22, **own, "proxy": self._connection("manager")}


def raise_cloud(folder: Path) -> float:
    """Seconds from `./matrix up` to an answer of both applications; then the cloud is taken down."""
    cloud = Cloud(folder)
    cloud.write_settings()
    begin = time.monotonic()
    try:
        print(cloud.matrix("up", "--yes").output)
        for path in APPLICATIONS:
            code, text = cloud.get(path)
            assert code == 200, text
        return time.monotonic() - begin
    finally:
        cloud.matrix("destroy", "--yes")


if __name__ == "__main__":
    main()
