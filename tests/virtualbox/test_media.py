"""Base images and their clones, on the real VirtualBox."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from provider.errors import UserError
from provider.hypervisors.base import PowerState
from provider.hypervisors.virtualbox import binding, library, media, session
from tests.rig.virtualbox_lab import GIB, Elsewhere, Lab, manage, needs_virtualbox, write_image

pytestmark = needs_virtualbox


def known_disks() -> str:
    return manage("list", "hdds", "--long")


def test_the_base_is_converted_once_and_every_clone_is_small(lab: Lab) -> None:
    machines = [lab.machine(f"node{number}") for number in (2, 3, 4)]
    with ThreadPoolExecutor(3) as callers:
        list(callers.map(lab.driver.create, machines))
    beside = {path.name for path in lab.image.parent.iterdir()}
    assert beside == {"disk.qcow2", "disk.vdi", "disk.vdi.lock"}
    base = media.base_path(lab.image)
    assert base.stat().st_mode & 0o222 == 0
    for machine in machines:
        assert (machine.folder / "disk.vdi").stat().st_size < 4 << 20
    assert known_disks().count(str(base)) == 1


def test_virtualbox_forgets_the_base_with_its_last_clone_and_its_file_stays(lab: Lab) -> None:
    base = media.base_path(lab.image)
    first, second = lab.machine("node2"), lab.machine("node3")
    lab.driver.create(first)
    lab.driver.create(second)
    # The list of clones is in the settings of the first: it moves on.
    lab.driver.delete(first.uuid)
    assert str(base) in known_disks()
    assert lab.driver.status(second.uuid).state is PowerState.OFF
    lab.driver.delete(second.uuid)
    assert str(base) not in known_disks()
    assert base.exists()


def test_two_stacks_share_a_base(lab: Lab) -> None:
    other = Lab(lab.root.parent / "other", f"{lab.stack}b")
    mine, theirs = lab.machine(), other.machine(image=lab.image)
    lab.driver.create(mine)
    other.driver.create(theirs)
    lab.driver.delete(mine.uuid)
    assert other.driver.status(theirs.uuid).state is PowerState.OFF
    assert str(media.base_path(lab.image)) in known_disks()
    other.driver.delete(theirs.uuid)
    assert str(media.base_path(lab.image)) not in known_disks()


def test_a_disk_is_larger_than_its_image_when_wanted(lab: Lab) -> None:
    machine = lab.machine(disk=5)
    lab.driver.create(machine)
    assert lab.driver.status(machine.uuid).disk == 5


def test_a_disk_is_never_smaller_than_its_image(lab: Lab) -> None:
    image = write_image(lab.image.parent.parent / "large" / "disk.qcow2", 3 * GIB)
    machine = lab.machine(image=image, disk=2)
    with pytest.raises(UserError) as caught:
        lab.driver.create(machine)
    assert str(caught.value) == 'disk: got 2 GiB; need at least 3, which VM "node2" has already; try 3'
    lab.driver.delete(machine.uuid)


def test_an_image_that_is_none(lab: Lab) -> None:
    lab.image.write_bytes(b"no disk at all" * 100)
    with pytest.raises(UserError) as caught:
        lab.driver.create(lab.machine())
    assert str(caught.value) == (
        f"base image {lab.image} is not a disk that VirtualBox can use; remove it and run up again\n"
        "it is not in qcow2 format"
    )
    assert {path.name for path in lab.image.parent.iterdir()} == {"disk.qcow2", "disk.vdi.lock"}
    lab.driver.delete(lab.machine().uuid)


def test_what_a_killed_conversion_left_is_swept(lab: Lab) -> None:
    (lab.image.parent / ".base-0123abcd.vdi").write_bytes(b"half")
    lab.driver.create(lab.machine())
    assert not list(lab.image.parent.glob(".base-*"))


def test_clones_survive_a_base_that_was_removed_and_converted_again(tmp_path: Path) -> None:
    with Elsewhere(tmp_path) as elsewhere:
        elsewhere.run("driver.create(lab.machine('node2'))")
        elsewhere.end_service()
        media.base_path(elsewhere.folder / "cache" / "images" / "one" / "disk.qcow2").unlink()
        said = elsewhere.run(
            """
            print(driver.status(lab.machine('node2').uuid).state)
            driver.create(lab.machine('node3'))
            driver.create(lab.machine('node2'))
            from provider.hypervisors.virtualbox.identity import find
            def chain():
                api = library.VirtualBox.connect()
                machines = [find(api, lab.machine(name).uuid) for name in ("node2", "node3")]
                disks = [machine.medium_attachments[0].medium for machine in machines]
                return [disk.refresh_state() for disk in disks], disks[0].base.id == disks[1].base.id
            print(binding.run(chain))
            """
        )
    assert said.splitlines() == ["PowerState.OFF", "(['Created', 'Created'], True)"]


def test_a_machine_outlives_the_folder_of_the_one_that_listed_its_disk(tmp_path: Path) -> None:
    """VirtualBox keeps all clones of a base in the settings of one machine."""
    with Elsewhere(tmp_path) as elsewhere:
        elsewhere.run("driver.create(lab.machine('node2'))\ndriver.create(lab.machine('node3'))")
        elsewhere.end_service()
        machines = elsewhere.folder / "project" / ".matrix" / "stack" / "machines"
        listing = [name for name in ("node2", "node3") if "disk.vdi" in settings_of(machines / name)]
        assert listing == ["node2"]
        shutil.rmtree(machines / "node2")
        elsewhere.run("print(driver.status(lab.machine('node3').uuid).state)")
        elsewhere.end_service()
        assert "disk.vdi" in settings_of(machines / "node3")
        said = elsewhere.run(
            """
            print(driver.status(lab.machine('node3').uuid).state)
            print(driver.status(lab.machine('node2').uuid).state)
            driver.delete(lab.machine('node3').uuid)
            driver.delete(lab.machine('node2').uuid)
            print(manage("list", "vms"), manage("list", "hdds"))
            """
        )
    assert said.splitlines() == ["PowerState.OFF", "PowerState.BROKEN"]


def settings_of(folder: Path) -> str:
    return (folder / "machine.vbox").read_text()


def test_a_clone_left_unattached_by_a_killed_run_is_replaced(lab: Lab) -> None:
    machine = lab.machine()
    lab.driver.create(machine)
    words = ("--storagectl", "SATA", "--port", "0", "--device", "0", "--medium", "none")
    manage("storageattach", machine.uuid, *words)
    assert str(machine.folder / "disk.vdi") in known_disks()
    assert lab.driver.status(machine.uuid).state is PowerState.BROKEN
    lab.driver.create(machine)
    assert lab.driver.status(machine.uuid).state is PowerState.OFF
    assert known_disks().count(str(machine.folder / "disk.vdi")) == 1


def test_a_lost_disk_is_a_broken_machine_that_create_makes_again(lab: Lab) -> None:
    machine = lab.machine()
    lab.driver.create(machine)
    (machine.folder / "disk.vdi").unlink()
    assert lab.driver.status(machine.uuid).state is PowerState.BROKEN
    lab.driver.delete(machine.uuid)
    lab.driver.create(machine)
    assert lab.driver.status(machine.uuid).state is PowerState.OFF


def test_a_medium_of_the_user_attached_by_hand_is_not_deleted(lab: Lab, tmp_path: Path) -> None:
    machine = lab.machine()
    lab.driver.create(machine)
    theirs = tmp_path / "theirs.vdi"
    manage("createmedium", "disk", "--filename", str(theirs), "--size", "8")
    words = ("--storagectl", "SATA", "--port", "5", "--device", "0", "--type", "hdd")
    manage("storageattach", machine.uuid, *words, "--medium", str(theirs))
    lab.driver.delete(machine.uuid)
    assert theirs.exists()
    manage("closemedium", "disk", str(theirs), check=False)


def test_snapshots_made_by_hand_go_with_the_machine(lab: Lab) -> None:
    machine = lab.machine()
    lab.driver.create(machine)
    manage("snapshot", machine.uuid, "take", "one")
    lab.driver.delete(machine.uuid)
    assert not machine.folder.exists()


def test_an_image_that_changed_is_another_machine(lab: Lab) -> None:
    machine = lab.seeded()
    lab.driver.create(machine)
    other = write_image(lab.image.parent.parent / "two" / "disk.qcow2", 2 * GIB)
    lab.driver.create(lab.machine(image=other, disk=2, seed=machine.seed))
    assert lab.driver.status(machine.uuid).disk == 2
    assert str(media.base_path(lab.image)) not in known_disks()
    assert machine.seed is not None
    assert machine.seed.exists()


def test_a_failed_progress_says_why(lab: Lab, tmp_path: Path) -> None:
    lab.driver.create(lab.machine())
    blocked = tmp_path / "blocked.vdi"
    blocked.write_bytes(b"something of the user's")

    def work() -> None:
        api = library.VirtualBox.connect()
        base = api.open_medium(str(media.base_path(lab.image)))
        session.finish(base.clone_to_base(api.create_medium(str(blocked))))

    with pytest.raises(library.VirtualBoxError) as caught:
        binding.run(work)
    assert "blocked.vdi" in str(caught.value)
    assert blocked.read_bytes() == b"something of the user's"
