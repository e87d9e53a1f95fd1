"""`pulumi up` with VirtualBox is for Windows and macOS too: what it runs there uses nothing of Linux alone.

The type checker knows what Python has on each system and is asked as if it ran there: nothing here did.
"""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

ELSEWHERE = {
    "engine/": "the embedded engine, which ./matrix uses, a shell script",
    "cli/": "what ./matrix offers",
    "services/router/host/": "runs inside the manager",
    "provider/guard.py": "its start() does nothing on Windows",
    "provider/hypervisors/qemu/": "QEMU's driver",
    "provider/images/packages.py": "a base image from Debian packages needs a Debian-like computer",
    "provider/images/requirements.py": "what that needs",
}
"""Path -> why it may be for Linux alone."""

POSIX = {"fcntl", "pwd", "grp", "termios", "resource", "pty", "tty", "syslog", "posix"}
"""Modules that do not exist on Windows."""

BOTH = {"provider/images/lock.py", "provider/images/iso/edit.py"}
"""Have a branch for each system."""


@pytest.mark.slow
@pytest.mark.parametrize("system", ["win32", "darwin"])
def test_the_type_checker_finds_nothing_that_this_system_lacks(system, tmp_path):
    argv = [sys.executable, "-m", "mypy", "--platform", system, "--cache-dir", str(tmp_path)]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=600)
    errors = re.findall(r"^(\S+?):\d+: error: (.*)$", done.stdout, re.MULTILINE)
    assert [error for error in errors if not error[0].startswith(tuple(ELSEWHERE))] == [], done.stderr


def test_the_plugin_and_the_program_load_no_module_that_windows_lacks():
    code = """
import sys
import provider.process, provider.registry, components.cloud, config.load
import provider.images.iso.builder, provider.images.cloud.builder, provider.hypervisors.virtualbox.driver
for module in list(sys.modules.values()):
    if (getattr(module, "__file__", None) or "").startswith(sys.argv[1]):
        print(module.__file__)
"""
    loaded = subprocess.run(
        [sys.executable, "-c", code, f"{ROOT}{os.sep}"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    ours = [Path(name).relative_to(ROOT) for name in loaded if "/.venv/" not in name]
    assert Path("provider/registry.py") in ours
    lacking = {
        file.as_posix(): names
        for file in ours
        if file.as_posix() not in BOTH and (names := imported(ROOT / file) & POSIX)
    }
    assert lacking == {}


def imported(file):
    nodes = list(ast.walk(ast.parse(file.read_text(encoding="utf-8"))))
    plain = {
        alias.name.partition(".")[0] for node in nodes if isinstance(node, ast.Import) for alias in node.names
    }
    return plain | {str(node.module).partition(".")[0] for node in nodes if isinstance(node, ast.ImportFrom)}
