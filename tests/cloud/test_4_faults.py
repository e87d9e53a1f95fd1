"""A node dies, an `up` is killed, everything is taken down: nothing is lost and nothing is left."""

import os
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import psutil

from tests.rig.cloud import Cloud
from tests.rig.load import Load


def test_a_node_that_loses_power_loses_no_request_and_up_brings_it_back(cloud: Cloud) -> None:
    urls = [cloud.url("/simplewebapp1/"), cloud.url("/simplewebapp2/")]
    # A request that was on its way when the plug was pulled is slow; it must not be lost.
    with Load(urls, clients=6, rate=24, patience=60) as load:
        time.sleep(8)
        _kill_machine(cloud, "node3")
        time.sleep(30)
    print("node powered off:", load)
    assert load.asked > 200
    assert load.failures == []

    preview = cloud.matrix("preview", "--diff").output
    assert "node3-vm" in preview
    with Load(urls, rate=8) as load:
        cloud.matrix("up", "--yes")
    assert load.failures == []
    # The machine is up; Docker on it starts its containers by itself, and the router takes them in again.
    assert _answers_again(cloud, "node3", seconds=240)


def test_after_a_restart_of_the_computer_up_brings_everything_back(cloud: Cloud) -> None:
    """The plug of the computer itself: all machines and the switch between them are gone at once."""
    before = cloud.resources()
    for process in cloud.daemons():
        process.kill()
        process.wait(10)
    cloud.matrix("up", "--yes")
    changed = cloud.changed(before)
    assert changed == set(), f"the same machines with the same disks: {changed}"
    for node in ("node2", "node3"):
        assert _answers_again(cloud, node, seconds=240)


def _answers_again(cloud: Cloud, node: str, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with suppress(OSError):  # while the manager comes up, its port may be closed
            if node in cloud.get("/simplewebapp1/")[1]:
                return True
        time.sleep(1)
    return False


def _kill_machine(cloud: Cloud, host: str) -> None:
    """Pull the plug: SIGKILL to the one QEMU process that runs in this host's folder."""
    (machine,) = (each for each in cloud.daemons() if each.cwd() == str(cloud.stack / "machines" / host))
    machine.kill()
    machine.wait(10)


def test_destroy_leaves_nothing(cloud: Cloud) -> None:
    cloud.matrix("destroy", "--yes")
    assert_nothing_left(cloud)


def test_an_up_that_is_killed_is_mended_by_destroy(cloud: Cloud) -> None:
    process = subprocess.Popen(
        cloud.argv("up", "--yes"),
        cwd=cloud.folder,
        env=cloud.environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + 120
    while len([line for line in cloud.processes() if "qemu-system" in line]) < 2:
        assert time.monotonic() < deadline, "no machine was started"
        assert process.poll() is None
        time.sleep(0.5)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(10)
    done = cloud.matrix("destroy", "--yes")
    print(done.output)
    assert_nothing_left(cloud)


def assert_nothing_left(cloud: Cloud) -> None:
    assert cloud.processes() == []
    assert not cloud.stack.exists()
    listening = {
        connection.laddr.port
        for connection in psutil.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }
    assert listening.isdisjoint({cloud.http, cloud.ssh_port})
    sockets = [line for line in Path("/proc/net/unix").read_text().splitlines() if str(cloud.folder) in line]
    assert sockets == []
