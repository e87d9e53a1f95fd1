"""VirtualMachine: one life on the tiny guest over the real wire; its rules without a machine."""

import signal
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from provider import machine_record as records
from provider.boot import Boot, FirstBootFailed, NotUp
from provider.errors import HalfMade, UserError
from provider.hypervisors.base import PowerState
from provider.hypervisors.qemu import live
from provider.hypervisors.qemu.driver import Qemu
from provider.resources.base import UNKNOWN, Context, Failure
from provider.resources.network import NetworkResource
from provider.resources.virtual_machine import VirtualMachineResource
from tests.rig import guests
from tests.rig.lifecycle import Case, contract, stages
from tests.rig.machines import qemus
from tests.rig.plugin import STACK, State, running
from tests.rig.sshd import new_key
from tests.rig.wire import Secret

VM = VirtualMachineResource()
CONNECTION = {
    "host": "127.0.0.1",
    "port": 2222,
    "user": "matrix",
    "private_key": "key",
    "host_key": "ssh-ed25519 A",
}
INPUTS: dict[str, Any] = {
    "hostname": "node2",
    "hypervisor": "qemu",
    "image": {"id": "abc", "path": "/cache/abc/disk.qcow2"},
    "cpus": 2,
    "memory": 512,
    "disk": 8,
    "cards": [{"network": "internal", "mac": "52:54:00:00:00:02"}],
    "user_data": "#cloud-config\n",
    "network_config": "version: 2\n",
    "connection": CONNECTION,
    "running": True,
}


def context(project: Path, name: str = "node2-vm") -> Context:
    return Context("dev", name, project, lambda _: None, threading.Event())


@pytest.mark.guest
def test_contract(tmp_path: Path) -> None:
    inputs = guests.machine_inputs("node2")
    inputs["user_data"] = Secret(inputs["user_data"])
    inputs["connection"]["private_key"] = Secret(inputs["connection"]["private_key"])

    def stop(made: State) -> None:
        Qemu(tmp_path / ".matrix").stop(made.identifier, "now")

    case = Case("VirtualMachine", inputs, drift=stop, drifted="running", unknown="image")
    with running(tmp_path) as plugin:
        contract(plugin, case)
        shown = stages(plugin, case.urn)
    assert shown[:6] == [
        "create",
        "cloning",
        "booting",
        "waiting for SSH",
        "cloud-init",
        "detaching the seed",
    ]
    assert guests.daemons(tmp_path / ".matrix") == []
    assert not (tmp_path / ".matrix" / STACK / "machines").exists()


@pytest.fixture
def cleaned(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    hypervisor = Qemu(tmp_path / ".matrix")
    for uuid in hypervisor.list("dev"):
        hypervisor.delete(uuid)
    assert guests.daemons(tmp_path) == []


@pytest.mark.guest
def test_changes_in_place_and_a_wrong_host_key(cleaned: Path) -> None:
    """Sizes and the SSH port change under the same disk; a machine with another key is never taken for it."""
    inputs = guests.machine_inputs("node2")
    made = VM.create(context(cleaned), inputs)
    port = guests.free_port()
    larger = {
        **inputs,
        "cpus": 2,
        "memory": 256,
        "disk": 2,
        "ssh_port": port,
        "connection": {**inputs["connection"], "port": port},
    }
    outputs = VM.update(context(cleaned), made.identifier, {**inputs, **made.outputs}, larger)
    assert outputs == made.outputs
    found = VM.read(context(cleaned), made.identifier, larger, {})
    assert found is not None
    assert found.inputs == larger
    swapped = {**larger, "connection": {**larger["connection"], "host_key": new_key().public}}
    with pytest.raises(HalfMade, match=r"stopped at: waiting for SSH\nSSH to .*: the host key is not"):
        VM.update(context(cleaned), made.identifier, larger, swapped)
    stopped = {**larger, "running": False}
    VM.update(context(cleaned), made.identifier, larger, stopped)
    found = VM.read(context(cleaned), made.identifier, stopped, outputs)
    assert found is not None
    assert found.inputs == stopped


@pytest.mark.guest
def test_a_create_that_was_killed_is_taken_up(cleaned: Path) -> None:
    """The first create ends in the middle of the boot, as if killed; the second goes on with the machine."""
    inputs = guests.machine_inputs("node2")
    interrupted = Context("dev", "node2-vm", cleaned, lambda _: None, threading.Event())
    interrupted.cancelled.set()
    with pytest.raises(HalfMade, match='VM "node2": interrupted at: waiting for SSH; the next run goes on'):
        VM.create(interrupted, inputs)
    uuid = records.machine_uuid("dev", "node2")
    with pytest.raises(HalfMade, match='VM "node2" has not ended its first boot'):
        VM.read(context(cleaned), uuid, inputs, {})
    (begun,) = guests.daemons(cleaned)
    made = VM.create(context(cleaned), inputs)
    assert made.identifier == uuid
    assert guests.daemons(cleaned) == [begun]
    assert made.outputs["accelerator"] in {"kvm", "tcg"}


@pytest.mark.guest
def test_a_machine_whose_qemu_breaks_down_while_it_boots_is_started_again(cleaned: Path) -> None:
    """As by an assertion of QEMU that fails."""
    said: list[str] = []

    def progress(line: str) -> None:
        said.append(line)
        if line == "waiting for SSH":
            (qemu,) = qemus(cleaned)
            qemu.send_signal(signal.SIGABRT)

    made = VM.create(replace(context(cleaned), progress=progress), guests.machine_inputs("node2"))
    assert "starting again, its hypervisor broke down: ended by signal 6 (Aborted)" in said
    assert said.count("booting") == 1
    assert Qemu(cleaned / ".matrix").status(made.identifier).state is PowerState.RUNNING


def test_a_machine_that_has_stopped_is_started_by_the_next_up(
    cleaned: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a restart of this computer: nobody has to refresh first. QEMU is real."""
    comes_up(monkeypatch)
    hypervisor, inputs = Qemu(cleaned / ".matrix"), guest_inputs()
    made = VM.create(context(cleaned), inputs)
    assert VM.drifted(context(cleaned), made.identifier, inputs) == {}
    hypervisor.stop(made.identifier, "now")
    assert VM.drifted(context(cleaned), made.identifier, inputs) == {"running": False}
    assert VM.drifted(context(cleaned), made.identifier, {**inputs, "running": False}) == {}
    VM.update(context(cleaned), made.identifier, {**inputs, **made.outputs}, inputs)
    assert hypervisor.status(made.identifier).state is PowerState.RUNNING
    assert VM.drifted(context(cleaned), made.identifier, inputs) == {}


@pytest.mark.parametrize(
    "unseen", [{"hypervisor": "xen"}, {"hostname": "node9"}], ids=["no hypervisor", "no machine"]
)
def test_what_cannot_be_looked_at_is_as_recorded(unseen: dict[str, Any], tmp_path: Path) -> None:
    assert VM.drifted(context(tmp_path), "no-such-uuid", {**INPUTS, **unseen}) == {}


@pytest.mark.parametrize(
    ("change", "same"),
    [({}, True), ({"user_data": "other keys"}, False), ({"image": {"id": "def"}}, False)],
)
def test_a_leftover_of_other_inputs_is_made_anew(
    change: dict[str, Any], same: bool, cleaned: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its first boot is begun, so new keys could not reach it. QEMU is real, its guest is not awaited."""
    made = half_made(cleaned, monkeypatch, NotUp("no SSH after 900 s"))
    comes_up(monkeypatch)
    inputs = guest_inputs()
    image = (
        {**change.get("image", {}), "path": inputs["image"]["path"]} if "image" in change else inputs["image"]
    )
    outputs = VM.update(context(cleaned), made.identifier, {}, {**inputs, **change, "image": image})
    assert (outputs["incarnation"] == made.outputs["incarnation"]) is same


def test_a_first_boot_that_failed_is_made_anew(cleaned: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """cloud-init runs once: waiting for it again would show the same failure for ever."""
    made = half_made(cleaned, monkeypatch, FirstBootFailed("cloud-init failed: bad key"))
    assert made.reasons[0].startswith('VM "node2" stopped at: waiting for SSH\ncloud-init failed: bad key\n')
    comes_up(monkeypatch)
    outputs = VM.update(context(cleaned), made.identifier, {}, guest_inputs())
    assert outputs["incarnation"] != made.outputs["incarnation"]
    found = VM.read(context(cleaned), made.identifier, guest_inputs(), outputs)
    assert found is not None
    assert found.outputs == outputs


def test_a_smaller_disk_is_refused_before_anything_stops(
    cleaned: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs = {**guest_inputs(), "disk": 2}
    comes_up(monkeypatch)
    made = VM.create(context(cleaned), inputs)
    with pytest.raises(UserError) as error:
        VM.update(context(cleaned), made.identifier, inputs, {**inputs, "disk": 1})
    assert str(error.value) == 'disk: got 1 GiB; need at least 2, which VM "node2" has already; try 2'
    assert Qemu(cleaned / ".matrix").status(made.identifier).state is PowerState.RUNNING


def test_nothing_stays_of_a_machine_that_cannot_be_made(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^base image /cache/abc/disk\.qcow2 is missing; run up --refresh"):
        VM.create(context(tmp_path), INPUTS)
    assert not (tmp_path / ".matrix" / "dev").exists()


def comes_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """The guest is not awaited; it does not take part in the unplugging of its seed either."""
    monkeypatch.setattr(Boot, "await_ssh", lambda self: None)
    monkeypatch.setattr(Boot, "await_cloud_init", lambda self: None)
    monkeypatch.setattr(live, "UNPLUG_DEADLINE", 0)


def guest_inputs() -> dict[str, Any]:
    card = {"network": "nat", "mac": guests.MAC}
    image = {"id": "tiny", "path": str(guests.tiny_image())}
    return {**INPUTS, "image": image, "cards": [card], "cpus": 1, "memory": 192, "disk": 1}


def half_made(project: Path, monkeypatch: pytest.MonkeyPatch, cause: NotUp) -> HalfMade:
    def fails(boot: Boot) -> None:
        raise cause

    monkeypatch.setattr(Boot, "await_ssh", fails)
    with pytest.raises(HalfMade) as made:
        VM.create(context(project), guest_inputs())
    return made.value


def test_the_network_takes_a_killed_creation_with_it(tmp_path: Path) -> None:
    """A `destroy` right after a killed `up`: the machine is in no state, yet nothing of it stays."""
    machines = tmp_path / ".matrix" / "dev" / "machines"
    network = Context("dev", "internal", tmp_path, lambda _: None, threading.Event())
    inputs = {"cidr": "10.10.10.0/24", "hypervisor": "qemu"}
    NetworkResource().create(network, inputs)
    records.save(machines / "node2", records.fresh(records.machine_uuid("dev", "node2"), INPUTS))
    (machines / "node2" / "seed.iso").write_text("")
    (machines / "node3").mkdir()
    NetworkResource().delete(network, "internal", inputs)
    assert not (tmp_path / ".matrix" / "dev").exists()


@pytest.mark.parametrize(
    ("change", "replaces"),
    [
        ({}, set()),
        ({"cpus": 4, "memory": 1024, "disk": 20, "running": False}, set()),
        ({"user_data": "other", "network_config": "other"}, set()),
        ({"image": {"id": "abc", "path": "/elsewhere/disk.qcow2"}}, set()),
        ({"image": {"id": "def", "path": "/cache/abc/disk.qcow2"}}, {"image"}),
        ({"image": UNKNOWN}, {"image"}),
        ({"connection": {**CONNECTION, "port": 2223}}, set()),
        ({"connection": {**CONNECTION, "host_key": "ssh-ed25519 B"}}, {"connection"}),
        ({"cards": [{"network": UNKNOWN, "mac": "52:54:00:00:00:02"}]}, set()),
        ({"cards": [{"network": "internal", "mac": "52:54:00:00:00:03"}]}, {"cards"}),
        ({"hostname": "node3"}, {"hostname"}),
    ],
)
def test_what_makes_another_machine(change: dict[str, Any], replaces: set[str]) -> None:
    assert VM.replaced_by(INPUTS, {**INPUTS, **change}) == replaces


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            {"hostname": "Node_2"},
            'hostname: got "Node_2"; need a-z, 0-9 and -, starting with a letter; try node2',
        ),
        ({"memory": 5}, "memory: got 5; need at least 128 MiB; try 128"),
        ({"cpus": 0}, "cpus: got 0; need at least 1; try 1"),
        ({"disk": "8"}, "disk: got 8; need at least 1 GiB; try 1"),
        ({"cards": []}, "cards: got none; need at least one network card"),
        (
            {"cards": [{"network": "nat", "mac": "5x"}]},
            'cards[0].mac: got "5x"; need a unicast address; try 52:54:00:00:00:00',
        ),
        ({"ssh_port": 70000}, 'ssh_port: needs a card with network "nat"; leave it out'),
        ({"hypervisor": "xen"}, 'hypervisor: got "xen"; need auto, virtualbox, qemu; try auto'),
    ],
)
def test_wrong_inputs_are_named(change: dict[str, Any], reason: str, tmp_path: Path) -> None:
    _, failures = VM.check(context(tmp_path), {**INPUTS, **change})
    assert failures[0] == Failure(reason)


def test_a_port_in_use_is_found_at_preview(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        wanted = {**INPUTS, "cards": [{"network": "nat", "mac": guests.MAC}], "ssh_port": port}
        _, failures = VM.check(context(tmp_path), wanted)
    me = psutil.Process()
    assert failures == [Failure(f"ssh_port: port {port} is held by pid {me.pid} ({me.name()}); set another")]


def test_unknown_inputs_are_not_judged(tmp_path: Path) -> None:
    unknown = dict.fromkeys(INPUTS, UNKNOWN)
    assert VM.check(context(tmp_path), unknown) == (unknown, [])


def test_nothing_is_read_where_nothing_is(tmp_path: Path) -> None:
    assert VM.read(context(tmp_path), "no-such-uuid", {}, {}) is None
    VM.delete(context(tmp_path), records.machine_uuid("dev", "node2"), INPUTS)
    assert Qemu(tmp_path / ".matrix").status("no-such-uuid").state is PowerState.ABSENT
