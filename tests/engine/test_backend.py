"""The stack's files: the lock, the backup, and writes that a crash cannot tear."""

import json
import os
import socket
from pathlib import Path

import pytest

from engine.backend import Backend, now, replace_file
from engine.errors import EngineError

FAR = "2099-01-01T00:00:00Z"


@pytest.fixture
def backend(tmp_path: Path) -> Backend:
    return Backend(tmp_path, "p", "s")


def lock(backend: Backend, **changes: object) -> Path:
    holder = {"pid": os.getpid(), "username": "ann", "hostname": socket.gethostname(), "timestamp": now()}
    backend.locks.mkdir(parents=True, exist_ok=True)
    path = backend.locks / "other.json"
    path.write_text(json.dumps({**holder, **changes}))
    return path


def test_the_lock_is_there_for_the_time_of_the_run_and_looks_as_the_cli_expects(backend: Backend) -> None:
    with backend.locked(print):
        (path,) = backend.locks.iterdir()
        assert path.relative_to(backend.root).parent == Path(".pulumi/locks/organization/p/s")
        assert json.loads(path.read_text()).keys() == {"pid", "username", "hostname", "timestamp"}
    assert list(backend.locks.iterdir()) == []
    assert (backend.home / "meta.yaml").read_text() == "version: 1\n"


@pytest.mark.parametrize(
    "holder", [{"timestamp": FAR}, {"hostname": "elsewhere", "pid": 1}, {"hostname": "elsewhere"}]
)
def test_a_held_lock_is_refused_naming_its_holder(backend: Backend, holder: dict[str, object]) -> None:
    path = lock(backend, **holder)
    content = json.loads(path.read_text())

    with pytest.raises(EngineError) as raised, backend.locked(print):
        pass

    assert str(raised.value) == (
        f"the stack 's' is locked by pid {content['pid']} of ann@{content['hostname']} since "
        f"{content['timestamp']}; wait until it has finished, or, if it is certainly gone, remove {path}"
    )
    assert path.exists()


@pytest.mark.parametrize(
    "holder",
    [{"pid": 2**22 + 1}, {"timestamp": "2001-01-01T00:00:00.123456789Z"}],
    ids=["no such process", "the number is another's by now"],
)
def test_a_dead_processs_lock_is_broken_and_told(backend: Backend, holder: dict[str, object]) -> None:
    lock(backend, **holder)
    told: list[str] = []

    with backend.locked(told.append):
        assert len(list(backend.locks.iterdir())) == 1

    assert len(told) == 1
    assert told[0].startswith("broke the lock of pid ")


def test_the_state_before_a_run_is_kept(backend: Backend) -> None:
    backend.write({"resources": []})
    backend.keep_backup()
    backend.write({"resources": [1]})

    assert json.loads(backend.checkpoint.read_text())["checkpoint"]["latest"] == {"resources": [1]}
    assert json.loads(backend.checkpoint.with_suffix(".json.bak").read_text())["checkpoint"]["latest"] == {
        "resources": []
    }
    assert backend.checkpoint.stat().st_mode & 0o077 == 0


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    file = tmp_path / "f"
    replace_file(file, "old")
    with pytest.raises(UnicodeEncodeError):
        replace_file(file, "new" * 100_000 + "\udc80")

    assert file.read_text() == "old"


def test_a_torn_checkpoint_is_told_with_where_the_one_before_is(backend: Backend) -> None:
    backend.write({})
    backend.checkpoint.write_text("{")

    with pytest.raises(EngineError, match=r"is no valid JSON: .*; the state before is in .*s\.json\.bak$"):
        backend.read()
