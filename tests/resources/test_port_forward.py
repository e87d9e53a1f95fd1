"""PortForward: one life over the real wire on a machine that runs, and what is said of wrong inputs."""

import queue
import socket
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from provider.errors import Cancelled, UserError
from provider.hypervisors.base import Forward
from provider.hypervisors.qemu.driver import Qemu
from provider.resources import port_forward
from provider.resources.base import UNKNOWN, Context, Failure
from provider.resources.port_forward import PortForwardResource
from tests.rig.guests import daemons
from tests.rig.lifecycle import Case, contract
from tests.rig.machines import machine
from tests.rig.plugin import STACK, State, running
from tests.rig.sshd import free_port


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[str]:
    """A machine that runs; its guest need not be up for a port to listen."""
    hypervisor = Qemu(tmp_path / ".matrix")
    made = machine(tmp_path / ".matrix", "manager", STACK)
    hypervisor.create(made)
    hypervisor.start(made.uuid)
    yield made.uuid
    hypervisor.delete(made.uuid)
    assert daemons(tmp_path / ".matrix") == []


def inputs_for(manager: str, **changes: Any) -> dict[str, Any]:
    wanted = {"machine": manager, "hypervisor": "qemu", "host_ip": "127.0.0.1", "guest_port": 80}
    return {**wanted, "host_port": free_port(), **changes}


def context(project: Path, name: str = "http") -> Context:
    return Context(STACK, name, project, lambda _: None, threading.Event())


def test_contract(manager: str, tmp_path: Path) -> None:
    inputs = inputs_for(manager)
    with running(tmp_path) as plugin:
        contract(plugin, Case("PortForward", inputs, name="http", unknown="machine"))


def test_a_forward_removed_by_hand_is_gone(manager: str, tmp_path: Path) -> None:
    inputs = inputs_for(manager)
    with running(tmp_path) as plugin:
        urn = plugin.urn("PortForward", "http")
        made = plugin.create(urn, inputs)
        assert made.identifier == f"{manager}/http"
        assert socket.socket().connect_ex(("127.0.0.1", inputs["host_port"])) == 0
        Qemu(tmp_path / ".matrix").unforward(manager, "http")
        assert plugin.read(urn, made) is None
        difference = plugin.diff(urn, made, {**inputs, "host_port": inputs["host_port"] + 1})
        assert (difference.replaces, difference.delete_first) == (["host_port"], True)


def test_a_port_in_use_is_found_at_preview_unless_it_is_ours(manager: str, tmp_path: Path) -> None:
    forward, me = PortForwardResource(), psutil.Process()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        inputs = inputs_for(manager, host_port=port)
        held = f"port {port} is held by pid {me.pid} ({me.name()}); set another"
        assert forward.check(context(tmp_path), inputs)[1] == [Failure(f"host_port: {held}")]
        with pytest.raises(UserError) as error:
            forward.create(context(tmp_path), inputs)
        assert str(error.value) == f"forwards.http: {held}"
    forward.create(context(tmp_path), inputs)
    unknown = {**inputs, "machine": UNKNOWN}
    assert forward.check(context(tmp_path), inputs)[1] == []
    assert forward.check(context(tmp_path), unknown)[1] == []


def test_a_port_that_is_given_up_during_the_check_is_free(
    manager: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another forward of the stack moves away from it between the two looks, at the port and at the rules."""
    forward, inputs = PortForwardResource(), inputs_for(manager)
    forward.create(context(tmp_path, "http"), inputs)
    real = Qemu.list

    def later(self: Qemu, stack: str) -> Sequence[str]:
        self.unforward(manager, "http")
        return real(self, stack)

    monkeypatch.setattr(Qemu, "list", later)
    assert forward.check(context(tmp_path, "extra"), inputs)[1] == []
    assert Qemu(tmp_path / ".matrix").status(manager).forwards == ()


def test_a_port_is_taken_over_as_soon_as_its_forward_is_gone(manager: str, tmp_path: Path) -> None:
    forward, inputs, hypervisor = PortForwardResource(), inputs_for(manager), Qemu(tmp_path / ".matrix")
    said: queue.Queue[str] = queue.Queue()
    forward.create(context(tmp_path, "http"), inputs)
    with ThreadPoolExecutor(1) as pool:
        taking = pool.submit(forward.create, replace(context(tmp_path, "extra"), progress=said.put), inputs)
        port = inputs["host_port"]
        assert said.get(timeout=30) == f"waiting for the forward http to give up port {port}"
        assert not taking.done()
        forward.delete(context(tmp_path, "http"), f"{manager}/http", inputs)
        assert taking.result(30).identifier == f"{manager}/extra"
    assert hypervisor.status(manager).forwards == (Forward("extra", "127.0.0.1", port, 80),)
    assert socket.socket().connect_ex(("127.0.0.1", port)) == 0
    assert said.empty()


def test_a_port_that_is_not_given_up(manager: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(port_forward, "HANDOVER", 0.5)
    forward, inputs = PortForwardResource(), inputs_for(manager)
    forward.create(context(tmp_path, "http"), inputs)
    with pytest.raises(UserError) as error:
        forward.create(context(tmp_path, "extra"), inputs)
    assert str(error.value) == (
        f"forwards.extra: port {inputs['host_port']} is held by the forward http of this stack, "
        "for 0.5 s already; set another, or remove that one first"
    )
    interrupted = context(tmp_path, "extra")
    interrupted.cancelled.set()
    with pytest.raises(Cancelled) as cancelled:
        forward.create(interrupted, inputs)
    assert str(cancelled.value) == (
        f"forwards.extra: interrupted while waiting for port {inputs['host_port']}"
    )


def test_wrong_inputs_are_named(tmp_path: Path) -> None:
    inputs = inputs_for("no-such-machine", guest_port=0)
    assert PortForwardResource().check(context(tmp_path, "Http!"), inputs)[1] == [
        Failure('name: got "Http!"; need a-z, 0-9 and -; try http'),
        Failure("guest_port: got 0; need 1 to 65535; try 80"),
    ]


def test_a_machine_that_is_gone(tmp_path: Path) -> None:
    """Its forwards went with it."""
    state = State("no-such-machine/http", {}, {})
    forward, inputs = PortForwardResource(), inputs_for("no-such-machine")
    assert forward.read(context(tmp_path), state.identifier, inputs, {}) is None
    forward.delete(context(tmp_path), state.identifier, inputs)
    with pytest.raises(UserError, match="no VM no-such-machine on this computer; run up --refresh"):
        forward.create(context(tmp_path), inputs)
