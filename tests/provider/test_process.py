"""The plugin as a process: its environment, its words on stdout, and its end."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from provider.process import engine_address, scrub
from tests.rig.plugin import TOY, Engine, Failed, Plugin, port_of, running, start

PATIENCE = 30.0

# Starts the plugin as an engine would, prints what the plugin prints, and waits to be killed.
ENGINE = """
import subprocess, sys, time
process = subprocess.Popen([sys.executable, *sys.argv[1:]], stdout=subprocess.PIPE)
print(process.pid, process.stdout.readline().decode().strip(), flush=True)
time.sleep(60)
"""


def test_scrub_takes_away_all_settings_of_pulumi() -> None:
    environment = {"PULUMI_CONFIG": "{}", "PULUMI_CONFIG_PASSPHRASE": "x", "PULUMI_HOME": "/", "PATH": "/bin"}
    scrub(environment)
    assert environment == {"PATH": "/bin"}


def test_the_engines_address_may_come_with_flags() -> None:
    assert engine_address(["--logtostderr", "127.0.0.1:4"]) == "127.0.0.1:4"


def test_without_an_address_it_says_how_it_is_started(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(TOY)], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "the following arguments are required: engine" in done.stderr


def test_the_real_plugin_starts_with_only_its_folder_on_the_path(tmp_path: Path) -> None:
    with running(tmp_path) as plugin:
        inputs, failures = plugin.check(Plugin.urn("Password", "p"), {"length": 5})
        assert (inputs, failures) == ({"length": 5}, ["length: got 5; need an integer from 16 to 72; try 32"])
        plugin.cancel()


def test_it_lets_go_of_the_engines_pipes_and_ignores_the_terminals_interrupt(tmp_path: Path) -> None:
    with running(tmp_path, TOY) as plugin:
        assert plugin.process.stdout and plugin.process.stderr
        assert (plugin.process.stdout.read(), plugin.process.stderr.read()) == ("", "")
        plugin.process.send_signal(signal.SIGINT)
        with pytest.raises(subprocess.TimeoutExpired):
            plugin.process.wait(0.3)
        plugin.check(Plugin.urn("Note", "n"), {"path": "/x"})


def test_the_log_is_private_and_holds_what_was_done(tmp_path: Path) -> None:
    with running(tmp_path, TOY) as plugin:
        urn = Plugin.urn("Note", "n")
        plugin.delete(urn, plugin.create(urn, {"path": str(tmp_path / "note"), "lines": []}))
        assert f"create {urn}: done after" in plugin.log()
        assert f"delete {urn}: done after" in plugin.log()


def test_killed_with_its_engine_it_ends_its_helpers_and_leaves_machines(tmp_path: Path) -> None:
    engine = Engine()
    command = [sys.executable, "-c", ENGINE, str(TOY), engine.address]
    parent = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    try:
        assert parent.stdout
        pid, port = map(int, parent.stdout.readline().split())
        plugin = psutil.Process(pid)
        urn = Plugin.urn("Note", "n")
        note = tmp_path / "note"
        spoken_to = Plugin(parent, engine, tmp_path, port)
        under_way = spoken_to.start_create(urn, {"path": str(note), "fault": "children"})
        engine.wait_for(urn, "waiting")
        children = json.loads(note.read_text())
        helper, machine = psutil.Process(children["helper"]), psutil.Process(children["machine"])
        parent.kill()
        parent.wait()
        assert _soon(lambda: not _alive(plugin)), "the plugin outlived its engine"
        assert _soon(lambda: not _alive(helper)), "a helper outlived the plugin"
        assert _alive(machine), "a machine must survive"
        machine.kill()
        with pytest.raises(Failed):
            under_way()
    finally:
        parent.kill()
        parent.wait()
        engine.close()


def test_many_daemons_hold_up_nothing(tmp_path: Path) -> None:
    """A machine started by the plugin keeps no pipe of the engine open."""
    engine = Engine()
    process = start(TOY, engine.address, tmp_path)
    plugin = Plugin(process, engine, tmp_path, port_of(process))
    urn, note = Plugin.urn("Note", "n"), tmp_path / "note"
    under_way = plugin.start_create(urn, {"path": str(note), "fault": "children"})
    engine.wait_for(urn, "waiting")
    process.kill()
    try:
        assert process.communicate(timeout=PATIENCE) == ("", "")
        with pytest.raises(Failed):
            under_way()
    finally:
        os.kill(json.loads(note.read_text())["machine"], signal.SIGKILL)
        engine.close()


def _alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _soon(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + PATIENCE
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return condition()
