"""A stack of real resources on the real VirtualBox, from nothing to nothing. The tests run in their order."""

import socket
from collections.abc import Iterator, Mapping
from contextlib import suppress

import pytest

from engine.errors import EngineError
from engine.operations import Outcome
from provider import ssh
from provider.hypervisors.base import PowerState
from tests.rig.virtualbox.project import STACK, Small
from tests.rig.virtualbox_lab import listing, manage, needs_virtualbox

PATIENCE = 900
LOGINS = 5
"""Tries, each of which may take SSH's own patience."""
pytestmark = [needs_virtualbox, pytest.mark.guest, pytest.mark.timeout(PATIENCE)]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory, powered: None) -> Iterator[Small]:
    """The stack, beside a machine and a disk that are not ours."""
    folder = tmp_path_factory.mktemp("stack")
    manage("createvm", "--name", "foreign", "--register", "--basefolder", str(folder / "foreign"))
    disk = str(folder / "foreign" / "foreign.vdi")
    manage("createmedium", "disk", "--filename", disk, "--size", "8")
    before = listing()
    made = Small(folder, folder / "cache")
    patch = pytest.MonkeyPatch()
    patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
    patch.setenv("PULUMI_CONFIG_PASSPHRASE", "tests")
    yield made
    for name in made.wanted["machines"]:
        made.driver.delete(made.uuid(name))
    after = listing()
    manage("unregistervm", "foreign", "--delete-all")
    manage("closemedium", "disk", disk, "--delete", check=False)
    patch.undo()
    assert after == before


def done(small: Small, verb: str) -> Mapping[str, int]:
    """What an operation changed; its whole output and the serial consoles when it failed."""
    outcome: Outcome | None = None
    try:
        outcome = small.run(verb)
    except EngineError as error:
        small.shown += str(error)
    if outcome is None or not outcome.ok:
        pytest.fail(f"{verb} failed:\n{small.shown}\n{small.consoles()}", pytrace=False)
    return {op: count for op, count in outcome.changes.items() if count}


def said(small: Small, name: str, command: str) -> str:
    """What a command says on a machine; an interpreted one may let a login wait for too long."""
    for _ in range(LOGINS):
        with suppress(ssh.Unreachable):
            return ssh.connect(small.connection(name)).run(command).stdout
    return ssh.connect(small.connection(name)).run(command).stdout


def answers(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(5)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_a_preview_makes_nothing(small: Small) -> None:
    before = listing()
    assert done(small, "preview")["create"] == 6
    assert listing() == before
    assert not (small.matrix / STACK / "machines").exists()


def test_it_goes_up(small: Small) -> None:
    assert done(small, "up")["create"] == 6
    for name in ("manager", "node2"):
        assert small.driver.status(small.uuid(name)).state is PowerState.RUNNING
        assert said(small, name, "hostname") == f"{name}\n"
    assert answers(small.wanted["forwards"]["http"]["host_port"])


def test_the_node_is_reached_over_the_internal_network_only(small: Small) -> None:
    assert "default" not in said(small, "node2", "ip route")
    assert "10.10.10.2/24" in said(small, "node2", "ip -4 addr")
    said(small, "node2", "ping -c 1 -W 10 10.10.10.1")


def test_the_seeds_are_gone(small: Small) -> None:
    """Drive and file; VirtualBox itself forgets the medium when the machine is off, as the last test sees."""
    for name in ("manager", "node2"):
        assert "seed" not in manage("showvminfo", small.uuid(name), "--machinereadable")
    assert list((small.matrix / STACK).rglob("*.iso")) == []


def test_nothing_to_do(small: Small) -> None:
    assert set(done(small, "up")) == {"same"}
    assert set(done(small, "refresh")) == {"same"}


def test_forwards_change_while_it_runs(small: Small) -> None:
    old = small.wanted["forwards"]["http"]["host_port"]
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        new = probe.getsockname()[1]
    small.wanted["forwards"] = {
        "http": {"host_port": new, "guest_port": 22},
        "extra": small.wanted["forwards"]["http"],
    }
    small.wanted["forwards"]["extra"]["guest_port"] = 8080
    small.save()
    changes = done(small, "up")
    assert (changes.get("create"), changes.get("replace")) == (1, 1), small.shown
    assert answers(new)
    assert answers(old)


def test_drift_by_hand_is_shown_and_mended(small: Small) -> None:
    """A rule that VBoxManage has taken away."""
    manage("controlvm", small.uuid("manager"), "natpf1", "delete", "extra")
    changes = done(small, "refresh")
    assert changes.get("delete") == 1, small.shown
    assert done(small, "up")["create"] == 1
    assert answers(small.wanted["forwards"]["extra"]["host_port"])


def test_it_goes_away_and_leaves_what_was_there(small: Small) -> None:
    """The base disk stays registered with VirtualBox no longer than a machine uses it."""
    assert done(small, "destroy")["delete"] == 7
    assert not (small.matrix / STACK).exists() or list((small.matrix / STACK).rglob("*.v*")) == []
    assert "foreign" in manage("list", "vms")
    assert STACK not in manage("list", "vms")
