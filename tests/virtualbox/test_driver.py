"""Machines that do not run: what the driver makes of them in the real VirtualBox."""

import os
from pathlib import Path

import pytest

from provider.errors import UserError
from provider.hypervisors import select
from provider.hypervisors.base import Card, PowerState, Status
from provider.hypervisors.virtualbox import binding
from provider.hypervisors.virtualbox.driver import VirtualBox
from tests.rig.virtualbox_lab import Lab, forward, free_port, manage, needs_virtualbox

pytestmark = needs_virtualbox


def test_probe_says_version_and_accelerator(lab: Lab) -> None:
    facts = lab.driver.probe()
    installed = manage("--version").splitlines()[-1]
    assert installed.startswith(facts.version)
    assert facts.version.count(".") == 2
    if os.environ.get("CLOUDMATRIX_VIRTUALBOX_DRIVERLESS") == "1":
        assert (facts.problems, facts.accelerator) == ((), "interpreter")


def test_without_the_kernel_module_there_is_a_problem(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    if Path("/dev/vboxdrv").exists() or os.name == "nt":
        pytest.skip("the kernel module is loaded")
    monkeypatch.delenv("CLOUDMATRIX_VIRTUALBOX_DRIVERLESS", raising=False)
    problems = lab.driver.probe().problems
    assert any(
        "its kernel module vboxdrv is not loaded; run sudo modprobe vboxdrv" in text for text in problems
    )


def test_auto_takes_virtualbox_where_it_is_usable(lab: Lab) -> None:
    chosen = select("auto", lab.root)
    usable = not lab.driver.probe().problems
    assert isinstance(chosen, VirtualBox) == usable


def test_a_machine_is_made_as_it_should_be(lab: Lab) -> None:
    rule = forward("ssh", free_port())
    machine = lab.seeded("manager", manager=True, cpus=2, memory=300, disk=2, forwards=(rule,))
    lab.driver.create(machine)

    assert lab.driver.status(machine.uuid) == Status(PowerState.OFF, 2, 300, 2, "", (rule,))
    assert lab.driver.list(lab.stack) == [machine.uuid]
    facts = lab.facts(machine.uuid)
    wanted = {
        "name": f"{lab.stack}-manager",
        "UUID": machine.uuid,
        "CfgFile": str(machine.folder / "machine.vbox"),
        "cpus": "2",
        "memory": "300",
        "ioapic": "on",
        "rtcuseutc": "on",
        "nic1": "nat",
        "macaddress1": "525400000001",
        "nictype1": "virtio",
        "macaddress2": "525400000002",
        "nictype2": "virtio",
        "nic3": "none",
        "vrde": "off",
        "clipboard": "disabled",
        "draganddrop": "disabled",
        "audio": "none",
        "uart1": "0x03f8,4",
        "uartmode1": f"file,{machine.folder / 'console.log'}",
        "storagecontrollername0": "SATA",
        "SATA-0-0": str(machine.folder / "disk.vdi"),
        "SATA-1-0": str(machine.seed),
        "boot1": "disk",
        "boot2": "none",
    }
    assert {key: facts.get(key) for key in wanted} == wanted
    assert facts["Forwarding(0)"] == f"ssh,tcp,127.0.0.1,{rule.host_port},,22"
    for usb in ("usb", "ehci", "xhci", "ohci"):
        assert facts.get(usb, "off") == "off"
    assert not [key for key in facts if key.startswith("SharedFolder")]


def test_creating_again_changes_nothing(lab: Lab) -> None:
    machine = lab.seeded()
    lab.driver.create(machine)
    before = lab.facts(machine.uuid)
    lab.driver.create(machine)
    after = lab.facts(machine.uuid)
    volatile = {"VMStateChangeTime"}
    assert {k: v for k, v in after.items() if k not in volatile} == {
        k: v for k, v in before.items() if k not in volatile
    }


def test_a_path_may_be_spaced_and_foreign(tmp_path: Path) -> None:
    lab = Lab(tmp_path / "Zoë's projects (1)", "tpath")
    machine = lab.seeded()
    lab.driver.create(machine)
    assert lab.driver.status(machine.uuid).state is PowerState.OFF
    assert lab.facts(machine.uuid)["SATA-0-0"] == str(machine.folder / "disk.vdi")
    lab.driver.delete(machine.uuid)
    assert not machine.folder.exists()


def test_a_relative_image_and_folder_are_found_by_virtualbox_too(
    lab: Lab,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(lab.root.parent)
    folder = Path(".matrix", lab.stack, "machines", "node2")
    image = Path(os.path.relpath(lab.image))
    machine = lab.machine(folder=folder, image=image)
    lab.driver.create(machine)
    assert lab.driver.status(machine.uuid).state is PowerState.OFF


def test_forwards_of_a_stopped_machine(lab: Lab) -> None:
    machine = lab.machine("manager", manager=True)
    lab.driver.create(machine)
    ssh, http, moved = (
        forward("ssh", free_port()),
        forward("http", free_port(), 80),
        forward("ssh", free_port()),
    )
    lab.driver.forward(machine.uuid, ssh)
    lab.driver.forward(machine.uuid, http)
    lab.driver.forward(machine.uuid, http)
    assert set(lab.driver.status(machine.uuid).forwards) == {ssh, http}
    lab.driver.forward(machine.uuid, moved)
    assert set(lab.driver.status(machine.uuid).forwards) == {moved, http}
    lab.driver.unforward(machine.uuid, "ssh")
    lab.driver.unforward(machine.uuid, "ssh")
    assert lab.driver.status(machine.uuid).forwards == (http,)
    lab.driver.create(machine)
    assert lab.driver.status(machine.uuid).forwards == (http,)


def test_no_forward_without_a_nat_card(lab: Lab) -> None:
    machine = lab.machine()
    lab.driver.create(machine)
    with pytest.raises(UserError) as caught:
        lab.driver.forward(machine.uuid, forward("ssh", free_port()))
    assert str(caught.value) == 'VM "node2" has no NAT card: no port of this computer leads to it'
    assert lab.driver.status(machine.uuid).forwards == ()


def test_processors_memory_and_disk_change(lab: Lab) -> None:
    machine = lab.machine()
    lab.driver.create(machine)
    lab.driver.configure(machine.uuid, 2, 256, 3)
    assert lab.driver.status(machine.uuid) == Status(PowerState.OFF, 2, 256, 3)
    with pytest.raises(UserError) as caught:
        lab.driver.configure(machine.uuid, 2, 256, 2)
    assert str(caught.value) == 'disk: got 2 GiB; need at least 3, which VM "node2" has already; try 3'


def test_drift_is_seen(lab: Lab) -> None:
    machine = lab.machine()
    lab.driver.create(machine)
    manage("modifyvm", machine.uuid, "--cpus", "2", "--memory", "200")
    assert lab.driver.status(machine.uuid) == Status(PowerState.OFF, 2, 200, 1)


def test_the_seed_is_taken_out_and_deleted(lab: Lab) -> None:
    machine = lab.seeded()
    lab.driver.create(machine)
    assert machine.seed is not None
    lab.driver.detach_seed(machine.uuid)
    lab.driver.detach_seed(machine.uuid)
    assert not machine.seed.exists()
    assert lab.facts(machine.uuid).get("SATA-1-0", "none") == "none"
    assert str(machine.seed) not in manage("list", "dvds")


def test_what_a_user_put_into_the_drive_is_not_deleted(lab: Lab, tmp_path: Path) -> None:
    machine = lab.seeded()
    lab.driver.create(machine)
    theirs = tmp_path / "theirs.iso"
    theirs.write_bytes(bytes(1 << 16))
    words = ("--storagectl", "SATA", "--port", "1", "--device", "0", "--type", "dvddrive")
    manage("storageattach", machine.uuid, *words, "--medium", str(theirs))
    lab.driver.delete(machine.uuid)
    assert theirs.exists()
    manage("closemedium", "dvd", str(theirs), check=False)


def test_deleted_is_gone_and_deleting_twice_is_no_error(lab: Lab) -> None:
    machine = lab.seeded()
    lab.driver.create(machine)
    (machine.folder / "boot.json").write_text("{}")
    lab.driver.delete(machine.uuid)
    lab.driver.delete(machine.uuid)
    assert lab.driver.status(machine.uuid) == Status(PowerState.ABSENT)
    assert lab.driver.list(lab.stack) == []
    assert not (lab.root / lab.stack).exists()
    assert lab.root.exists()


def test_what_is_not_there(lab: Lab) -> None:
    nobody = "00000000-0000-4000-8000-000000000001"
    assert lab.driver.status(nobody) == Status(PowerState.ABSENT)
    assert lab.driver.console_tail(nobody) == []
    lab.driver.unforward(nobody, "ssh")
    lab.driver.delete(nobody)
    for call in (lab.driver.start, lab.driver.detach_seed, lambda uuid: lab.driver.stop(uuid, "now")):
        with pytest.raises(UserError) as caught:
            call(nobody)
        assert str(caught.value) == f"no VM {nobody} on this computer; run up --refresh to make it again"


def test_a_missing_base_image(lab: Lab) -> None:
    lab.image.unlink()
    with pytest.raises(UserError) as caught:
        lab.driver.create(lab.machine())
    assert str(caught.value) == f"base image {lab.image} is missing; run up --refresh to make it again"


def test_cards_beyond_those_wanted_are_switched_off(lab: Lab) -> None:
    machine = lab.machine("manager", manager=True)
    lab.driver.create(machine)
    lab.driver.create(lab.machine("manager", cards=(Card("internal", "52:54:00:00:00:09"),)))
    facts = lab.facts(machine.uuid)
    assert (facts["macaddress1"], facts["nic2"]) == ("525400000009", "none")


def test_without_virtualbox_the_driver_still_says_so(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent() -> None:
        raise binding.NotInstalled("VirtualBox is not installed; install it, or set hypervisor: qemu")

    monkeypatch.setattr(binding, "api", absent)
    assert lab.driver.probe().problems == (
        "VirtualBox is not installed; install it, or set hypervisor: qemu",
    )
    with pytest.raises(UserError) as caught:
        lab.driver.create(lab.machine())
    assert str(caught.value) == (
        "hypervisor: VirtualBox is not installed; install it, or set hypervisor: qemu"
    )
    monkeypatch.undo()
