"""The real CLI as the judge: the same scenarios run by both, and stacks handed over in both directions."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from engine import set_config
from tests.rig import sshd
from tests.rig.lab_provider import serve
from tests.rig.stack import MISSING_PULUMI, PASSPHRASE, Stack

pytestmark = pytest.mark.skipif(MISSING_PULUMI is not None, reason=str(MISSING_PULUMI))

SHAPED = 'a = Thing("a", shape={n})\nb = Thing("b", shape=a.tag)\nThing("c", size=b.tag)\n'
PLACED = 'a = Thing("a", place={n})\nb = Thing("b", place=a.tag)\nThing("c", size=b.tag)\n'
OWNED = (
    'a = Thing("a", place={n})\nb = Thing("b", opts=Opts(deleted_with=a))\n'
    'Thing("c", of=a.tag, opts=Opts(depends_on=[b]))\n'
)
SECRET = 'Thing("a", word=Output.secret("x"), n={n}, opts=Opts(additional_secret_outputs=["tag"]))\n'
GROUPED = (
    'g = Group("g"{alias}, kind="{kind}")\na = Thing("g-a", opts=Opts(parent=g))\n'
    'g.register_outputs({{"a": a}})\n'
)
PROVIDED = 'p = Provider("p", region="{r}")\nThing("a", size={n}, opts=Opts(provider=p))\n'

# name -> the programs that are run one after the other; `!x` gives the provider an order, `refresh` and
# `destroy` are operations. Only things in one chain, so that the order of calls is determined.
SCENARIOS: dict[str, list[str]] = {
    "update": [SHAPED.format(n=1), 'a = Thing("a", shape=1, x=1)\nThing("b", of=a.tag)\n', "destroy"],
    "create-first": [SHAPED.format(n=1), SHAPED.format(n=2), "destroy"],
    "delete-first": [PLACED.format(n=1), PLACED.format(n=2), "destroy"],
    "deleted-with": [OWNED.format(n=1), OWNED.format(n=2), "destroy"],
    "unregister": [SHAPED.format(n=1), "", "destroy"],
    "create-fails": [
        "!create_b=fail", SHAPED.format(n=1), "!", SHAPED.format(n=1), "!create_b=fail", SHAPED.format(n=2),
        "!", SHAPED.format(n=2),
    ],
    "delete-first-fails": [
        'Thing("a", place=1)', "!create_a=fail", 'Thing("a", place=2)', "!", 'Thing("a", place=2)',
    ],
    "old-stays": [SHAPED.format(n=1), "!delete_a=fail", SHAPED.format(n=2), "!", SHAPED.format(n=2)],
    "half-made": ["!create_a=half", SHAPED.format(n=1), "!", SHAPED.format(n=1)],
    "half-updated": [SECRET.format(n=1), "!update_a=half", SECRET.format(n=2), "!", SECRET.format(n=2)],
    "secrets": [SECRET.format(n=1), SECRET.format(n=2), SECRET.format(n=2), "refresh"],
    "aliased-component": [
        GROUPED.format(alias="", kind="Group"),
        GROUPED.format(alias=', Opts(aliases=[pulumi.Alias(type_="lab:index:Group")])', kind="Club"),
        "destroy",
    ],
    "explicit-provider": [
        PROVIDED.format(r="n", n=1), PROVIDED.format(r="n", n=2), PROVIDED.format(r="s", n=2),
        'Thing("a", size=2)', "destroy",
    ],
    "retained": ['Thing("a", opts=Opts(retain_on_delete=True, protect=False))', "destroy"],
    "ignored": [
        'Thing("a", box={"x": 1, "y": 1}, opts=Opts(ignore_changes=["box.x"]))',
        'Thing("a", box={"x": 2, "y": 2}, opts=Opts(ignore_changes=["box.x"]))',
    ],
    "outputs": ['export("x", Output.secret({"y": [1, 2.5, None, True]}))', 'export("x", 1)'],
}  # fmt: skip


def normalised(stack: Stack) -> Any:
    """The state without what no two runs share: times, ciphertexts, salts and the random parts of ids."""
    latest = stack.latest
    identifiers = {item["id"]: f"<{item['urn']}>" for item in latest.get("resources", []) if item.get("id")}
    dropped = {"created", "modified", "sourcePosition", "stackTrace", "ciphertext"}

    def clean(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: clean(item) for key, item in value.items() if key not in dropped}
        if isinstance(value, list):
            return [clean(item) for item in value]
        for identifier, name in identifiers.items():
            if isinstance(value, str):
                value = value.replace(identifier, name)
        return value

    resources = [clean(item) for item in latest.get("resources", [])]
    for item in resources:
        item.get("dependencies", []).sort()
        depending = item.pop("propertyDependencies", {})  # refresh forgets those that are empty
        item["propertyDependencies"] = {key: urns for key, urns in depending.items() if urns}
    return resources, [clean(item) for item in latest.get("pending_operations", [])]


def play(stack: Stack, steps: list[str], real: bool) -> list[Any]:
    """What each step called, whether it went well, and the state after it."""
    result: list[Any] = []
    for step in steps:
        if step.startswith("!"):
            stack.orders(**dict(order.split("=") for order in step[1:].split(",") if order))
            continue
        verb = step if step in ("refresh", "destroy") else "up"
        if verb == "up":
            stack.program(step)
        ok = _real(stack, verb) if real else stack.run(verb).ok
        # `configure` also comes from the preview that the embedded engine runs before it touches anything.
        calls = [call for call in stack.calls() if not call.startswith("configure")]
        result.append((step, calls, ok, *normalised(stack)))
    return result


def _real(stack: Stack, verb: str) -> bool:
    return stack.pulumi(verb, "--stack", "test", "--yes", "--skip-preview").returncode == 0


@pytest.fixture
def twins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Two projects of the same name with providers of their own: one for each engine."""
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", PASSPHRASE)
    made = []

    def make(name: str) -> Stack:
        (tmp_path / name).mkdir()
        stack = Stack(tmp_path / name)
        server, port = serve(stack.lab)
        monkeypatch.setenv("PULUMI_DEBUG_PROVIDERS", f"lab:{port}")
        made.append(server)
        return stack

    yield make
    for server in made:
        server.stop(None)


@pytest.mark.parametrize("name", SCENARIOS)
def test_both_engines_call_the_same_and_end_in_the_same_state(name: str, twins: Any) -> None:
    ours = play(twins("ours"), SCENARIOS[name], real=False)
    theirs_stack = twins("theirs")
    theirs_stack.pulumi("stack", "init", "test", "--no-select")
    theirs = play(theirs_stack, SCENARIOS[name], real=True)

    assert any(calls for _, calls, *_ in theirs) or name == "outputs"
    for mine, real in zip(ours, theirs, strict=True):
        assert mine == real


CLOUD = (
    'g = Group("g")\na = Thing("a", word=pulumi.Config().require_secret("word"), opts=Opts(parent=g))\n'
    'b = Thing("b", of=a.tag, key2=a.key, {what})\ng.register_outputs({{"b": b.tag}})\n'
    'export("tag", b.tag)\nexport("key", a.key)'
)


def changes(stack: Stack) -> dict[str, int]:
    done = stack.pulumi("preview", "--stack", "test", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    return dict(json.loads(done.stdout)["changeSummary"])


def with_secret(stack: Stack) -> None:
    stack.pulumi("config", "set", "--secret", "word", "canary", "--stack", "test")


def test_the_cli_takes_over_what_the_embedded_engine_has_made(stack: Stack) -> None:
    set_config(stack.root, "test", "word", "canary", secret=True, path=False)
    assert stack.up(CLOUD.format(what="size=1")).ok

    assert changes(stack) == {"same": 4}
    stack.program(CLOUD.format(what="size=2, shape=1"))
    assert _real(stack, "up")
    assert stack.run("preview").changes["same"] == 4
    assert "canary" not in stack.checkpoint.read_text()
    assert stack.run("destroy").ok


def test_the_embedded_engine_takes_over_what_the_cli_has_made(stack: Stack) -> None:
    stack.pulumi("stack", "init", "test", "--no-select")
    with_secret(stack)
    stack.program(CLOUD.format(what="size=1"))
    assert _real(stack, "up")

    assert stack.run("preview").changes["same"] == 4
    assert stack.up(CLOUD.format(what="size=2, shape=1")).ok
    assert changes(stack) == {"same": 4}
    outputs = json.loads(stack.pulumi("stack", "output", "--json", "--stack", "test").stdout)
    assert outputs == dict(stack.run("preview").outputs)
    assert _real(stack, "destroy")


def test_each_respects_the_others_lock(stack: Stack) -> None:
    stack.up('Thing("a")')
    lock = stack.root / "state/.pulumi/locks/organization/scratch/test/x.json"
    lock.write_text(
        '{"pid": 1, "username": "u", "hostname": "elsewhere", "timestamp": "2026-01-01T00:00:00Z"}'
    )

    assert (
        "currently locked by 1 lock"
        in stack.pulumi("up", "--stack", "test", "--yes", "--skip-preview").stderr
    )


def test_config_written_here_is_read_by_the_cli(stack: Stack) -> None:
    set_config(stack.root, "test", "word", "hush", secret=True, path=False)
    set_config(stack.root, "test", "plan.db.password", "deep", secret=True, path=True)
    set_config(stack.root, "test", "plan.db.port", "5432", secret=False, path=True)
    stack.pulumi("stack", "init", "test", "--no-select")

    shown = json.loads(stack.pulumi("config", "--json", "--show-secrets", "--stack", "test").stdout)

    assert shown["scratch:word"]["value"] == "hush"
    assert shown["scratch:plan"]["objectValue"] == {"db": {"password": "deep", "port": 5432}}


COMMANDS = """
from pulumi_command import local, remote
local.Command("l", create="echo out", triggers=[1], environment={{"A": "b"}})
remote.Command(
    "r",
    connection=remote.ConnectionArgs(
        host="127.0.0.1", port={port}, user="{user}", private_key={private_key!r}, host_key={host_key!r},
        proxy=remote.ProxyConnectionArgs(
            host="127.0.0.1", port={port}, user="{user}", private_key={private_key!r}, host_key={host_key!r}
        ),
    ),
    create="cat", stdin=Output.secret("x"), logging=remote.Logging.NONE,
    opts=Opts(additional_secret_outputs=["stdout"]),
)
"""


@pytest.mark.skipif(shutil.which("pulumi-resource-command") is None, reason="its plugin is not on PATH")
@pytest.mark.skipif(sshd.MISSING is not None, reason=str(sshd.MISSING))
def test_commands_are_handed_over_between_the_plugin_and_its_stand_in(
    stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    everything = {"PATH": os.environ["PATH"]}
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.setenv("PULUMI_HOME", str(tmp_path / "nowhere"))
    (tmp_path / "sshd").mkdir()
    with sshd.sshd(tmp_path / "sshd") as connection:
        assert stack.up(COMMANDS.format(**connection)).ok, stack.shown
        done = stack.pulumi("preview", "--stack", "test", "--json", environment=everything)
        assert done.returncode == 0, done.stdout + done.stderr
        assert json.loads(done.stdout)["changeSummary"] == {"same": 3}
        real = stack.pulumi("destroy", "--stack", "test", "--yes", "--skip-preview", environment=everything)
        assert real.returncode == 0, real.stdout
        real = stack.pulumi("up", "--stack", "test", "--yes", "--skip-preview", environment=everything)
        assert real.returncode == 0, real.stdout
        assert stack.run("preview").changes["same"] == 3, stack.shown
