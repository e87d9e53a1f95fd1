"""The script that takes host name and name servers from networkd, run on a small tree of files."""

import os
import subprocess
import time
from pathlib import Path

import pytest

from provider.images import recipe

SCRIPT = recipe.TREE / "usr/lib/cloudmatrix/lease"
STATE = "# private\nOPER_STATE=routable\nDNS=10.10.10.1 10.10.10.2\nDOMAINS=matrix other\n"
LEASE = "ADDRESS=10.10.10.2\nHOSTNAME=node2.matrix\nCLIENTID=01=52\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for folder in ("etc", "proc/sys/kernel", "run/systemd/netif/leases"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "etc/resolv.conf").touch()
    (tmp_path / "proc/sys/kernel/hostname").write_text("localhost\n")
    return tmp_path


def environment(root: Path, pause: float) -> dict[str, str]:
    """With a shorter pause than the script's second: what it is for, networkd, is not here."""
    (root / "bin").mkdir(exist_ok=True)
    (root / "bin/sleep").write_text(f"#!/bin/sh\nexec /bin/sleep {pause}\n")
    (root / "bin/sleep").chmod(0o755)
    return {**os.environ, "PATH": f"{root}/bin:{os.environ['PATH']}"}


def run(root: Path) -> None:
    argv = ["sh", SCRIPT, root]
    done = subprocess.run(
        argv, env=environment(root, 0.02), capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_names_are_taken(root: Path) -> None:
    (root / "run/systemd/netif/state").write_text(STATE)
    (root / "run/systemd/netif/leases/2").write_text(LEASE)
    run(root)
    assert (root / "etc/resolv.conf").read_text() == (
        "search matrix\nnameserver 10.10.10.1\nnameserver 10.10.10.2\n"
    )
    assert (root / "etc/hostname").read_text() == "node2\n"
    assert (root / "proc/sys/kernel/hostname").read_text() == "node2\n"


def test_what_is_right_is_not_written_again(root: Path) -> None:
    (root / "run/systemd/netif/state").write_text(STATE)
    (root / "run/systemd/netif/leases/2").write_text(LEASE)
    run(root)
    written = [root / "etc/resolv.conf", root / "etc/hostname"]
    before = [path.stat().st_mtime_ns for path in written]
    run(root)
    assert [path.stat().st_mtime_ns for path in written] == before


@pytest.mark.parametrize("state", [None, "", "OPER_STATE=carrier\n"])
def test_without_a_lease_nothing_changes(root: Path, state: str | None) -> None:
    (root / "etc/resolv.conf").write_text("nameserver 10.0.2.3\n")
    if state is not None:
        (root / "run/systemd/netif/state").write_text(state)
    run(root)
    assert (root / "etc/resolv.conf").read_text() == "nameserver 10.0.2.3\n"
    assert not (root / "etc/hostname").exists()
    assert (root / "proc/sys/kernel/hostname").read_text() == "localhost\n"


def test_a_change_while_it_runs_is_not_missed(root: Path) -> None:
    state = root / "run/systemd/netif/state"
    state.write_text("OPER_STATE=degraded\n")
    process = subprocess.Popen(["sh", SCRIPT, root], env=environment(root, 0.5))
    time.sleep(0.2)
    state.write_text(STATE)
    (root / "run/systemd/netif/leases/2").write_text(LEASE)
    assert process.wait(timeout=30) == 0
    assert (root / "etc/resolv.conf").read_text().startswith("search matrix\n")
    assert (root / "etc/hostname").read_text() == "node2\n"
