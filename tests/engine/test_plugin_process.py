"""Plugins as processes of their own: started as the CLI does, never outliving the engine."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.rig.stack import PASSPHRASE, Stack

ROOT = Path(__file__).parents[2]
RUN = f"""\
import sys
sys.path.insert(0, {str(ROOT)!r})
from pathlib import Path
from engine.display import PlainDisplay
from engine.operations import Options, {{verb}}
sys.exit(not {{verb}}(Options(Path.cwd(), "test", PlainDisplay())).ok)
"""
DEADLINE = 30.0


def until(condition: Callable[[], object], what: str) -> None:
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end, f"gave up waiting: {what}"
        time.sleep(0.02)


class Engine:
    """The embedded engine in a process of its own, so that it can be interrupted and killed."""

    def __init__(self, stack: Stack, verb: str = "up") -> None:
        self.stack = stack
        self.process = subprocess.Popen(
            [sys.executable, "-c", RUN.format(verb=verb)],
            cwd=stack.root,
            env={**os.environ, "PULUMI_CONFIG_PASSPHRASE": PASSPHRASE},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def waits_for(self, name: str) -> None:
        until((self.stack.lab.folder / f"waiting-{name}").exists, f"{name} to wait")

    def plugins(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def ends(self) -> tuple[int, str]:
        out, _ = self.process.communicate(timeout=DEADLINE)
        return self.process.returncode, out


@pytest.fixture
def engine(plugin_stack: Stack) -> Iterator[Callable[..., Engine]]:
    started: list[Engine] = []

    def start(verb: str = "up") -> Engine:
        started.append(Engine(plugin_stack, verb))
        return started[-1]

    yield start
    for each in started:
        if each.process.poll() is None:
            each.process.kill()
            each.process.wait()


def test_a_plugin_is_started_shown_and_stopped(plugin_stack: Stack) -> None:
    outcome = plugin_stack.up('Thing("a", word=Output.secret("x"))')

    assert outcome.ok, plugin_stack.shown
    assert "   lab:index:Thing a: making it\n" in plugin_stack.shown
    assert not [p for p in psutil.Process().children() if "lab" in " ".join(p.cmdline())]


def test_the_plugin_gets_no_passphrase_and_the_projects_folder(plugin_stack: Stack) -> None:
    folder = plugin_stack.root / "spy"
    folder.mkdir()
    (folder / "PulumiPlugin.yaml").write_text("runtime: python\n")
    (folder / "__main__.py").write_text(
        "import os, sys, json, pathlib\n"
        "said = {'env': dict(os.environ), 'argv': sys.argv, 'cwd': os.getcwd()}\n"
        "pathlib.Path('said.json').write_text(json.dumps(said))\nprint('no port')\n"
    )
    text = (plugin_stack.root / "Pulumi.yaml").read_text().replace("name: lab,", "name: spy,")
    (plugin_stack.root / "Pulumi.yaml").write_text(text.replace(str(ROOT / "tests/rig/lab"), "./spy"))
    plugin_stack.up('pulumi.CustomResource("spy:index:X", "x", {})')

    said = json.loads((plugin_stack.root / "said.json").read_text())
    assert said["cwd"] == str(plugin_stack.root)
    assert said["argv"][0] == str(folder) and said["argv"][1].startswith("127.0.0.1:")
    assert said["env"]["PULUMI_PROJECT"] == "scratch"
    assert PASSPHRASE not in [v for k, v in said["env"].items() if "PASSPHRASE" in k]


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("import nothing_like_this", "ModuleNotFoundError: No module named 'nothing_like_this'"),
        ("print('hello')", "hello"),
        ("raise SystemExit(3)", "has ended with code 3; this is a defect of the provider. It wrote nothing"),
    ],
)
def test_a_plugin_that_does_not_start_is_told_with_its_last_words(
    plugin_stack: Stack, source: str, told: str
) -> None:
    folder = plugin_stack.root / "bad"
    folder.mkdir()
    (folder / "PulumiPlugin.yaml").write_text("runtime: python\n")
    (folder / "__main__.py").write_text(source)
    text = (plugin_stack.root / "Pulumi.yaml").read_text()
    (plugin_stack.root / "Pulumi.yaml").write_text(text.replace(str(ROOT / "tests/rig/lab"), "./bad"))

    assert not plugin_stack.up('Thing("a")').ok
    assert "error: pulumi:providers:lab default_1_0_0: the provider 'lab' has ended" in plugin_stack.shown
    assert told in plugin_stack.shown


def test_a_plugin_that_dies_in_the_middle_is_told_and_the_rest_is_saved(plugin_stack: Stack) -> None:
    plugin_stack.orders(create_b="die")

    assert not plugin_stack.up('a = Thing("a")\nThing("b", of=a.tag)').ok

    assert (
        "error: lab:index:Thing b: the provider 'lab' has ended with code 3; this is a defect of the "
        "provider. It wrote:\n    b is too much\n"
    ) in plugin_stack.shown
    assert plugin_stack.names() == ["a"]


def test_killing_the_engine_kills_its_plugins_and_leaves_pending_creations(
    plugin_stack: Stack, engine: Callable[..., Engine]
) -> None:
    plugin_stack.program('Thing("a")\nThing("b")\nThing("c")')
    plugin_stack.orders(create_a="wait", create_b="wait")
    run = engine()
    run.waits_for("a")
    run.waits_for("b")
    until(lambda: plugin_stack.names() == ["c"], "c to be saved")
    plugins = run.plugins()
    assert plugins

    run.process.send_signal(signal.SIGKILL)
    run.process.wait()

    until(lambda: not any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in plugins), "plugins")
    pending = plugin_stack.latest["pending_operations"]
    assert sorted(item["type"] + item["resource"]["urn"][-3:] for item in pending) == [
        "creating::a", "creating::b"
    ]  # fmt: skip

    plugin_stack.orders()
    outcome = plugin_stack.run("up")

    assert outcome.ok, plugin_stack.shown
    first, second = plugin_stack.shown.splitlines()[:2]
    assert first.startswith("warning: broke the lock of pid ") and first.endswith(": that process is gone")
    assert second == "warning: an earlier run was cut off in 2 operations:"
    assert sorted(plugin_stack.names()) == ["a", "b", "c"]
    assert "pending_operations" not in plugin_stack.latest


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_interruption_cancels_saves_and_ends(
    plugin_stack: Stack, engine: Callable[..., Engine], number: signal.Signals
) -> None:
    plugin_stack.program('a = Thing("a")\nb = Thing("b", of=a.tag)\nThing("c", of=b.tag)')
    plugin_stack.orders(create_b="wait")
    run = engine()
    run.waits_for("b")

    run.process.send_signal(number)
    code, out = run.ends()

    assert code == 1
    assert "warning: interrupted: finishing what is under way and saving" in out
    assert "error: lab:index:Thing b: b was interrupted" in out
    assert "Traceback" not in out
    assert plugin_stack.names() == ["a"]
    assert "pending_operations" not in plugin_stack.latest
    assert list((plugin_stack.root / "state/.pulumi/locks").rglob("*.json")) == []


def test_an_interruption_reaches_the_engine_even_if_the_program_sets_its_own_handler(
    plugin_stack: Stack, engine: Callable[..., Engine]
) -> None:
    plugin_stack.program(
        'import os, signal\nsignal.signal(signal.SIGINT, lambda *_: os._exit(7))\nThing("a")'
    )
    plugin_stack.orders(create_a="wait")
    run = engine()
    run.waits_for("a")

    run.process.send_signal(signal.SIGINT)

    assert run.ends()[0] == 1


def test_the_second_interruption_ends_at_once_and_leaves_the_operation_pending(
    plugin_stack: Stack, engine: Callable[..., Engine]
) -> None:
    plugin_stack.program('import threading\nt = Thing("a")\n')
    plugin_stack.orders(create_a="stubborn")
    run = engine()
    run.waits_for("a")

    run.process.send_signal(signal.SIGINT)
    run.process.send_signal(signal.SIGINT)
    time.sleep(0.2)  # two signals at the same time are one
    if run.process.poll() is None:
        run.process.send_signal(signal.SIGINT)

    assert run.ends()[0] == 130
    assert [item["type"] for item in plugin_stack.latest["pending_operations"]] == ["creating"]
