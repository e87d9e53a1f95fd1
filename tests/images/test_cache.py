"""The cache builds an image once, whoever asks, and never takes a half or damaged one for good."""

import os
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from provider.errors import Cancelled, UserError
from provider.images.cache import Cache, Image, identify

SPEC: Mapping[str, Any] = {"from": "test", "recipe": "1"}
ID = identify(SPEC)
ROOT = Path(__file__).parents[2]


def fill(folder: Path, lock: int) -> None:
    del lock
    (folder / "disk.qcow2").write_bytes(b"a disk")
    (folder / "vmlinuz").write_bytes(b"a kernel")


def never(folder: Path, lock: int) -> None:
    raise AssertionError("built again")


def ensure(cache: Cache, build: Any = fill, said: list[str] | None = None) -> Image:
    lines = said if said is not None else []
    return cache.ensure(SPEC, 8, build, lines.append, threading.Event())


def left(root: Path) -> list[str]:
    """Everything but locks, which stay on purpose."""
    return sorted(path.name for path in root.iterdir() if not path.name.startswith(".lock-"))


def test_the_id_does_not_depend_on_the_order_of_keys() -> None:
    assert identify({"a": 1, "b": 2}) == identify({"b": 2, "a": 1})
    assert identify({"a": 1}) != identify({"a": 2})
    assert re.fullmatch("[0-9a-f]{64}", ID)


def test_built_once_then_found(tmp_path: Path) -> None:
    made = ensure(Cache(tmp_path))
    again = ensure(Cache(tmp_path), never)
    assert made == again
    assert made.identifier == ID
    assert made.disk.read_bytes() == b"a disk"
    assert sorted(made.files) == ["disk.qcow2", "vmlinuz"]
    assert left(tmp_path) == [ID]
    assert not made.disk.stat().st_mode & 0o222


def test_nothing_there(tmp_path: Path) -> None:
    assert Cache(tmp_path / "absent").find(ID) is None
    assert list(Cache(tmp_path / "absent").images()) == []


def test_a_failed_build_leaves_nothing(tmp_path: Path) -> None:
    def fails(folder: Path, lock: int) -> None:
        fill(folder, lock)
        raise UserError("no network")

    with pytest.raises(UserError, match="no network"):
        ensure(Cache(tmp_path), fails)
    assert left(tmp_path) == []
    assert ensure(Cache(tmp_path)).identifier == ID


def test_the_quick_look_reads_no_content(tmp_path: Path) -> None:
    """Proof: a change that keeps size and time is not seen, so nothing was read."""
    image = ensure(Cache(tmp_path))
    facts = image.disk.stat()
    image.disk.chmod(0o644)
    image.disk.write_bytes(b"A DISK")
    os.utime(image.disk, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    assert Cache(tmp_path).find(ID) is not None


def test_a_new_time_with_the_same_content_is_checked_and_remembered(tmp_path: Path) -> None:
    image = ensure(Cache(tmp_path))
    os.utime(image.disk, ns=(5, 5))
    found = Cache(tmp_path).find(ID)
    assert found is not None
    assert found.files["disk.qcow2"].mtime == 5
    assert next(Cache(tmp_path).images()).files["disk.qcow2"].mtime == 5


def test_a_damaged_image_is_named_and_set_aside(tmp_path: Path) -> None:
    image = ensure(Cache(tmp_path))
    image.disk.chmod(0o644)
    image.disk.write_bytes(b"a dis")
    with pytest.raises(UserError) as error:
        Cache(tmp_path).find(ID)
    assert str(error.value) == (
        f"base image {ID[:12]} in {tmp_path} is damaged: disk.qcow2: "
        "expected sha256 d614d695eb483126af8a5376433956a60f472ea41b5147893a461e1823006387 (6 bytes), "
        "got ff47dd622278bc59cdb66761eca8dc2dce0dad544e54b91a19843e8eddd28997 (5 bytes); "
        f"it was set aside as .damaged-{ID[:12]}-1; run again to make it anew, and remove that folder"
    )
    assert left(tmp_path) == [f".damaged-{ID[:12]}-1"]
    assert ensure(Cache(tmp_path)).disk.read_bytes() == b"a disk"


def test_a_missing_file_is_damage(tmp_path: Path) -> None:
    image = ensure(Cache(tmp_path))
    (image.folder / "vmlinuz").unlink()
    with pytest.raises(UserError, match="is damaged: vmlinuz is missing; it was set aside"):
        Cache(tmp_path).find(ID)


def test_a_damaged_manifest_is_damage(tmp_path: Path) -> None:
    image = ensure(Cache(tmp_path))
    (image.folder / "manifest.json").write_text('{"files": ')
    assert list(Cache(tmp_path).images()) == []
    with pytest.raises(UserError, match=r"is damaged: manifest\.json cannot be read; it was set aside"):
        Cache(tmp_path).find(ID)


def test_leftovers_of_any_interrupted_build_are_swept(tmp_path: Path) -> None:
    for name in (f".build-{ID}.abc", f".build-{'0' * 64}.xyz"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "disk.qcow2").touch()
    ensure(Cache(tmp_path))
    assert left(tmp_path) == [ID]


BUILDER = """
    import sys, threading, time
    from pathlib import Path
    from provider.images.cache import Cache
    root, log = Path(sys.argv[1]), Path(sys.argv[2])

    def build(folder, lock):
        with log.open("a") as file:
            file.write("begin\\n")
        (folder / "disk.qcow2").write_bytes(b"half")
        {during}
        (folder / "disk.qcow2").write_bytes(b"a disk")

    def say(line):
        with log.open("a") as file:
            file.write(line + "\\n")

    image = Cache(root).ensure({{"from": "test", "recipe": "1"}}, 8, build, say, threading.Event())
    print(image.identifier)
"""


def start(root: Path, log: Path, during: str) -> subprocess.Popen[str]:
    code = textwrap.dedent(BUILDER).format(during=during)
    return subprocess.Popen(
        [sys.executable, "-c", code, str(root), str(log)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )


def until(condition: Any, what: str) -> None:
    for _ in range(600):
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError(f"never: {what}")


def begun(log: Path) -> bool:
    return log.is_file() and "begin" in log.read_text()


def test_two_processes_build_it_once_and_the_second_says_that_it_waits(tmp_path: Path) -> None:
    root, log = tmp_path / "cache", tmp_path / "log"
    wait = "while 'waiting' not in log.read_text(): time.sleep(0.02)"
    both = [start(root, log, wait) for _ in range(2)]
    assert [process.communicate(timeout=60)[0] for process in both] == [f"{ID}\n"] * 2
    assert log.read_text() == "begin\nwaiting for another process that makes this image\n"
    assert left(root) == [ID]


def test_kill_in_the_middle_leaves_nothing_that_is_taken_for_good(tmp_path: Path) -> None:
    root, log = tmp_path / "cache", tmp_path / "log"
    victim = start(root, log, "time.sleep(60)")
    until(lambda: begun(log), "the build begins")
    victim.send_signal(signal.SIGKILL)
    victim.communicate()
    assert Cache(root).find(ID) is None
    assert [name[: len(f".build-{ID}")] for name in left(root)] == [f".build-{ID}"]
    image = ensure(Cache(root))
    assert image.disk.read_bytes() == b"a disk"
    assert left(root) == [ID]


def test_a_child_that_outlives_the_killed_builder_is_waited_for(tmp_path: Path) -> None:
    root, log = tmp_path / "cache", tmp_path / "log"
    child = (
        "import subprocess; subprocess.run(['sh', '-c', f'echo child >>{log}; exec sleep 2'], "
        "pass_fds=[lock], stdout=subprocess.DEVNULL)"
    )
    victim = start(root, log, child)
    until(lambda: begun(log) and "child" in log.read_text(), "the child runs")
    victim.send_signal(signal.SIGKILL)
    victim.communicate()
    said: list[str] = []
    image = ensure(Cache(root), said=said)
    assert said == ["waiting for another process that makes this image"]
    assert image.disk.read_bytes() == b"a disk"


def test_waiting_ends_when_the_user_interrupts(tmp_path: Path) -> None:
    root, log = tmp_path / "cache", tmp_path / "log"
    holder = start(root, log, "time.sleep(60)")
    try:
        until(lambda: begun(log), "the build begins")
        cancelled = threading.Event()
        with pytest.raises(Cancelled, match="stopped waiting for another process"):
            Cache(root).ensure(SPEC, 8, never, lambda _: cancelled.set(), cancelled)
    finally:
        holder.kill()
        holder.communicate()
