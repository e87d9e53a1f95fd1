"""./matrix itself: the environment it makes, once, whatever happens meanwhile."""

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MAIN = 'import sys; print("cli ran with", sys.argv[1:], sys.prefix)\n'
OFFLINE = ("No matching distribution", "Could not find a version", "name resolution", "Connection")


@pytest.fixture
def tree(tmp_path):
    """A tree with the real bootstrap, an empty lock file and a command line that says it was run."""
    tree = tmp_path / "a tree"
    (tree / "cli").mkdir(parents=True)
    shutil.copy(ROOT / "matrix", tree)
    (tree / "requirements.lock").write_text("# nothing\n")
    (tree / "cli" / "__main__.py").write_text(MAIN)
    return tree


def start(tree, *words, **settings):
    return subprocess.Popen(
        [tree / "matrix", *words],
        cwd="/",
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, **settings},
    )


def finish(process, timeout=120):
    out, err = process.communicate(timeout=timeout)
    assert process.returncode == 0, err
    return out, err


@pytest.mark.slow
def test_the_environment_is_made_once_and_again_when_the_lock_file_changes(tree):
    both = [start(tree, "up", "--stack", "a b") for _ in range(2)]
    results = [finish(process) for process in both]
    assert [out for out, _ in results] == [f"cli ran with ['up', '--stack', 'a b'] {tree}/.venv\n"] * 2
    assert sum("Making .venv from requirements.lock" in err for _, err in results) == 1
    assert finish(start(tree))[1] == ""

    (tree / "requirements.lock").write_text("click==8.1.8\n")
    process = start(tree)
    _, err = process.communicate(timeout=120)
    assert process.returncode != 0
    assert err.startswith("Making .venv")
    assert "hash" in err.lower(), "a package without its hash must be refused"
    assert not (tree / ".venv" / "requirements.lock").exists()


@pytest.mark.slow
def test_what_was_interrupted_is_made_anew(tree):
    process = start(tree)
    deadline = time.monotonic() + 30
    while not (tree / ".venv" / "pyvenv.cfg").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=10)
    assert not (tree / ".venv" / "requirements.lock").exists()
    assert "Making .venv" in finish(start(tree))[1]


def test_without_a_python_the_one_command_is_told(tree, tmp_path):
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("sh", "dirname", "cmp"):
        (programs / name).symlink_to(shutil.which(name))
    for name, text in (("id", "echo 1000"), ("apt-get", "exit 99")):
        (programs / name).write_text(f"#!/bin/sh\n{text}\n")
        (programs / name).chmod(0o755)
    # A python3 in a fixed place would be found all the same.
    script = (tree / "matrix").read_text().replace(" /usr/bin/python3;", ";")
    (tree / "matrix").write_text(script)
    process = start(tree, PATH=str(programs))
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (1, "")
    assert err == (
        "error: no Python 3.11 or newer with venv; install it and run ./matrix again:\n"
        "  sudo apt-get install --yes python3 python3-venv\n"
    )


@pytest.mark.slow
def test_a_fresh_copy_of_the_project_sets_itself_up_from_the_lock_file(tmp_path):
    tree = tmp_path / "cloudmatrix"
    files = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True, timeout=30
    ).stdout.split("\0")
    for name in filter(None, files):
        if (ROOT / name).is_file():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, tree / name)
    process = start(tree, "--help")
    out, err = process.communicate(timeout=600)
    if process.returncode and any(word in err for word in OFFLINE):
        pytest.skip("needs the Python package index")
    assert process.returncode == 0, err
    assert "Raise the cloud" in out
