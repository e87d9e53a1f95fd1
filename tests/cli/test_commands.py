"""The commands, with the embedded engine at work on a scratch project that makes nothing."""

import json
import os
import stat

import pytest
from click.testing import CliRunner

from cli import lifecycle
from cli.__main__ import main
from cli.session import Session
from tests.rig import project

SETTINGS = "  cloudmatrix:nodes: 1 # one\n  cloudmatrix:forwards: {ssh: 1, http: 2}\n"


@pytest.fixture
def root(tmp_path, monkeypatch):
    for name in ("PULUMI_CONFIG_PASSPHRASE", "PULUMI_CONFIG_PASSPHRASE_FILE", "PULUMI_BACKEND_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE_FILE", "")
    monkeypatch.setenv("CLOUDMATRIX_ENGINE", "embedded")
    monkeypatch.setenv("COLUMNS", "120")
    # Nothing is made, so nothing is needed; tests/cli/test_host.py is about what is installed.
    monkeypatch.setattr(lifecycle.host, "prepare", lambda wanted, log: None)
    return project.write(tmp_path / "project", SETTINGS)


@pytest.fixture
def matrix(root):
    def run(*words, **options):
        return CliRunner().invoke(main, words, obj=Session(root), prog_name="./matrix", **options)

    return run


def test_a_stack_goes_up_tells_what_it_has_and_goes_without_a_trace(root, matrix):
    before = {path.name: path.read_bytes() for path in root.iterdir() if path.is_file()}
    up = matrix("up")
    assert up.exit_code == 0, up.output
    lines = [line.rstrip() for line in up.output.splitlines()]
    assert lines[1] == "Engine: embedded (CLOUDMATRIX_ENGINE says so)"
    assert "shop         http://127.0.0.1:2/shop/" in lines
    assert "node2    10.10.10.2  ./matrix ssh node2" in lines
    assert lines[-1].startswith("Done in ")
    assert stat.S_IMODE((root / ".matrix").stat().st_mode) == 0o700
    (root / ".matrix" / "dev").mkdir(exist_ok=True)
    destroy = matrix("destroy", "--yes")
    assert destroy.exit_code == 0, destroy.output
    assert destroy.output.splitlines()[-1] == "Nothing is left of the stack dev."
    assert not (root / ".matrix" / "dev").exists()
    assert before == {path.name: path.read_bytes() for path in root.iterdir() if path.is_file()}


def test_outputs_hide_secrets_until_they_are_asked_for(matrix):
    assert matrix("up").exit_code == 0
    hidden = matrix("outputs", "--json")
    assert json.loads(hidden.output)["urls"] == {"shop": "http://127.0.0.1:2/shop/"}
    assert "hunter2" not in hidden.output
    shown = matrix("outputs", "--json", "--show-secrets")
    assert json.loads(shown.output)["connections"] == {"manager": {"private_key": "hunter2"}}
    assert 'urls: {\n  "shop": "http://127.0.0.1:2/shop/"\n}' in matrix("outputs").output


def test_preview_shows_and_makes_nothing(root, matrix):
    assert matrix("preview", "--diff").exit_code == 0
    assert matrix("outputs").output == "error: the stack dev is not up; run ./matrix up\n"


def test_refresh_of_a_stack_that_is_up(matrix):
    assert matrix("up").exit_code == 0
    assert matrix("refresh", "--yes").exit_code == 0


def test_nodes_and_apps_are_listed(root, matrix):
    (root / "Pulumi.dev.yaml").write_text(
        f"config:\n{SETTINGS}  cloudmatrix:applications:\n    shop: {{source: apps/shop, port: 80}}\n"
    )
    assert matrix("up").exit_code == 0
    lines = [line.split() for line in matrix("nodes").output.splitlines()]
    assert lines == [
        ["machine", "address", "CPUs", "MiB", "state"],
        ["manager", "10.10.10.1", "2", "1536", "up"],
        ["node2", "10.10.10.2", "2", "1024", "up"],
    ]
    lines = [line.split() for line in matrix("apps").output.splitlines()]
    assert lines[1] == ["shop", "apps/shop", "node2", "http://127.0.0.1:2/shop/"]


def test_an_unknown_host_is_told_with_the_known_ones(matrix):
    assert matrix("up").exit_code == 0
    assert matrix("ssh", "node9").output == (
        'error: there is no host "node9" in the stack dev; there are manager\n'
    )


@pytest.mark.parametrize(
    ("words", "host", "command"),
    [
        ([], "manager", []),
        (["manager"], "manager", []),
        (["--", "uptime", "-p"], "manager", ["--", "uptime", "-p"]),
        (["manager", "-s", "dev", "--", "ls", "--", "-l"], "manager", ["--", "ls", "--", "-l"]),
    ],
)
def test_ssh_becomes_openssh(root, matrix, monkeypatch, words, host, command):
    started = []
    monkeypatch.setattr(os, "execv", lambda program, argv: started.append(argv))
    text = (root / "__main__.py").read_text()
    connection = {"host": "127.0.0.1", "port": 1, "user": "m", "private_key": "K", "host_key": "H"}
    (root / "__main__.py").write_text(text.replace('{"private_key": "hunter2"}', repr(connection)))
    assert matrix("up").exit_code == 0
    assert matrix("ssh", *words).output == ""
    assert started == [["ssh", "-F", f"{root}/.matrix/dev/ssh/config", host, *command]]


@pytest.mark.parametrize("command", ["up", "preview", "doctor", "apps"])
def test_all_mistakes_of_the_config_are_told_before_anything_else(root, matrix, command):
    (root / "Pulumi.dev.yaml").write_text("config:\n  cloudmatrix:node_s: 1\n  cloudmatrix:nodes: x\n")
    result = matrix(command)
    assert result.exit_code == 1
    assert result.output == (
        'error: node_s: unknown key; did you mean "nodes"?\n'
        'nodes: got "x", a string; need a whole number from 0 to 64, or a mapping of node names; try 2\n'
    )


def test_the_stack_is_given_before_or_after_the_command(matrix):
    text = (
        'error: there is no stack "prod": Pulumi.prod.yaml is missing; '
        "write it (an empty file is the smallest stack) or choose another with --stack\n"
    )
    assert matrix("--stack", "prod", "preview").output == text
    assert matrix("preview", "--stack", "prod").output == text
    assert matrix("preview", "-s", "Bad").exit_code == 1


def test_a_selected_stack_is_used_from_then_on(root, matrix):
    (root / "Pulumi.prod.yaml").write_text("config:\n  cloudmatrix:nodes: 3\n")
    assert matrix("select", "prod").output == "Selected the stack prod.\n"
    assert matrix("config", "get", "nodes").output == "3\n"
    assert matrix("config", "get", "nodes", "--stack", "dev").output == "1\n"


def test_destroy_asks_nobody_who_is_not_there(matrix):
    assert matrix("destroy").output == (
        "error: destroying the stack dev needs --yes where nobody can be asked\n"
    )


def test_settings_are_written_where_comments_stay(root, matrix):
    assert matrix("config", "set", "--path", "forwards.http", "8080").exit_code == 0
    assert matrix("config", "get", "forwards.http").output == "8080\n"
    assert "cloudmatrix:nodes: 1 # one" in (root / "Pulumi.dev.yaml").read_text()


def test_a_secret_is_read_from_standard_input_and_never_shown(root, matrix):
    key = "applications.shop.secrets.KEY"
    assert matrix("config", "set", "--secret", "--path", key, input="hunter2\n").exit_code == 0
    assert matrix("config", "get", key).output == "[secret]\n"
    assert "hunter2" not in (root / "Pulumi.dev.yaml").read_text()


def test_a_setting_that_is_not_set_is_an_error(matrix):
    assert matrix("config", "get", "egress").output == (
        'error: config: "egress" is not set; defaults are told in docs/settings.md\n'
    )


@pytest.mark.parametrize(
    ("engine", "path", "text"),
    [
        (
            "pulumi",
            "",
            "error: CLOUDMATRIX_ENGINE is pulumi, but there is no pulumi on PATH; "
            "install it, or unset CLOUDMATRIX_ENGINE\n",
        ),
        ("x", None, 'error: CLOUDMATRIX_ENGINE: got "x"; need embedded or pulumi; try unsetting it\n'),
    ],
)
def test_an_engine_that_is_not_there_is_an_error(matrix, monkeypatch, engine, path, text):
    monkeypatch.setenv("CLOUDMATRIX_ENGINE", engine)
    if path is not None:
        monkeypatch.setenv("PATH", path)
    assert matrix("outputs").output == text


def test_what_nobody_expected_is_one_line_and_a_file(root, matrix, monkeypatch):
    def explode(self):
        raise RuntimeError("surprise")

    monkeypatch.setattr(Session, "config", explode)
    result = matrix("doctor")
    assert result.exit_code == 1
    (file,) = (root / ".matrix" / "logs").glob("error-*.log")
    assert result.output == (
        f"error: internal error: RuntimeError('surprise'); the traceback is in {file}; please report it\n"
    )
    assert "in explode" in file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_doctor_ends_with_an_error_when_up_would_fail(root, matrix):
    (root / "Pulumi.dev.yaml").write_text("config:\n  cloudmatrix:node: {memory: 1048576}\n")
    result = matrix("doctor")
    assert result.exit_code == 1
    assert "  FAILURE  memory: the machines have 2049.5 GiB; this computer has" in result.output
    assert result.output.endswith("would make up fail.\n")


def test_up_stops_at_what_doctor_calls_a_failure(root, matrix):
    (root / "Pulumi.dev.yaml").write_text("config:\n  cloudmatrix:node: {memory: 1048576}\n")
    result = matrix("up")
    assert result.exit_code == 1
    assert "set a smaller node.memory or fewer nodes" in result.output
    assert not (root / ".matrix" / "state").exists()


def test_every_command_explains_itself(matrix):
    for name in main.commands:
        result = matrix(name, "--help")
        assert result.exit_code == 0
        assert result.output.startswith(f"Usage: ./matrix {name}")
