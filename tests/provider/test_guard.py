"""Helpers end with the provider, machines do not."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from provider.guard import remaining
from tests.rig.plugin import ROOT

PATIENCE = 30.0

PROVIDER = """
import json, subprocess, sys, time
from provider import guard

guard.start()
helper = subprocess.Popen(["sleep", "60"])
deaf = subprocess.Popen(["sh", "-c", "trap '' TERM; echo deaf; sleep 60 & wait"], stdout=subprocess.PIPE)
deaf.stdout.readline()
build = subprocess.Popen(["sleep", "60"], start_new_session=True)
done = subprocess.Popen(["sleep", "60"], start_new_session=True)
with guard.ends_with_us(build.pid):
    with guard.ends_with_us(done.pid):
        pass
    started = {"helper": helper, "deaf": deaf, "build": build, "machine": done}
    print(json.dumps({name: process.pid for name, process in started.items()}), flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_helpers_and_named_groups_end_with_us_and_no_other(tmp_path: Path, number: signal.Signals) -> None:
    command = [sys.executable, "-c", PROVIDER]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    provider = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True)
    assert provider.stdout
    processes = {name: psutil.Process(pid) for name, pid in json.loads(provider.stdout.readline()).items()}
    machine = processes.pop("machine")
    try:
        provider.send_signal(number)
        assert provider.wait(PATIENCE) == -number
        for process in processes.values():
            process.wait(PATIENCE)
        assert machine.is_running()
        assert machine.status() != psutil.STATUS_ZOMBIE
    finally:
        machine.kill()


@pytest.mark.parametrize(
    ("lines", "groups"),
    [([], set()), (["+1\n"], {1}), (["+1\n", "+2\n", "-1\n"], {2}), (["-1\n"], set())],
)
def test_remaining(lines: list[str], groups: set[int]) -> None:
    assert remaining(iter(lines)) == groups
