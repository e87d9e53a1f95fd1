"""A note counts as long as its stack can still want the image."""

import gzip
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from provider.errors import Cancelled
from provider.images.usage import Usage, User

ID = "ab" * 32


def state(project: Path, text: str, name: str = "dev.json") -> None:
    file = project / ".matrix/state/.pulumi/stacks/cloudmatrix" / name
    file.parent.mkdir(parents=True)
    file.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())


def machines(project: Path) -> None:
    (project / ".matrix/dev").mkdir(parents=True)


JUDGED: list[tuple[str, Callable[[Path], None], bool]] = [
    ("its folder is there", machines, True),
    ("its state names the image", lambda project: state(project, f'{{"id": "{ID}"}}'), True),
    ("its state names another", lambda project: state(project, '{"id": "cd"}'), False),
    ("its state is compressed and not read", lambda project: state(project, "", "dev.json.gz"), True),
    ("only an old state names it", lambda project: state(project, ID, "dev.json.bak"), False),
    ("another stack's state names it", lambda project: state(project, ID, "prod.json"), False),
    ("its .matrix is gone", lambda project: project.mkdir(), False),
    ("its project is gone", lambda project: None, False),
]


@pytest.mark.parametrize(("make", "counts"), [case[1:] for case in JUDGED], ids=[case[0] for case in JUDGED])
def test_when_a_note_counts(make: Callable[[Path], None], counts: bool, tmp_path: Path) -> None:
    project, usage = tmp_path / "project", Usage(tmp_path / "images")
    make(project)
    usage.add(ID, project, "dev")
    assert usage.noted(ID) == [User(project, "dev")]
    assert usage.users(ID) == ([User(project, "dev")] if counts else [])


def test_each_stack_has_its_own_note(tmp_path: Path) -> None:
    usage = Usage(tmp_path / "images")
    for project, stack in (("b", "dev"), ("a", "prod"), ("a", "dev"), ("a", "dev")):
        usage.add(ID, tmp_path / project, stack)
    assert [(user.project.name, user.stack) for user in usage.noted(ID)] == [
        ("a", "dev"),
        ("a", "prod"),
        ("b", "dev"),
    ]
    assert usage.projects() == {tmp_path / "a", tmp_path / "b"}
    usage.remove(ID, tmp_path / "a", "prod")
    usage.remove(ID, tmp_path / "a", "prod")
    assert len(usage.noted(ID)) == 2
    usage.forget(ID)
    assert usage.noted(ID) == []


def test_a_damaged_note_is_passed_over(tmp_path: Path) -> None:
    usage = Usage(tmp_path / "images")
    usage.add(ID, tmp_path, "dev")
    (tmp_path / "images/.usage" / ID / "x.json").write_text('{"project": ')
    assert usage.noted(ID) == [User(tmp_path, "dev")]


def test_nothing_is_noted_while_the_cache_is_pruned(tmp_path: Path) -> None:
    usage, cancelled = Usage(tmp_path / "images"), threading.Event()
    cancelled.set()
    with usage.held(), pytest.raises(Cancelled):
        usage.add(ID, tmp_path, "dev", cancelled)
    usage.add(ID, tmp_path, "dev")
    assert usage.noted(ID) == [User(tmp_path, "dev")]
