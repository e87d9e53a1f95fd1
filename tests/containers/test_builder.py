"""Which program builds, that builds end when they are told to, and docker in place of buildah."""

import shutil
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from provider.commands import docker_build
from provider.commands.buildah import Store
from provider.containers import builder, make, process
from provider.containers.builder import Builder
from provider.errors import Cancelled, UserError
from tests.rig import building
from tests.rig.dockerd import Node, dockerd


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_a_failure_shows_the_last_lines() -> None:
    with pytest.raises(UserError) as raised:
        process.run(python("print('\\n'.join(map(str, range(50)))); raise SystemExit(3)"), what="building x")
    lines = str(raised.value).splitlines()
    assert lines[0] == f"building x: {sys.executable} ended with exit code 3"
    assert lines[1:] == [str(number) for number in range(30, 50)]


def test_a_missing_program_is_named() -> None:
    with pytest.raises(UserError, match=r"^building x: cannot run /no/such: No such file or directory$"):
        process.run(["/no/such"], what="building x")


def test_a_program_that_takes_too_long_is_stopped() -> None:
    with pytest.raises(UserError, match=r"^building x: no end after 0\.2 s, stopped$"):
        process.run(python("import time; time.sleep(60)"), what="building x", timeout=0.2)


def test_an_interrupt_ends_the_program_and_its_children(tmp_path: Path) -> None:
    cancelled = threading.Event()
    code = f"sleep 60 & echo $! >{tmp_path}/pid; wait"
    threading.Timer(0.3, cancelled.set).start()
    with pytest.raises(Cancelled, match=r"^building x: interrupted$"):
        process.run(["sh", "-c", code], what="building x", cancelled=cancelled)
    child = Path("/proc") / (tmp_path / "pid").read_text().strip() / "stat"
    for _ in range(50):
        if not child.exists() or ") Z " in child.read_text():
            return
        time.sleep(0.1)
    raise AssertionError("the child is still there")


def test_without_any_builder_the_error_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError) as raised:
        builder.open_builder(threading.Event(), tmp_path)
    assert str(raised.value) == (
        "building an image needs buildah, podman or docker; none is installed; try: apt-get install buildah"
    )


def test_a_builder_that_does_not_work_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "podman").symlink_to("/bin/false")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match=r"; podman does not work here; try: apt-get install buildah$"):
        builder.open_builder(threading.Event(), tmp_path)


def test_only_one_at_a_time_is_in_a_lock(tmp_path: Path) -> None:
    one = Builder(docker_build, Store(tmp_path, tmp_path, "vfs"), tmp_path, threading.Event())
    seen: list[str] = []

    def enter(name: str) -> None:
        with one.alone("base"):
            seen.append(f"{name} in")
            time.sleep(0.05)
            seen.append(f"{name} out")

    threads = [threading.Thread(target=enter, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert seen in (["a in", "a out", "b in", "b out"], ["b in", "b out", "a in", "a out"])


class Inside:
    """The docker client in the namespaces of the engine."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments: self._node.enter(*getattr(docker_build, name)(*arguments))


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    with dockerd(tmp_path) as real:
        yield real


@pytest.mark.slow
def test_docker_builds_and_saves_where_buildah_is_not(node: Node, tmp_path: Path) -> None:
    shown: list[str] = []
    tool = Builder(Inside(node), Store(tmp_path, tmp_path, "vfs"), tmp_path / "cache", threading.Event())
    folder = building.write_source(tmp_path / "app")
    # The steps of a docker build run in containers, which need no shell here either.
    first = make.from_source(tool, folder, "shop", shown.append)
    (folder / "page.txt").write_text("another")
    second = make.from_source(tool, folder, "shop", shown.append)
    assert first.digest != second.digest
    assert first.layers[0] == second.layers[0]
    shutil.rmtree(tmp_path / "cache")
