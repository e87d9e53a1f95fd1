"""The QEMU driver with real QEMU: quick tests do not wait for the guest, one goes through a whole life."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from provider.errors import UserError
from provider.hypervisors.base import Card, Forward, PowerState
from provider.hypervisors.qemu import argv, qmp, version
from provider.hypervisors.qemu.driver import Qemu
from tests.rig.guests import MAC, daemons
from tests.rig.machines import forward, machine, qemus
from tests.rig.sshd import free_port
from tests.rig.waiting import wait_until

ROOT = Path(__file__).resolve().parents[2]
GUEST_DEADLINE = 120.0


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """A `.matrix` folder; afterwards nothing may be left in it and nobody may run in it."""
    folder = tmp_path / ".matrix"
    folder.mkdir()
    yield folder
    left, running = [str(path) for path in folder.rglob("*")], daemons(tmp_path)
    hypervisor = Qemu(folder)
    for stack in ("dev", "prod"):
        for uuid in hypervisor.list(stack):
            hypervisor.delete(uuid)
    assert (left, running) == ([], [])


@pytest.mark.guest
def test_a_whole_life(root: Path) -> None:
    hypervisor, port, second = Qemu(root), free_port(), free_port()
    hypervisor.create_network("dev", "internal", "10.10.10.0/24")
    cards = (Card("nat", MAC), Card("internal", "52:54:00:0c:00:02"))
    node = machine(root, cards=cards, forwards=(forward(port),))
    hypervisor.create(node)
    assert hypervisor.status(node.uuid).state is PowerState.OFF
    hypervisor.start(node.uuid)
    hypervisor.start(node.uuid)
    await_banner(port)
    status = hypervisor.status(node.uuid)
    assert (status.state, status.cpus, status.memory, status.disk) == (PowerState.RUNNING, 1, 192, 1)
    assert status.forwards == (forward(port),)

    hypervisor.forward(node.uuid, forward(second, "second"))
    await_banner(second)
    hypervisor.unforward(node.uuid, "second")
    hypervisor.unforward(node.uuid, "second")
    assert not listens(second)

    hypervisor.forward(node.uuid, forward(second, "second"))
    hypervisor.stop(node.uuid, "graceful", 60)
    hypervisor.stop(node.uuid, "graceful", 60)
    assert hypervisor.console_tail(node.uuid, 3)[1] == "tinyguest: power button"
    assert hypervisor.status(node.uuid).state is PowerState.OFF

    hypervisor.configure(node.uuid, cpus=2, memory=256, disk=2)
    hypervisor.start(node.uuid)
    await_banner(second)
    status = hypervisor.status(node.uuid)
    assert (status.cpus, status.memory, status.disk) == (2, 256, 2)
    assert status.forwards == (forward(port), forward(second, "second"))

    (qemu,) = qemus(root)
    qemu.kill()
    wait_until(lambda: hypervisor.status(node.uuid).reason == "ended by signal 9 (Killed)")
    assert not hypervisor.status(node.uuid).crashed
    assert hypervisor.status(node.uuid).state is PowerState.OFF
    hypervisor.start(node.uuid)
    status = hypervisor.status(node.uuid)
    assert (status.state, status.reason) == (PowerState.RUNNING, "")
    hypervisor.delete(node.uuid)
    hypervisor.delete(node.uuid)
    assert hypervisor.status(node.uuid).state is PowerState.ABSENT
    hypervisor.delete_network("dev", "internal")


def test_a_paused_machine_is_continued(root: Path) -> None:
    hypervisor, node = Qemu(root), machine(root)
    hypervisor.create(node)
    hypervisor.start(node.uuid)
    monitor(node.folder, "stop")
    status = hypervisor.status(node.uuid)
    assert (status.state, status.reason) == (PowerState.OFF, "QEMU says: paused")
    hypervisor.start(node.uuid)
    assert hypervisor.status(node.uuid).state is PowerState.RUNNING
    hypervisor.delete(node.uuid)


KILLS = {
    "before the record": ("record.save", "before"),
    "after the record": ("record.save", "after"),
    "before the clone is renamed": ("Path.rename", "before"),
    "after the clone": ("disks.clone", "after"),
    "before QEMU starts": ("process.spawn", "before"),
    "QEMU runs, nothing recorded": ("process._record", "before"),
    "QEMU runs and is recorded": ("process._record", "after"),
}
KILLED = """
import os, signal, sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from provider.hypervisors.qemu import process, record
from provider.hypervisors.qemu import disk as disks
from provider.hypervisors.qemu.driver import Qemu
from tests.rig.machines import machine

root, (owner, name), moment = Path(sys.argv[2]), sys.argv[3].split("."), sys.argv[4]
place = {"record": record, "disks": disks, "process": process, "Path": Path}[owner]
real = getattr(place, name)


def deadly(*arguments):
    if moment == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    real(*arguments)
    os.kill(os.getpid(), signal.SIGKILL)


setattr(place, name, deadly)
node = machine(root)
Qemu(root).create(node)
Qemu(root).start(node.uuid)
"""


@pytest.mark.parametrize("point", KILLS)
def test_a_killed_creation_is_finished_by_the_next(point: str, root: Path) -> None:
    node = machine(root)
    killed = subprocess.run([sys.executable, "-c", KILLED, ROOT, root, *KILLS[point]])
    assert killed.returncode == -signal.SIGKILL
    before = qemus(root)
    hypervisor = Qemu(root)
    hypervisor.create(node)
    hypervisor.start(node.uuid)
    assert hypervisor.status(node.uuid).state is PowerState.RUNNING
    after = qemus(root)
    assert len(after) == 1
    assert not before or before == after
    hypervisor.delete(node.uuid)


@pytest.mark.parametrize("point", [point for point in KILLS if point != "before the record"])
def test_a_killed_creation_is_known_and_deleted(point: str, root: Path) -> None:
    node = machine(root)
    subprocess.run([sys.executable, "-c", KILLED, ROOT, root, *KILLS[point]])
    hypervisor = Qemu(root)
    assert hypervisor.list("dev") == [node.uuid]
    hypervisor.delete(node.uuid)


def test_two_stacks_do_not_see_each_other(root: Path) -> None:
    hypervisor, ours, theirs = Qemu(root), machine(root), machine(root, stack="prod")
    for one in (ours, theirs):
        hypervisor.create(one)
    assert (hypervisor.list("dev"), hypervisor.list("prod")) == ([ours.uuid], [theirs.uuid])
    hypervisor.delete(ours.uuid)
    assert hypervisor.status(theirs.uuid).state is PowerState.OFF
    hypervisor.delete(theirs.uuid)


def test_two_projects_do_not_see_each_other(root: Path, tmp_path: Path) -> None:
    """The same stack of two clones of the project has the same UUIDs."""
    other = tmp_path / "other" / ".matrix"
    first, second = Qemu(root), Qemu(other)
    for hypervisor, folder in ((first, root), (second, other)):
        hypervisor.create(machine(folder))
        hypervisor.start(machine(folder).uuid)
    second.delete(machine(other).uuid)
    assert first.status(machine(root).uuid).state is PowerState.RUNNING
    first.delete(machine(root).uuid)


def test_a_machine_of_that_name_that_is_not_ours_is_left_alone(root: Path) -> None:
    hypervisor, ours = Qemu(root), machine(root)
    foreign = replace(ours, uuid="11111111-2222-3333-4444-555555555555", stack="prod")
    hypervisor.create(foreign)
    with pytest.raises(UserError) as error:
        hypervisor.create(ours)
    assert str(error.value) == (
        f'VM "node2": {ours.folder} holds another machine '
        f'("node2" of stack "prod", {foreign.uuid}); not touching it\n'
        "remove that machine first, or choose another name"
    )
    hypervisor.delete(foreign.uuid)


def test_a_machine_whose_folder_was_removed_is_ended(root: Path) -> None:
    hypervisor, node = Qemu(root), machine(root)
    hypervisor.create(node)
    hypervisor.start(node.uuid)
    for file in node.folder.iterdir():
        file.unlink()
    node.folder.rmdir()
    assert hypervisor.status(node.uuid).state is PowerState.ABSENT
    hypervisor.create(node)
    assert qemus(root) == []
    hypervisor.delete(node.uuid)


def test_a_machine_without_its_disk_is_broken(root: Path) -> None:
    hypervisor, node = Qemu(root), machine(root)
    hypervisor.create(node)
    (node.folder / argv.DISK).unlink()
    assert hypervisor.status(node.uuid).state is PowerState.BROKEN
    with pytest.raises(UserError, match=r"disk\.qcow2 is gone; the machine must be replaced$"):
        hypervisor.start(node.uuid)
    hypervisor.delete(node.uuid)


def test_a_port_in_use_is_named(root: Path) -> None:
    hypervisor, me = Qemu(root), psutil.Process()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        node = machine(root, forwards=(forward(port),))
        hypervisor.create(node)
        with pytest.raises(UserError) as error:
            hypervisor.start(node.uuid)
        assert str(error.value) == (
            f"forwards.ssh: port {port} is held by pid {me.pid} ({me.name()}); set another"
        )
    hypervisor.start(node.uuid)
    assert listens(port)
    hypervisor.delete(node.uuid)
    assert not listens(port)


def test_forwards_listen_on_their_address_alone(root: Path) -> None:
    hypervisor, port = Qemu(root), free_port()
    node = machine(root)
    hypervisor.create(node)
    hypervisor.start(node.uuid)
    hypervisor.forward(node.uuid, forward(port))
    held = [entry.laddr for entry in psutil.net_connections("tcp") if entry.laddr and entry.laddr[1] == port]
    assert held == [("127.0.0.1", port)]
    hypervisor.forward(node.uuid, forward(port, guest_port=80))
    assert hypervisor.status(node.uuid).forwards == (forward(port, guest_port=80),)
    hypervisor.delete(node.uuid)


def test_no_forward_without_a_nat_card(root: Path) -> None:
    hypervisor, node = Qemu(root), machine(root, cards=(Card("internal", MAC),))
    hypervisor.create(node)
    with pytest.raises(UserError) as error:
        hypervisor.forward(node.uuid, Forward("http", "127.0.0.1", free_port(), 80))
    assert str(error.value) == 'VM "node2" has no NAT card: no port of this computer leads to it'
    hypervisor.delete(node.uuid)


def test_a_disk_never_shrinks(root: Path) -> None:
    hypervisor, node = Qemu(root), machine(root, disk=2)
    hypervisor.create(node)
    with pytest.raises(UserError) as error:
        hypervisor.configure(node.uuid, 1, 192, 1)
    assert str(error.value) == 'disk: got 1 GiB; need at least 2, which VM "node2" has already; try 2'
    hypervisor.delete(node.uuid)


def test_the_seed_goes_with_its_file(root: Path) -> None:
    hypervisor, node = Qemu(root), machine(root)
    node.folder.mkdir(parents=True)
    node = replace(node, seed=node.folder / "seed.iso")
    assert node.seed
    node.seed.write_bytes(bytes(2048))
    hypervisor.create(node)
    hypervisor.detach_seed(node.uuid)
    hypervisor.detach_seed(node.uuid)
    assert not node.seed.exists()
    hypervisor.start(node.uuid)
    hypervisor.delete(node.uuid)


def test_qemus_own_words_when_it_does_not_start(root: Path) -> None:
    hypervisor, node = Qemu(root), machine(root, memory=10**9)
    hypervisor.create(node)
    with pytest.raises(UserError, match=r'^VM "node2": QEMU ended at its start\nqemu-system-x86_64: '):
        hypervisor.start(node.uuid)
    hypervisor.delete(node.uuid)


def test_a_deep_folder_is_no_hindrance(tmp_path: Path) -> None:
    root = tmp_path / ("a, long folder name " * 8) / "ünïcode" / ".matrix"
    hypervisor, port = Qemu(root), free_port()
    hypervisor.create_network("dev", "internal", "10.10.10.0/24")
    node = machine(root, cards=(Card("nat", MAC), Card("internal", MAC)), forwards=(forward(port),))
    hypervisor.create(node)
    hypervisor.start(node.uuid)
    assert hypervisor.status(node.uuid).forwards == (forward(port),)
    hypervisor.delete(node.uuid)
    hypervisor.delete_network("dev", "internal")
    assert daemons(tmp_path) == []


def test_files_are_for_their_owner_alone(root: Path) -> None:
    hypervisor, node = Qemu(root), machine(root)
    hypervisor.create(node)
    hypervisor.start(node.uuid)
    assert oct(node.folder.stat().st_mode & 0o777) == "0o700"
    assert oct((node.folder / "machine.json").stat().st_mode & 0o777) == "0o600"
    hypervisor.delete(node.uuid)


@pytest.mark.parametrize(
    ("found", "problem"),
    [
        ((10, 0, 2), ()),
        (
            (7, 2, 17),
            (
                "QEMU 7.2.17 is too old: it crashes current kernels when it emulates; need 8.0.0 or newer; "
                "on Debian 12 install qemu-system-x86 and qemu-utils from bookworm-backports",
            ),
        ),
        (
            None,
            ("qemu-system-x86_64 and qemu-img are needed; install qemu-system-x86 and qemu-utils",),
        ),
    ],
)
def test_which_qemu_will_do(
    found: argv.Version | None, problem: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(version, "installed", lambda: found)
    monkeypatch.setattr(version.shutil, "which", lambda name: name)
    assert version.problems() == problem


def monitor(folder: Path, command: str) -> None:
    qmp.execute(folder, command)


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def await_banner(port: int) -> None:
    end = time.monotonic() + GUEST_DEADLINE
    while time.monotonic() < end:
        try:
            with socket.create_connection(("127.0.0.1", port), 5) as link:
                if link.recv(8).startswith(b"SSH-"):
                    return
        except OSError:
            pass
        time.sleep(0.2)
    raise TimeoutError(f"no SSH banner on {port} within {GUEST_DEADLINE} s; load {os.getloadavg()}")
