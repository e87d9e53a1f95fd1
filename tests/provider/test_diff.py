"""Old inputs against new: what is shown as changed, and what means a new resource."""

from typing import Any

import pytest

from provider.diff import ADD, DELETE, UPDATE, Difference, Path, difference, render, response
from provider.resources.base import UNKNOWN, Resource
from provider.values import Marks


class Thing(Resource):
    TYPE = "Thing"
    REPLACES = frozenset({"image"})
    IGNORED = frozenset({"connection"})
    DELETE_FIRST = True


class Picky(Thing):
    """Its `host` is replaced only when the new one is known."""

    def replaced_by(self, old: Any, new: Any) -> frozenset[str]:
        moved = new.get("host") not in (old.get("host"), UNKNOWN)
        return frozenset({"host", "connection"}) if moved else frozenset()


FILES = [{"path": "/a", "content": "1"}, {"path": "/b", "content": "2"}]

CASES: list[tuple[str, dict[str, Any], dict[str, Any], Difference]] = [
    ("the same", {"a": 1}, {"a": 1}, Difference((), (), {})),
    ("None is absent", {"a": None}, {}, Difference((), (), {})),
    ("integral float", {"a": 1.0}, {"a": 1}, Difference((), (), {})),
    ("changed", {"a": 1}, {"a": 2}, Difference(("a",), (), {("a",): UPDATE})),
    ("added", {}, {"a": 1}, Difference(("a",), (), {("a",): ADD})),
    ("removed", {"a": 1}, {}, Difference(("a",), (), {("a",): DELETE})),
    ("unknown", {"a": 1}, {"a": UNKNOWN}, Difference(("a",), (), {("a",): UPDATE})),
    ("unknown below", {"a": [1, 2]}, {"a": [1, UNKNOWN]}, Difference(("a",), (), {("a", 1): UPDATE})),
    ("ignored", {"connection": {"port": 1}}, {"connection": UNKNOWN}, Difference((), (), {})),
    ("replaced", {"image": "x"}, {"image": "y"}, Difference(("image",), ("image",), {("image",): UPDATE})),
    (
        "replaced, with others",
        {"image": "x", "a": 1},
        {"image": UNKNOWN, "a": 2},
        Difference(("a", "image"), ("image",), {("a",): UPDATE, ("image",): UPDATE}),
    ),
    (
        "a file's content",
        {"files": FILES},
        {"files": [FILES[0], {**FILES[1], "content": "3"}]},
        Difference(("files",), (), {("files", 1, "content"): UPDATE}),
    ),
    (
        "a file more",
        {"files": FILES[:1]},
        {"files": FILES},
        Difference(("files",), (), {("files", 1): ADD}),
    ),
    (
        "a file less",
        {"files": FILES},
        {"files": FILES[:1]},
        Difference(("files",), (), {("files", 1): DELETE}),
    ),
    (
        "environment",
        {"environment": {"a.b": "1", "C": "2"}},
        {"environment": {"a.b": "2", "D": "2"}},
        Difference(
            ("environment",),
            (),
            {
                ("environment", "C"): DELETE,
                ("environment", "D"): ADD,
                ("environment", "a.b"): UPDATE,
            },
        ),
    ),
    ("another shape", {"a": [1]}, {"a": {"b": 1}}, Difference(("a",), (), {("a",): UPDATE})),
]


@pytest.mark.parametrize(
    ("old", "new", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_difference(old: dict[str, Any], new: dict[str, Any], expected: Difference) -> None:
    assert difference(Thing(), old, new) == expected


@pytest.mark.parametrize(
    ("secret", "places"),
    [
        ({"login": True}, {("login",): UPDATE}),
        ({"login": {"password": True}}, {("login", "password"): UPDATE, ("login", "user"): UPDATE}),
    ],
)
def test_a_secret_value_is_not_taken_apart(secret: Marks, places: dict[Path, str]) -> None:
    old = {"login": {"user": "a", "password": "b"}}
    new = {"login": {"user": "c", "password": "d"}}
    assert difference(Thing(), old, new, secret).details == places


@pytest.mark.parametrize(("host", "replaces"), [("b", ("host",)), (UNKNOWN, ())])
def test_a_type_may_judge_what_replaces_it(host: str, replaces: tuple[str, ...]) -> None:
    assert (
        difference(Picky(), {"host": "a", "connection": 1}, {"host": host, "connection": 2}).replaces
        == replaces
    )


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (("cpus",), "cpus"),
        (("files", 0, "content"), "files[0].content"),
        (("environment", "a.b"), 'environment["a.b"]'),
        (("environment", 'a"\\b', 2), 'environment["a\\"\\\\b"][2]'),
        (("9th",), '["9th"]'),
    ],
)
def test_paths_are_written_as_pulumi_reads_them(path: Path, text: str) -> None:
    assert render(path) == text


def test_response() -> None:
    found = difference(Thing(), {"image": "x", "a": [1], "b": 1}, {"image": "y", "a": [1, 2]})
    answer = response(Thing(), found)
    assert answer.changes == answer.DIFF_SOME
    assert list(answer.replaces) == ["image"]
    assert list(answer.diffs) == ["a", "b", "image"]
    assert answer.hasDetailedDiff
    assert answer.deleteBeforeReplace
    kinds = {path: (one.kind, one.inputDiff) for path, one in answer.detailedDiff.items()}
    kind = next(iter(answer.detailedDiff.values()))
    assert kinds == {"a[1]": (kind.ADD, True), "b": (kind.DELETE, True), "image": (kind.UPDATE_REPLACE, True)}
    nothing = response(Resource(), difference(Resource(), {}, {}))
    assert (nothing.changes, nothing.deleteBeforeReplace) == (answer.DIFF_NONE, False)
