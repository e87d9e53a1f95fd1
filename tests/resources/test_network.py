"""Network: one life over the real wire, and what is said of wrong inputs."""

import threading
from pathlib import Path
from typing import Any

import pytest

from provider.hypervisors.qemu import process
from provider.hypervisors.qemu.network import Networks
from provider.resources.base import UNKNOWN, Context, Failure
from provider.resources.network import NetworkResource
from tests.rig.guests import daemons
from tests.rig.lifecycle import Case, contract
from tests.rig.plugin import STACK, running

INPUTS = {"cidr": "10.10.10.0/24", "hypervisor": "qemu"}


def context(project: Path, name: str = "internal") -> Context:
    return Context("dev", name, project, lambda _: None, threading.Event())


def test_contract(tmp_path: Path) -> None:
    with running(tmp_path) as plugin:
        contract(plugin, Case("Network", INPUTS, name="internal", unknown="cidr"))
    assert daemons(tmp_path / ".matrix") == []
    assert not (tmp_path / ".matrix" / STACK / "networks").exists()


def test_a_refresh_starts_a_switch_that_died(tmp_path: Path) -> None:
    network, project = NetworkResource(), context(tmp_path)
    network.create(project, INPUTS)
    daemon = Networks(tmp_path / ".matrix")._daemon("dev", "internal")
    process.kill(daemon)
    found = network.read(project, "internal", INPUTS, {})
    assert found
    assert found.inputs == INPUTS
    assert process.find(daemon)
    network.delete(project, "internal", INPUTS)


@pytest.mark.parametrize(
    ("name", "inputs", "reason"),
    [
        ("nat", {}, 'name: got "nat"; need a-z, 0-9 and -, not "nat"; try internal'),
        ("a/b", {}, 'name: got "a/b"; need a-z, 0-9 and -, not "nat"; try internal'),
        (
            "internal",
            {"cidr": "10.10.10.1/24"},
            'cidr: got "10.10.10.1/24"; need a network address; try 10.10.10.0/24',
        ),
        ("internal", {"cidr": "wide"}, 'cidr: got "wide"; need a network address; try 10.10.10.0/24'),
        ("internal", {"hypervisor": "xen"}, 'hypervisor: got "xen"; need auto, virtualbox, qemu; try auto'),
    ],
)
def test_wrong_inputs_are_named(name: str, inputs: dict[str, Any], reason: str, tmp_path: Path) -> None:
    _, failures = NetworkResource().check(context(tmp_path, name), {**INPUTS, **inputs})
    assert failures == [Failure(reason)]


def test_unknown_inputs_are_not_judged(tmp_path: Path) -> None:
    unknown = {"cidr": UNKNOWN, "hypervisor": UNKNOWN}
    assert NetworkResource().check(context(tmp_path), unknown) == (unknown, [])


def test_auto_stays_with_what_the_stack_is_made_on(tmp_path: Path) -> None:
    """Even when another hypervisor is installed later."""
    network = NetworkResource()
    network.create(context(tmp_path), INPUTS)
    inputs, failures = network.check(context(tmp_path), {**INPUTS, "hypervisor": "auto"})
    assert (inputs, failures) == (INPUTS, [])
    network.delete(context(tmp_path), "internal", INPUTS)
