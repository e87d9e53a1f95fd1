"""What a build that was broken off leaves behind goes, and no other build's work with it."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import pytest

from provider.containers import builder, process
from provider.containers.builder import Builder
from provider.containers.underway import under_way
from provider.errors import Cancelled
from tests.rig import building
from tests.rig.programs import needs

ROOT = Path(__file__).resolve().parents[2]
STEP = 'RUN ["/bin/busybox", "sh", "-c", "echo at-work; exec sleep 60"]\n'
BUILD = """
import sys, threading
from pathlib import Path
from provider.containers import builder
folder = Path(sys.argv[1])
tool = builder.open_builder(threading.Event(), folder / "cache")
tool.build(folder / "app", folder / "app/Dockerfile", "slow", "slow", lambda line: print(line, flush=True))
"""


def test_only_broken_off_builds_are_swept_and_only_while_none_is_under_way(tmp_path: Path) -> None:
    swept: list[str] = []

    def begin(name: str) -> AbstractContextManager[None]:
        return under_way(tmp_path, nullcontext, lambda: swept.append(name))

    with begin("whole"):
        pass
    assert swept == []
    with begin("outer"):
        with pytest.raises(ZeroDivisionError), begin("broken"):
            raise ZeroDivisionError
        assert swept == []
    assert swept == []
    with begin("next"):
        assert swept == ["next"]
    with pytest.raises(ZeroDivisionError), begin("alone"):
        raise ZeroDivisionError
    assert swept == ["next", "alone"]
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def slow(tmp_path: Path) -> Iterator[Path]:
    """A folder with the source of an image that takes a minute, and a store of its own."""
    needs("buildah")
    source = building.write_source(tmp_path / "app")
    dockerfile = source / "Dockerfile"
    dockerfile.write_text(dockerfile.read_text().replace("USER", STEP + "USER"))
    yield tmp_path
    tool = a_builder(tmp_path)
    tool._sweep()
    assert (working(tool), mounts(tmp_path)) == ("", [])


def a_builder(folder: Path, cancelled: threading.Event | None = None) -> Builder:
    return builder.open_builder(cancelled or threading.Event(), folder / "cache")


def working(tool: Builder) -> str:
    return process.answer(tool.commands.working(tool.store))


def mounts(folder: Path) -> list[str]:
    return [line for line in Path("/proc/self/mounts").read_text().splitlines() if str(folder) in line]


@pytest.mark.slow
def test_a_build_that_is_interrupted_leaves_nothing(slow: Path) -> None:
    cancelled = threading.Event()
    tool = a_builder(slow, cancelled)
    seen: list[str] = []

    def watch(line: str) -> None:
        if line.endswith("at-work"):
            seen.append(working(tool))
            cancelled.set()

    with pytest.raises(Cancelled):
        tool.build(slow / "app", slow / "app" / "Dockerfile", "slow", "slow", watch)
    assert seen != [""]
    assert (working(tool), mounts(slow)) == ("", [])


@pytest.mark.slow
def test_what_a_killed_one_left_goes_with_the_next_build(slow: Path) -> None:
    words = [sys.executable, "-c", BUILD, str(slow)]
    with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True) as killed:
        assert killed.stdout is not None
        assert any(line.endswith("at-work\n") for line in killed.stdout)
        killed.kill()
    tool = a_builder(slow)
    assert working(tool) != ""
    assert mounts(slow) == []
    building.write_source(slow / "app")
    tool.build(slow / "app", slow / "app" / "Dockerfile", "quick", "quick")
    assert working(tool) == ""
    assert mounts(slow) == []
