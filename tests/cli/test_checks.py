"""Ports, memory and disk against the plan, with real sockets and processes."""

import os
import socket
import subprocess
import sys

import pytest

from cli import leftovers, ports
from cli.checks import Finding, check_disk, check_memory, check_ports
from cli.errors import CliError
from config import parse

LISTEN = """
import socket, sys, time
held = socket.create_server(("127.0.0.1", 0))
print(held.getsockname()[1], flush=True)
time.sleep(60)
"""


@pytest.fixture
def listener():
    with socket.create_server(("127.0.0.1", 0)) as held:
        yield held.getsockname()[1]


@pytest.fixture
def stack_process(tmp_path):
    """A process of a stack, as its command line names a file in the stack's folder; it holds a port."""
    folder = tmp_path / ".matrix" / "dev"
    folder.mkdir(parents=True)
    argv = [sys.executable, "-c", LISTEN, str(folder / "manager" / "disk.qcow2")]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        yield folder, process, int(process.stdout.readline())
        process.kill()


def test_a_port_in_use_is_told_with_its_holder(listener, tmp_path):
    config = parse({"forwards": {"ssh": listener, "http": 1}})
    found = list(check_ports(config, tmp_path))
    assert found[0] == Finding(
        "failure",
        f"forwards.ssh: port {listener} is held by pid {os.getpid()} ({ports.psutil.Process().name()})",
        "set another",
    )


def test_a_port_that_this_stack_holds_is_fine(stack_process):
    folder, _, port = stack_process
    (ssh, _) = check_ports(parse({"forwards": {"ssh": port, "http": 1}}), folder)
    assert ssh == Finding("ok", f"forwards.ssh: port {port} is held by this stack")


def test_a_free_port_has_no_holder():
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
    assert ports.holder("127.0.0.1", port) is None


def test_a_port_held_on_one_address_cannot_be_bound_on_all(listener):
    assert ports.holder("0.0.0.0", listener) is not None  # noqa: S104 - asked about, not bound


def test_who_may_not_look_is_told_so():
    assert str(ports.Holder(None, "")) == "a process of another user"


@pytest.mark.parametrize(
    ("free", "finding"),
    [
        (3584, Finding("ok", "memory: the machines have 3.5 GiB; this computer has 3.5 GiB free")),
        (
            3583,
            Finding(
                "failure",
                "memory: the machines have 3.5 GiB; this computer has 3.5 GiB free",
                "set a smaller node.memory or fewer nodes",
            ),
        ),
    ],
)
def test_memory_is_compared_with_the_plan(free, finding):
    assert check_memory(parse({}), free) == finding


@pytest.mark.parametrize(
    ("free", "made", "finding"),
    [
        (7, False, Finding("ok", "disk: about 7 GiB more are needed; 7 GiB are free")),
        (0, True, Finding("ok", "disk: about 0 GiB more are needed; 0 GiB are free")),
        (
            6,
            False,
            Finding(
                "warning",
                "disk: about 7 GiB more are needed; 6 GiB are free",
                "make room, or machines may stop in the middle of their work",
            ),
        ),
    ],
)
def test_disk_is_compared_with_the_plan(free, made, finding):
    assert check_disk(parse({}), free, made=made) == finding


def test_a_destroyed_stack_leaves_no_folder(tmp_path):
    folder = tmp_path / "dev"
    (folder / "logs").mkdir(parents=True)
    (folder / "logs" / "x").write_text("")
    leftovers.remove_and_verify(folder)
    assert not folder.exists()
    leftovers.remove_and_verify(folder)


def test_a_process_that_is_left_is_told_and_the_folder_stays(stack_process):
    folder, process, _ = stack_process
    with pytest.raises(CliError) as caught:
        leftovers.remove_and_verify(folder)
    assert caught.value.message == (
        f"processes still use {folder}; end them and destroy again:\n"
        f"  pid {process.pid} ({ports.psutil.Process(process.pid).name()})"
    )
    assert folder.exists()


def test_a_stack_whose_name_begins_alike_is_another_one(stack_process):
    folder, _, _ = stack_process
    assert leftovers.processes(folder.with_name("de")) == []
