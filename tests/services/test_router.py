"""The files that put the router on the manager, and that systemd reads its command line as it is meant."""

import ast
import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import services.router
from services.router import COMMAND, READY, UNIT, router_files, unit, varnishd

FILES = {file.path: file for file in router_files()}


def test_the_files_depend_on_nothing_but_the_settings() -> None:
    assert router_files() == router_files()
    assert set(FILES) == {
        f"/etc/systemd/system/{UNIT}",
        "/etc/varnish/matrix/router.json",
        "/etc/varnish/matrix/top.vcl",
        COMMAND,
        *(f"/usr/local/lib/matrix_router/{file.name}" for file in _host().glob("*.py")),
    }
    assert READY.startswith(COMMAND)
    assert FILES[COMMAND].mode == "0755"


def test_ports_are_the_same_for_varnish_and_for_the_command() -> None:
    files = {file.path: file.content for file in router_files(port=8080, cli_port=8081, workdir="/w")}
    settings = json.loads(files["/etc/varnish/matrix/router.json"])
    assert (settings["http"], settings["cli"], settings["workdir"]) == (8080, 8081, "/w")
    text = files[f"/etc/systemd/system/{UNIT}"]
    assert " -a :8080 -T 127.0.0.1:8081 " in text
    assert " -n /w " in text


def test_systemd_passes_the_command_line_on_unchanged() -> None:
    (line,) = [
        line for line in FILES[f"/etc/systemd/system/{UNIT}"].content.splitlines() if "ExecStart=" in line
    ]
    words = shlex.split(line.removeprefix("ExecStart="))
    plain = [word.replace("%%", "%").replace("$$", "$") for word in words]
    assert plain == ["/usr/sbin/varnishd", *varnishd(6081, 6082, 64, "/var/lib/varnish/varnishd")[1:]]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="not installed: systemd-analyze")
def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    text = unit(6081, 6082, 64, str(tmp_path))
    for program in ("/usr/sbin/varnishd", COMMAND):
        text = text.replace(program, "/bin/true")
    (tmp_path / UNIT).write_text(text)
    done = subprocess.run(["systemd-analyze", "verify", tmp_path / UNIT], capture_output=True, text=True)
    assert UNIT not in done.stderr


def test_the_command_needs_nothing_but_the_standard_library() -> None:
    for file in _host().glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [node.module or ""]
            for name in names:
                assert name.partition(".")[0] in sys.stdlib_module_names, f"{file.name} imports {name}"


def _host() -> Path:
    return Path(services.router.__file__).parent / "host"
