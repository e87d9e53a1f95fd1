"""Whose machine it is: ours are adopted and removed, all others are left alone."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from provider.errors import UserError
from provider.hypervisors.base import PowerState
from provider.hypervisors.virtualbox import media
from tests.rig.virtualbox_lab import ROOT, Elsewhere, Lab, manage, needs_virtualbox

pytestmark = needs_virtualbox


@pytest.fixture
def foreign(lab: Lab, tmp_path: Path) -> Iterator[list[str]]:
    """Names of machines that the test makes by hand; removed at its end."""
    names: list[str] = []
    yield names
    for name in names:
        manage("unregistervm", name, "--delete", check=False)


def make_foreign(names: list[str], folder: Path, name: str, *more: str) -> None:
    words = (
        "--name",
        name,
        "--basefolder",
        str(folder),
        "--register",
        "--platform-architecture",
        "x86",
        *more,
    )
    manage("createvm", *words)
    names.append(name)


def refused(lab: Lab) -> str:
    with pytest.raises(UserError) as caught:
        lab.driver.create(lab.machine())
    return str(caught.value)


def test_a_foreign_machine_with_our_uuid(lab: Lab, foreign: list[str], tmp_path: Path) -> None:
    uuid = lab.machine().uuid
    make_foreign(foreign, tmp_path / "theirs", "theirs", "--uuid", uuid)
    settings = tmp_path / "theirs" / "theirs" / "theirs.vbox"
    before = manage("showvminfo", "theirs", "--machinereadable")
    assert refused(lab) == (
        f'VM "node2": VirtualBox has another machine with the UUID {uuid} ("theirs", {uuid}, {settings}); '
        "not touching it\nremove that machine in VirtualBox first, or choose another name"
    )
    assert lab.driver.status(uuid).state is PowerState.ABSENT
    lab.driver.delete(uuid)
    assert lab.driver.list(lab.stack) == []
    assert manage("showvminfo", "theirs", "--machinereadable") == before


def test_a_foreign_machine_with_our_name(lab: Lab, foreign: list[str], tmp_path: Path) -> None:
    name = f"{lab.stack}-node2"
    make_foreign(foreign, tmp_path / "theirs", name)
    assert refused(lab).startswith(f'VM "node2": VirtualBox has another machine with the name "{name}" (')
    assert f'"{name}"' in manage("list", "vms")


def test_a_foreign_machine_in_our_folder(lab: Lab, foreign: list[str]) -> None:
    folder = lab.machine().folder
    make_foreign(foreign, folder.parent, "node2")
    assert refused(lab).startswith(f'VM "node2": VirtualBox has another machine with the folder {folder} (')
    lab.driver.delete(lab.machine().uuid)
    assert '"node2"' in manage("list", "vms")
    assert (folder / "node2.vbox").exists()


def test_a_foreign_machine_that_moved_into_our_machines_folder_keeps_it(lab: Lab, foreign: list[str]) -> None:
    machine = lab.machine()
    lab.driver.create(machine)
    make_foreign(foreign, machine.folder, "guest")
    settings = machine.folder / "guest" / "guest.vbox"
    settings_moved = machine.folder / "guest.vbox"
    manage("unregistervm", "guest")
    settings.rename(settings_moved)
    manage("registervm", str(settings_moved))
    with pytest.raises(UserError) as caught:
        lab.driver.delete(machine.uuid)
    assert f"{settings_moved}); not touching it\n" in str(caught.value)
    assert settings_moved.exists()
    manage("unregistervm", "guest", "--delete")
    lab.driver.delete(machine.uuid)
    assert not machine.folder.exists()


def test_a_copy_made_by_hand_is_not_ours(lab: Lab, foreign: list[str], tmp_path: Path) -> None:
    """It carries our mark, which names another machine."""
    machine = lab.machine()
    lab.driver.create(machine)
    name = f"copy-of-{lab.stack}"
    manage(
        "clonevm",
        machine.uuid,
        "--name",
        name,
        "--basefolder",
        str(lab.root / lab.stack / "machines"),
        "--register",
    )
    foreign.append(name)
    assert lab.driver.list(lab.stack) == [machine.uuid]
    lab.driver.delete(machine.uuid)
    assert f'"{name}"' in manage("list", "vms")


def test_another_machines_record_in_our_folder(lab: Lab) -> None:
    machine = lab.machine()
    other = lab.machine("node3", folder=machine.folder)
    lab.driver.create(other)
    assert refused(lab) == (
        f'VM "node2": {machine.folder} holds another machine '
        f'("node3" of stack "{lab.stack}", {other.uuid}); not touching it\n'
        "remove that machine first, or choose another name"
    )


def test_a_foreign_machine_that_cannot_be_read_is_left_alone(tmp_path: Path) -> None:
    with Elsewhere(tmp_path) as elsewhere:
        theirs = tmp_path / "theirs"
        elsewhere.run(
            f"manage('createvm', '--name', 'theirs', '--basefolder', {str(theirs)!r}, '--register', "
            "'--platform-architecture', 'x86')"
        )
        elsewhere.end_service()
        shutil.rmtree(theirs)
        said = elsewhere.run(
            """
            driver.create(lab.machine())
            print(driver.status(lab.machine().uuid).state, driver.list(lab.stack) == [lab.machine().uuid])
            driver.delete(lab.machine().uuid)
            print(manage("list", "vms").count("<inaccessible>"))
            """
        )
    assert said.splitlines() == ["PowerState.OFF True", "1"]


def test_one_of_ours_that_cannot_be_read_is_broken_and_made_again(tmp_path: Path) -> None:
    with Elsewhere(tmp_path) as elsewhere:
        elsewhere.run("driver.create(lab.machine())")
        elsewhere.end_service()
        folder = elsewhere.folder / "project" / ".matrix" / "stack" / "machines" / "node2"
        (folder / "machine.vbox").write_text("<?xml version='1.0'?><torn")
        (folder / "machine.vbox-prev").unlink(missing_ok=True)
        said = elsewhere.run(
            """
            uuid = lab.machine().uuid
            print(driver.status(uuid).state, driver.list(lab.stack) == [uuid])
            try:
                driver.start(uuid)
            except UserError as error:
                print(str(error).splitlines()[0][:39], "...", str(error).splitlines()[-1])
            driver.create(lab.machine())
            print(driver.status(uuid).state)
            driver.delete(uuid)
            print(repr(manage("list", "vms") + manage("list", "hdds")))
            """
        )
    assert said.splitlines() == [
        "PowerState.BROKEN True",
        'VM "node2": VirtualBox cannot read it:  ... the machine must be replaced',
        "PowerState.OFF",
        "''",
    ]


KILLED = """
import os, sys
from pathlib import Path
from provider.hypervisors.virtualbox import build, library, media, record, session, settings
from tests.rig.virtualbox_lab import Lab

def stop(*_, **__):
    os._exit(9)

{change}
lab = Lab(Path(sys.argv[1]), sys.argv[2])
lab.driver.create(lab.seeded())
"""


@pytest.mark.parametrize(
    ("change", "state"),
    [
        ("library.VirtualBox.create_machine = stop", PowerState.BROKEN),
        ("library.VirtualBox.register_machine = stop", PowerState.BROKEN),
        ("settings.apply_cards = stop", PowerState.BROKEN),
        ("media._copy = stop", PowerState.BROKEN),
        ("library.Machine.attach_device = stop", PowerState.BROKEN),
        ("settings.insert_seed = stop", PowerState.OFF),
    ],
    ids=["before", "unregistered", "registered", "converting", "cloned", "attached"],
)
def test_a_run_killed_in_the_middle_of_create(lab: Lab, change: str, state: PowerState) -> None:
    """The next run finds it, and finishes it; or removes it with all that was made."""
    for end in ("create", "delete"):
        words = [sys.executable, "-c", KILLED.format(change=change), str(lab.root.parents[1]), lab.stack]
        assert subprocess.run(words, cwd=ROOT, check=False).returncode == 9
        uuid = lab.machine().uuid
        assert lab.driver.list(lab.stack) == [uuid]
        assert lab.driver.status(uuid).state is state
        if end == "create":
            lab.driver.create(lab.seeded())
            assert lab.driver.status(uuid).state is PowerState.OFF
            assert lab.facts(uuid)["SATA-1-0"].endswith("seed.iso")
        lab.driver.delete(uuid)
        assert lab.driver.status(uuid).state is PowerState.ABSENT
        assert not (lab.root / lab.stack).exists()
        media.base_path(lab.image).unlink(missing_ok=True)


def test_one_removed_from_the_list_by_hand_is_made_again(lab: Lab) -> None:
    machine = lab.machine()
    lab.driver.create(machine)
    manage("unregistervm", machine.uuid)
    assert lab.driver.status(machine.uuid).state is PowerState.BROKEN
    lab.driver.create(machine)
    assert lab.driver.status(machine.uuid).state is PowerState.OFF


def test_one_that_lost_its_record_is_still_ours(lab: Lab) -> None:
    machine = lab.machine()
    lab.driver.create(machine)
    (machine.folder / "virtualbox.json").unlink()
    assert lab.driver.list(lab.stack) == [machine.uuid]
    assert lab.driver.status(machine.uuid).state is PowerState.OFF
    lab.driver.delete(machine.uuid)
    assert not machine.folder.exists()
