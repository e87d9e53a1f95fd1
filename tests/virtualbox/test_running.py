"""Machines that run, on the real VirtualBox: one boot of a guest of 512 bytes serves most of these tests."""

import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from provider.errors import UserError
from provider.hypervisors.base import Machine, PowerState
from provider.hypervisors.virtualbox.driver import DRIVERLESS
from provider.hypervisors.virtualbox.networks import internal_name
from provider.hypervisors.virtualbox.settings import NETWORK_FOR_TESTS
from tests.rig.virtualbox_lab import (
    SAID,
    Lab,
    forward,
    free_port,
    listing,
    manage,
    needs_virtualbox,
    until,
)

pytestmark = [needs_virtualbox, pytest.mark.guest]


class Booted:
    """A manager that runs, shared by the tests of this module in their order."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.ssh = forward("ssh", free_port())
        self.machine: Machine = lab.seeded(
            "manager",
            manager=True,
            cards=lab.machine("manager", manager=True).cards[:1],
            forwards=(self.ssh,),
        )
        lab.driver.create(self.machine)
        lab.driver.start(self.machine.uuid)


@pytest.fixture(scope="module")
def booted(tmp_path_factory: pytest.TempPathFactory, powered: None) -> Iterator[Booted]:
    before = listing()
    lab = Lab(tmp_path_factory.mktemp("running"), "running")
    yield Booted(lab)
    lab.clean()
    assert listing() == before
    assert not (lab.root / lab.stack).exists()


def pid_of(machine: Machine) -> int:
    """The machine's process, which has its UUID among its arguments."""
    for process in psutil.process_iter(["cmdline"]):
        if machine.uuid in " ".join(process.info["cmdline"] or []) and process.pid != os.getpid():
            return process.pid
    raise AssertionError("the machine has no process")


def listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(5)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_it_runs_and_is_left_running(booted: Booted) -> None:
    driver, uuid = booted.lab.driver, booted.machine.uuid
    status = driver.status(uuid)
    assert (status.state, status.forwards) == (PowerState.RUNNING, (booted.ssh,))
    assert status.accelerator == driver.probe().accelerator
    pid = pid_of(booted.machine)
    driver.start(uuid)
    driver.create(booted.machine)
    assert pid_of(booted.machine) == pid
    assert listens(booted.ssh.host_port)


def test_its_console_is_read(booted: Booted) -> None:
    assert until(lambda: list(booted.lab.driver.console_tail(booted.machine.uuid)) == SAID, 120)


def test_forwards_come_and_go_while_it_runs(booted: Booted) -> None:
    driver, uuid = booted.lab.driver, booted.machine.uuid
    http = forward("http", free_port(), 80)
    driver.forward(uuid, http)
    driver.forward(uuid, http)
    assert listens(http.host_port)
    assert set(driver.status(uuid).forwards) == {booted.ssh, http}
    moved = forward("http", free_port(), 80)
    driver.forward(uuid, moved)
    assert listens(moved.host_port)
    assert not listens(http.host_port)
    driver.unforward(uuid, "http")
    assert until(lambda: not listens(moved.host_port), 10)
    assert driver.status(uuid).forwards == (booted.ssh,)


def test_a_port_in_use_is_refused_by_its_holders_name(booted: Booted) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UserError) as caught:
            booted.lab.driver.forward(booted.machine.uuid, forward("http", port))
    name = psutil.Process().name()
    assert (
        str(caught.value) == f"forwards.http: port {port} is held by pid {os.getpid()} ({name}); set another"
    )
    assert booted.lab.driver.status(booted.machine.uuid).forwards == (booted.ssh,)


def test_a_forward_removed_by_hand_is_missed_and_made_again(booted: Booted) -> None:
    driver, uuid = booted.lab.driver, booted.machine.uuid
    manage("controlvm", uuid, "natpf1", "delete", "ssh")
    assert driver.status(uuid).forwards == ()
    driver.forward(uuid, booted.ssh)
    assert driver.status(uuid).forwards == (booted.ssh,)


def test_its_size_does_not_change_while_it_runs(booted: Booted) -> None:
    with pytest.raises(UserError) as caught:
        booted.lab.driver.configure(booted.machine.uuid, 1, 256, 2)
    assert str(caught.value) == 'VM "manager" runs; stop it before changing its size'


def test_the_seed_is_taken_out_of_a_running_machine(booted: Booted) -> None:
    seed = booted.machine.seed
    assert seed is not None
    booted.lab.driver.detach_seed(booted.machine.uuid)
    booted.lab.driver.detach_seed(booted.machine.uuid)
    assert not seed.exists()
    assert booted.lab.facts(booted.machine.uuid).get("SATA-1-0", "none") == "none"


def test_a_paused_machine_goes_on(booted: Booted) -> None:
    driver, uuid = booted.lab.driver, booted.machine.uuid
    manage("controlvm", uuid, "pause")
    assert driver.status(uuid).state is PowerState.OFF
    assert driver.status(uuid).reason == f"VirtualBox says: Paused; see {booted.machine.folder}/Logs/VBox.log"
    driver.start(uuid)
    assert driver.status(uuid).state is PowerState.RUNNING


def test_one_saved_by_hand_is_off_and_its_size_can_change(booted: Booted) -> None:
    driver, uuid = booted.lab.driver, booted.machine.uuid
    # On a busy computer VBoxManage once answered E_ACCESSDENIED, although the machine had been saved.
    manage("controlvm", uuid, "savestate", check=False)
    assert booted.lab.facts(uuid)["VMState"] == "saved"
    assert driver.status(uuid).state is PowerState.OFF
    driver.stop(uuid, "graceful", 10)
    driver.configure(uuid, 1, 144, 1)
    assert driver.status(uuid).memory == 144
    driver.start(uuid)
    assert driver.status(uuid).state is PowerState.RUNNING


def test_one_that_was_killed_is_off_and_starts_again(booted: Booted) -> None:
    driver, uuid = booted.lab.driver, booted.machine.uuid
    os.kill(pid_of(booted.machine), signal.SIGKILL)
    assert until(lambda: driver.status(uuid).state is PowerState.OFF, 30)
    assert driver.status(uuid).reason.startswith("VirtualBox says: Aborted; see ")
    driver.start(uuid)
    assert driver.status(uuid).state is PowerState.RUNNING
    assert until(lambda: list(driver.console_tail(uuid)) == SAID, 120)


def test_a_graceful_stop_asks_the_guest(booted: Booted) -> None:
    driver, uuid = booted.lab.driver, booted.machine.uuid
    begun = time.monotonic()
    driver.stop(uuid, "graceful", 60)
    assert driver.status(uuid).state is PowerState.OFF
    # Nobody but the guest can have ended it: there was no reason to after the deadline.
    assert time.monotonic() - begun < 60
    driver.stop(uuid, "graceful", 60)
    assert str(booted.machine.seed) not in manage("list", "dvds")


def test_changed_by_hand_while_off_it_starts_as_it_should_be(booted: Booted) -> None:
    driver, uuid = booted.lab.driver, booted.machine.uuid
    manage("modifyvm", uuid, "--nic-promisc1", "allow-all", "--vrde", "on", "--mac-address1", "080027000001")
    driver.configure(uuid, 1, 160, 2)
    driver.start(uuid)
    facts = booted.lab.facts(uuid)
    assert (facts["macaddress1"], facts["vrde"], facts["memory"]) == ("525400000001", "off", "160")
    assert driver.status(uuid).disk == 2


def test_a_deaf_guest_is_stopped_after_the_deadline(booted: Booted) -> None:
    """Paused, it hears no power button."""
    driver, uuid = booted.lab.driver, booted.machine.uuid
    manage("controlvm", uuid, "pause")
    begun = time.monotonic()
    driver.stop(uuid, "graceful", 2)
    assert driver.status(uuid).state is PowerState.OFF
    assert time.monotonic() - begun >= 2


def test_a_start_that_fails_says_why(booted: Booted) -> None:
    driver, uuid = booted.lab.driver, booted.machine.uuid
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", booted.ssh.host_port))
        taken.listen()
        with pytest.raises(UserError) as caught:
            driver.start(uuid)
    assert str(caught.value).startswith(
        f"forwards.ssh: port {booted.ssh.host_port} is held by pid {os.getpid()}"
    )
    Path(booted.lab.image).rename(booted.lab.image.with_name("aside"))
    with pytest.raises(UserError) as caught:
        driver.start(uuid)
    assert str(caught.value) == f'VM "manager": {booted.lab.image} is gone; the machine must be replaced'
    booted.lab.image.with_name("aside").rename(booted.lab.image)


def test_a_running_machine_is_deleted(booted: Booted) -> None:
    driver, uuid = booted.lab.driver, booted.machine.uuid
    driver.start(uuid)
    pid = pid_of(booted.machine)
    driver.delete(uuid)
    assert not psutil.pid_exists(pid)
    assert driver.status(uuid).state is PowerState.ABSENT
    assert not listens(booted.ssh.host_port)


@pytest.mark.skipif(os.environ.get(DRIVERLESS) != "1", reason="the kernel module is used")
def test_what_virtualbox_refuses_to_start_is_said_in_its_words(
    lab: Lab, powered: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its internal networks want the kernel module."""
    monkeypatch.delenv(NETWORK_FOR_TESTS, raising=False)
    machine = lab.machine()
    lab.driver.create(machine)
    with pytest.raises(UserError) as caught:
        lab.driver.start(machine.uuid)
    network = internal_name(lab.stack, "internal")
    assert str(caught.value).splitlines()[:2] == [
        'VM "node2": VirtualBox did not start it',
        f"Cannot attach to '{network}' in driverless mode (VERR_SUP_DRIVERLESS).",
    ]
    assert lab.driver.status(machine.uuid).state is PowerState.OFF
