"""Daemons are recognised by what they are, never by a process id alone."""

import json
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from provider.hypervisors.qemu import process
from tests.rig.waiting import wait_until

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)", "--id", "one"]


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[process.Daemon]:
    (tmp_path / "one").mkdir()
    made = process.Daemon("python", ("--id", "one"), tmp_path / "one", tmp_path)
    yield made
    process.kill(made)


def started(daemon: process.Daemon) -> psutil.Process:
    running = process.spawn(daemon, SLEEP, daemon.folder / "log")
    assert running
    return running


def test_a_daemon_lives_in_a_session_of_its_own(daemon: process.Daemon) -> None:
    running = started(daemon)
    assert psutil.Process().pid != running.pid
    assert subprocess.check_output(["ps", "-o", "sid=", "-p", str(running.pid)]).split() == [
        str(running.pid).encode()
    ]
    assert process.find(daemon) == running


def test_it_is_found_as_soon_as_it_is_started(
    daemon: process.Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Linux shows no command line for a moment after a program began, longer on a busy computer."""
    real, looks = psutil.Process.cmdline, Counter[int]()

    def late(known: psutil.Process) -> list[str]:
        looks[known.pid] += 1
        return [] if looks[known.pid] <= 3 else real(known)

    monkeypatch.setattr(psutil.Process, "cmdline", late)
    begun = started(daemon)
    assert process.find(daemon) == begun


def test_a_signal_that_ends_it_is_told_in_its_log(daemon: process.Daemon) -> None:
    log = daemon.folder / "log"
    log.write_text("its own words\n")
    started(daemon).send_signal(signal.SIGABRT)
    wait_until(lambda: log.read_text() == "its own words\nended by signal 6 (Aborted)\n")


def test_the_log_of_a_daemon_that_is_removed_is_not_made_again(daemon: process.Daemon) -> None:
    running, log = started(daemon), daemon.folder / "log"
    log.unlink()
    before = threading.active_count()
    running.kill()
    wait_until(lambda: threading.active_count() < before)
    assert not log.exists()


def test_it_is_found_without_its_record(daemon: process.Daemon) -> None:
    """The process that started it was killed before it could write the record."""
    running = started(daemon)
    (daemon.folder / process.RECORD).unlink()
    assert process.find(daemon) == running
    assert (daemon.folder / process.RECORD).exists()


def test_it_is_found_after_its_folder_was_removed(daemon: process.Daemon) -> None:
    running = started(daemon)
    for file in daemon.folder.iterdir():
        file.unlink()
    daemon.folder.rmdir()
    assert process.find(daemon) == running


def test_a_recycled_process_id_is_never_killed(daemon: process.Daemon, tmp_path: Path) -> None:
    """The record names a process of somebody else, even one with the same words, elsewhere."""
    elsewhere = tmp_path.parent / f"{tmp_path.name}-elsewhere"
    elsewhere.mkdir()
    foreign = subprocess.Popen(SLEEP, cwd=elsewhere)
    try:
        record = {"pid": foreign.pid, "started": psutil.Process(foreign.pid).create_time()}
        (daemon.folder / process.RECORD).write_text(json.dumps(record))
        assert process.find(daemon) is None
        process.kill(daemon)
        assert foreign.poll() is None
    finally:
        foreign.kill()
        foreign.wait()


def test_killing_twice(daemon: process.Daemon) -> None:
    running = started(daemon)
    process.kill(daemon)
    process.kill(daemon)
    assert not running.is_running() or running.status() == psutil.STATUS_ZOMBIE


@pytest.mark.parametrize("record", ["", "{}", "[]", '{"pid": "x", "started": 1}', '{"pid": 1, "started": 0}'])
def test_a_damaged_record_is_no_record(record: str, daemon: process.Daemon) -> None:
    (daemon.folder / process.RECORD).write_text(record)
    assert process.find(daemon) is None
