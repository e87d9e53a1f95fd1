"""pulumi-command's commands without its plugin."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.rig import sshd
from tests.rig.stack import Stack

LOCAL = "from pulumi_command import local, remote\n"
CONNECTION = (
    'remote.ConnectionArgs(host="{host}", port={port}, user="{user}", private_key={private_key!r}, '
    "host_key={host_key!r}{more})"
)


@pytest.fixture(autouse=True)
def no_plugin(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.setenv("PULUMI_HOME", str(tmp_path / "nowhere"))


def log(stack: Stack) -> list[str]:
    path = stack.root / "log"
    return path.read_text().split() if path.exists() else []


def test_a_local_command_runs_when_made_changed_replaced_and_deleted(stack: Stack) -> None:
    program = LOCAL + (
        'local.Command("c", create="echo made$N >> log; echo $N", update="echo updated$N >> log; echo up",'
        ' delete="echo gone$PULUMI_COMMAND_STDOUT >> log", environment={{"N": "{n}"}}, triggers=[{t}])'
    )
    stack.up(program.format(n=1, t=1))
    stack.up(program.format(n=1, t=1))
    assert log(stack) == ["made1"]
    assert stack.resource("c")["outputs"]["stdout"] == "1"

    stack.up(program.format(n=2, t=1))
    assert log(stack)[1:] == ["updated2"]
    stack.up(program.format(n=2, t=2))
    assert log(stack)[2:] == ["made2", "goneup"]
    stack.up("")
    assert log(stack)[4:] == ["gone2"]


def test_a_failing_command_is_told_with_its_output(stack: Stack) -> None:
    assert not stack.up(LOCAL + 'local.Command("c", create="echo out; echo err >&2; exit 3")').ok

    assert (
        "error: command:local:Command c: exit status 3: running 'echo out; echo err >&2; exit 3':\n"
        "    out\n    err\n"
    ) in stack.shown


def test_a_preview_runs_no_command_and_leaves_its_output_unknown(stack: Stack) -> None:
    stack.program(LOCAL + 'c = local.Command("c", create="echo x >> log")\nThing("a", of=c.stdout)')

    stack.run("preview", diff=True)

    assert "      + of: [unknown]" in stack.shown
    assert log(stack) == []


@pytest.fixture
def server(tmp_path: Path) -> Iterator[dict[str, Any]]:
    if sshd.MISSING:
        pytest.skip(sshd.MISSING)
    (tmp_path / "sshd").mkdir()
    with sshd.sshd(tmp_path / "sshd") as connection:
        yield connection


def connection(server: dict[str, Any], more: str = "") -> str:
    return CONNECTION.format(**server, more=more)


def test_a_remote_command_runs_over_ssh_with_its_input_and_its_output(
    stack: Stack, server: dict[str, Any]
) -> None:
    command = (
        f'remote.Command("c", connection={connection(server)}, create="cat; echo err >&2", '
        'stdin=Output.secret("canary"), opts=Opts(additional_secret_outputs=["stdout"]))\n'
    )
    outcome = stack.up(LOCAL + "c = " + command + 'export("out", c.stdout)\nexport("err", c.stderr)')

    assert outcome.ok, stack.shown
    assert outcome.outputs == {"out": "[secret]", "err": "[secret]"}
    text = stack.checkpoint.read_text() + stack.shown
    assert "canary" not in text
    assert "PRIVATE KEY" not in text
    assert stack.up().changes["same"] == 2


def test_a_remote_command_reaches_its_host_through_a_proxy(stack: Stack, server: dict[str, Any]) -> None:
    proxy = connection(server).replace("ConnectionArgs", "ProxyConnectionArgs")
    through = connection(server, f", proxy={proxy}")
    program = f'c = remote.Command("c", connection={through}, create="echo $SSH_CLIENT")'

    outcome = stack.up(LOCAL + program + '\nexport("client", c.stdout)')

    assert outcome.ok, stack.shown
    assert outcome.outputs["client"].startswith("127.0.0.1 ")


def test_a_failing_remote_command_fails_the_run_with_its_output(stack: Stack, server: dict[str, Any]) -> None:
    program = (
        f'remote.Command("c", connection={connection(server)}, create="echo migrating; exit 4")\nThing("a")'
    )

    assert not stack.up(LOCAL + program).ok
    assert "exit status 4: running 'echo migrating; exit 4':\n    migrating" in stack.shown


def test_a_server_with_another_key_is_refused(stack: Stack, server: dict[str, Any]) -> None:
    wrong = {**server, "host_key": sshd.new_key().public}

    assert not stack.up(LOCAL + f'remote.Command("c", connection={connection(wrong)}, create="true")').ok
    assert f"connection to 127.0.0.1:{server['port']} refused: Host key for server" in stack.shown


def test_a_server_without_a_pinned_key_is_refused(stack: Stack, server: dict[str, Any]) -> None:
    unpinned = connection(server).replace(f"host_key={server['host_key']!r}", "host_key=None")

    assert not stack.up(LOCAL + f'remote.Command("c", connection={unpinned}, create="true")').ok
    assert "connection to 127.0.0.1: hostKey is missing, so that any server could pose as it" in stack.shown


def test_what_needs_the_real_plugin_is_refused_by_name(stack: Stack) -> None:
    assert not stack.up(LOCAL + 'local.Command("c", create="true", asset_paths=["x"])').ok
    assert (
        "assetPaths of command:local:Command without the plugin pulumi-resource-command is not supported "
        "by the embedded engine; use the pulumi CLI for this stack"
    ) in stack.shown
