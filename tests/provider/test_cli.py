"""The plugin under the real Pulumi CLI: what the user sees, and what is kept in the state."""

import json
import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.rig.plugin import scratch_project
from tests.rig.pulumi_cli import MISSING, PULUMI, Project

pytestmark = pytest.mark.skipif(not PULUMI, reason=MISSING)

TOKEN = "canary-5b1e77d0"
PATIENCE = 60.0

KEYS = """\
from components.resources import Certificate, KeyPair, Password

KeyPair("key", comment="dev")
Password("password")
ca = Certificate("ca", common_name="matrix CA")
Certificate("server", common_name="m", dns_names=["m.matrix"], issuer=ca)
"""


def test_failures_are_one_message_each_and_the_next_up_finishes_what_was_begun(tmp_path: Path) -> None:
    project = Project(tmp_path)
    many = ["x" * 60] * 2000
    faults = [
        ("dry", {"fault": "user"}),
        ("bug", {"fault": "bug"}),
        ("half", {"fault": "half", "lines": many}),
    ]
    project.notes([note(tmp_path, name, **inputs) for name, inputs in faults])
    done = project.pulumi("up", "--yes", "--skip-preview", "--continue-on-error")
    assert done.code != 0
    assert "    error: Note dry: the pen is dry\n    cause: no ink\n    try a pencil\n" in done.output
    log = tmp_path / ".matrix" / "logs" / "provider.log"
    internal = "    error: internal error: KeyError('no [secret] here')\n"
    assert f"{internal}    the traceback is in {log}; please report it\n" in done.output
    assert "    error: 2 errors occurred:\n    \t* half written\n    \t* [secret] is unknown\n" in done.output
    assert "Traceback" not in done.output
    half = project.resource("half")
    assert half is not None
    assert half["initErrors"] == ["half written", "[secret] is unknown"]
    assert half["inputs"]["lines"] == half["outputs"]["lines"] == many
    assert TOKEN not in done.output + project.state() + log.read_text()

    project.notes([note(tmp_path, "half")])
    done = project.up()
    assert done.code == 0
    assert "~ 1 updated" in done.output
    half = project.resource("half")
    assert half is not None
    assert "initErrors" not in half


def test_mistakes_are_named_at_preview(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.notes([note(tmp_path, "n", path="here")])
    done = project.pulumi("preview")
    assert done.code != 0
    reason = "path: got 'here'; need an absolute path; try /tmp/note"
    assert f"error: matrix:index:Note resource 'n' has a problem: {reason}\n" in done.output


def test_drift_is_shown_and_healed_and_no_secret_reaches_the_state(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.notes([note(tmp_path, "n", lines=["a", "b"])])
    done = project.up()
    assert "n creating (0s) writing\n" in done.output
    assert "written with [secret]\n" in done.output
    made = project.resource("n")
    refreshed = project.pulumi("refresh", "--yes", "--skip-preview")
    assert "2 unchanged" in refreshed.output
    again = project.resource("n")
    assert made is not None and again is not None
    assert sealed(again["inputs"]) == sealed(made["inputs"])
    assert sealed(again["outputs"]) == sealed(made["outputs"])
    assert TOKEN not in project.state()

    (tmp_path / "n").write_text(json.dumps({"lines": ["a", "c"], "token": TOKEN}))
    drifted = project.pulumi("refresh", "--yes", "--skip-preview", "--diff")
    assert '      ~ lines: [\n          ~ [1]: "b" => "c"\n        ]\n' in drifted.output
    assert "~ 1 updated" in project.up().output
    assert json.loads((tmp_path / "n").read_text())["lines"] == ["a", "b"]
    assert TOKEN not in project.state()

    (tmp_path / "n").unlink()
    assert "- 1 deleted" in project.pulumi("refresh", "--yes", "--skip-preview").output
    assert "+ 1 created" in project.up().output


def test_what_has_a_fixed_name_is_deleted_before_it_is_made_anew(tmp_path: Path) -> None:
    project = Project(tmp_path)
    dependent = {**note(tmp_path, "dependent"), "from": {"seen": ("n", "path")}}
    project.notes([note(tmp_path, "n"), dependent])
    project.up()
    recorded = len(stages(tmp_path))
    project.notes([note(tmp_path, "n", path=str(tmp_path / "moved")), dependent])
    preview = project.pulumi("preview", "--diff")
    assert f'      ~ path: "{tmp_path}/n" => "{tmp_path}/moved"\n' in preview.output
    assert f'      ~ seen: "{tmp_path}/n" => ' in preview.output
    done = project.up()
    assert "+-1 replaced" in done.output
    assert [stage for stage in stages(tmp_path)[recorded:] if stage[1] in {"create", "update", "delete"}] == [
        ("n", "delete"),
        ("n", "create"),
        ("dependent", "update"),
    ]


def test_import_finds_what_is_there_and_refuses_what_is_not(tmp_path: Path) -> None:
    project = Project(tmp_path)
    real = tmp_path / "real"
    real.write_text(json.dumps({"lines": ["a"], "token": ""}))
    options = ("--yes", "--generate-code=false", "--protect=false", "--skip-preview")
    missing = project.pulumi("import", "matrix:index:Note", "n", str(tmp_path / "nothing"), *options)
    assert missing.code != 0
    assert f"resource '{tmp_path}/nothing' does not exist" in missing.output
    assert project.resource("n") is None
    assert project.pulumi("import", "matrix:index:Note", "n", str(real), *options).code == 0
    imported = project.resource("n")
    assert imported is not None
    assert imported["inputs"]["lines"] == ["a"]
    project.notes([{**note(tmp_path, "n", path=str(real), token=""), "secret": []}])
    assert "2 unchanged" in project.up().output


def test_an_interrupt_reaches_what_is_under_way(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.notes([note(tmp_path, "slow", fault="slow")])
    process = project.start("up", "--yes", "--skip-preview")
    wait_for(tmp_path, ("slow", "waiting"))
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=PATIENCE)
    assert "error: Note slow: interrupted; nothing was written\n" in output
    assert project.resource("slow") is None
    project.notes([note(tmp_path, "slow")])
    assert project.up().code == 0


def test_a_killed_cli_takes_the_plugin_with_it_and_leaves_the_machines(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.notes([note(tmp_path, "n", fault="children")])
    process = project.start("up", "--yes", "--skip-preview")
    wait_for(tmp_path, ("n", "waiting"))
    pids = json.loads((tmp_path / "n").read_text())
    helper = psutil.Process(pids["helper"])
    plugin = helper.parent()
    started = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.wait()
    try:
        assert plugin is not None
        plugin.wait(PATIENCE)
        assert psutil.pid_exists(pids["machine"])
        helper.wait(PATIENCE)
    finally:
        os.kill(pids["machine"], signal.SIGKILL)
        for one in started:  # Pulumi's own language host outlives it
            with suppress(psutil.NoSuchProcess):
                one.kill()
        process.communicate(timeout=PATIENCE)


def test_keys_stay_out_of_the_state(tmp_path: Path) -> None:
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    (checkout / ".venv").symlink_to(Path(sys.prefix))
    project = Project(tmp_path / "p", KEYS, scratch_project(checkout) / "provider")
    assert project.up().code == 0
    assert "5 unchanged" in project.up().output
    assert project.pulumi("refresh", "--yes", "--skip-preview").code == 0
    assert "5 unchanged" in project.up().output
    assert "PRIVATE KEY" not in project.state()
    assert "$2b$" not in project.state()
    assert "BEGIN CERTIFICATE" in project.state()


def note(folder: Path, name: str, **inputs: Any) -> dict[str, Any]:
    defaults = {"path": str(folder / name), "lines": ["a"], "token": TOKEN, "reach": "ssh"}
    return {"name": name, "inputs": {**defaults, **inputs}, "secret": ["token"]}


def sealed(values: Any) -> Any:
    """Every secret alike: each time it is written it is encrypted anew."""
    if isinstance(values, dict):
        return "[secret]" if "ciphertext" in values else {key: sealed(item) for key, item in values.items()}
    return values


def stages(folder: Path) -> list[tuple[str, str]]:
    file = folder / ".matrix" / "dev" / "progress.jsonl"
    entries = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    return [(entry["name"], entry["stage"]) for entry in entries]


def wait_for(folder: Path, stage: tuple[str, str]) -> None:
    deadline = time.monotonic() + PATIENCE
    while stage not in stages(folder):
        assert time.monotonic() < deadline, stages(folder)
        time.sleep(0.05)
