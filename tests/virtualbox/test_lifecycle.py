"""One life of each type on the real VirtualBox, over the real wire."""

import threading
from pathlib import Path

import pytest

from provider.hypervisors.virtualbox.driver import VirtualBox
from provider.images import recipe
from provider.images.cache import Cache
from provider.machine_record import machine_uuid
from tests.rig import guests, plugin
from tests.rig.lifecycle import (
    Case,
    checks_alike,
    contract,
    creates,
    imports,
    previews_the_unknown,
    reads_what_it_made,
)
from tests.rig.plugin import STACK, State, running
from tests.rig.virtualbox_lab import Lab, free_port, listing, manage, needs_virtualbox, write_image
from tests.rig.wire import Secret

PATIENCE = 900
SOURCE = {"from": "packages", "release": "trixie"}
pytestmark = [
    needs_virtualbox,
    pytest.mark.guest,
    pytest.mark.timeout(PATIENCE),
    pytest.mark.usefixtures("powered"),
]


def test_a_base_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a machine made of it: what VirtualBox keeps beside the disk is no part of the image, and the image
    stays in the cache when the stack lets go of it."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    before = listing()
    image = Cache(tmp_path / "cache" / "cloudmatrix" / "images").ensure(
        {**SOURCE, "recipe": recipe.digest()}, 1, boot_sector, lambda _: None, threading.Event()
    )
    case = Case("BaseImage", {"source": SOURCE}, name="base-image", unknown="source")
    lab = Lab(tmp_path, STACK)
    with running(lab.root.parent) as server:
        inputs = checks_alike(server, case)
        previews_the_unknown(server, case, inputs)
        made = creates(server, case, inputs)
        machine = lab.machine(image=Path(str(made.properties["path"])))
        lab.driver.create(machine)
        assert str(image.folder / "disk.vdi") in manage("list", "hdds")
        reads_what_it_made(server, case, made)
        imports(server, case, made)
        lab.clean()
        assert listing() == before
        server.delete(case.urn, made)
        server.delete(case.urn, made)
    assert image.disk.is_file()


def boot_sector(folder: Path, lock: int) -> None:
    del lock
    write_image(folder / recipe.DISK)


def test_a_network(tmp_path: Path) -> None:
    inputs = {"cidr": "10.10.10.0/24", "hypervisor": "virtualbox"}
    with running(tmp_path) as server:
        contract(server, Case("Network", inputs, name="internal", unknown="cidr"))
    assert not (tmp_path / ".matrix" / STACK / "networks").exists()


def test_a_port_forward(tmp_path: Path) -> None:
    """A port listens as soon as the machine runs."""
    before = listing()
    lab = Lab(tmp_path, STACK)
    machine = lab.machine("manager", manager=True, cards=lab.machine(manager=True).cards[:1])
    lab.driver.create(machine)
    lab.driver.start(machine.uuid)
    inputs = {
        "machine": machine.uuid,
        "hypervisor": "virtualbox",
        "host_ip": "127.0.0.1",
        "host_port": free_port(),
        "guest_port": 80,
    }
    try:
        with running(lab.root.parent) as server:
            contract(server, Case("PortForward", inputs, name="http", unknown="machine"))
            urn = server.urn("PortForward", "http")
            made = server.create(urn, inputs)
            manage("controlvm", machine.uuid, "natpf1", "delete", "http")
            assert server.read(urn, made) is None
    finally:
        lab.clean()
    assert listing() == before


def test_a_machine_whose_first_creation_was_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The plugin dies while the guest boots; the next creation goes on with the same boot. Then what
    VBoxManage changes is seen, and mended by one more boot."""
    # Less than the test's own time, so that what the plugin had shown is told.
    monkeypatch.setattr(plugin, "DEADLINE", PATIENCE * 2 / 3)
    before = listing()
    inputs = guests.machine_inputs("node2", "virtualbox")
    inputs["user_data"] = Secret(inputs["user_data"])
    inputs["connection"]["private_key"] = Secret(inputs["connection"]["private_key"])
    uuid = machine_uuid(STACK, "node2")

    def by_hand(made: State) -> None:
        assert started(uuid) == begun
        manage("controlvm", uuid, "poweroff")
        VirtualBox(tmp_path / ".matrix").stop(uuid, "now")
        manage("modifyvm", uuid, "--memory", "160")

    case = Case("VirtualMachine", inputs, drift=by_hand, drifted="memory", unknown="image")
    try:
        with running(tmp_path) as first:
            first.start_create(case.urn, checks_alike(first, case))
            first.engine.wait_for(case.urn, "waiting for SSH")
        begun = started(uuid)
        with running(tmp_path) as second:
            contract(second, case)
        assert not (tmp_path / ".matrix" / STACK / "machines").exists()
    except BaseException:
        print("\n".join(VirtualBox(tmp_path / ".matrix").console_tail(uuid)))
        raise
    finally:
        VirtualBox(tmp_path / ".matrix").delete(uuid)
    assert listing() == before


def started(uuid: str) -> str:
    """When the machine was powered on: another boot has another time."""
    lines = manage("showvminfo", uuid, "--machinereadable").splitlines()
    state = dict(line.split("=", 1) for line in lines if "=" in line)
    assert state["VMState"] == '"running"', state["VMState"]
    return state["VMStateChangeTime"]
