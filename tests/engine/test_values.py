"""Values on the wire, property paths, and what of a difference is shown."""

from typing import Any

import pytest

from engine.errors import EngineError
from engine.values import (
    SECRET,
    SIGNATURE,
    UNKNOWN,
    UNKNOWN_TEXT,
    Secret,
    decode,
    encode,
    equal,
    ignore_changes,
    leaf_changes,
    masked,
    parse_path,
    path_covers,
    plain,
    remarked,
)

EVERYTHING: dict[str, Any] = {
    "none": None,
    "yes": True,
    "count": 3,
    "ratio": 2.5,
    "text": "x",
    "list": [1, [], {}],
    "object": {"a.b": {"c": Secret("s")}},
    "later": UNKNOWN,
    "secret": Secret({"deep": [UNKNOWN]}),
}


def test_values_survive_the_wire() -> None:
    back = decode(encode(EVERYTHING))

    assert equal(back, EVERYTHING)
    assert [type(back[key]) for key in ("yes", "count", "ratio")] == [bool, int, float]


def test_without_secrets_the_marks_are_dropped() -> None:
    assert decode(encode({"a": Secret([Secret(1)])}, secrets=False)) == {"a": [1]}


def test_the_wire_form_of_secrets_and_unknowns_is_pulumis() -> None:
    struct = encode({"s": Secret("x"), "u": UNKNOWN})

    assert dict(struct["s"]) == {SIGNATURE: SECRET, "value": "x"}
    assert struct["u"] == UNKNOWN_TEXT


def test_an_output_value_becomes_what_it_holds() -> None:
    output = {SIGNATURE: "d0e6a833031e9bbcd3f4e8bde6ca49a4"}

    assert decode(encode({"a": {**output, "value": 1, "secret": True}})) == {"a": Secret(1)}
    assert decode(encode({"a": output})) == {"a": UNKNOWN}


def test_assets_are_refused() -> None:
    asset = {SIGNATURE: "c44067f5952c0a294b673a41bacd8c17", "text": "x"}

    with pytest.raises(EngineError, match=r"^an asset or archive is not supported"):
        decode(encode({"a": asset}))


@pytest.mark.parametrize(
    ("left", "right", "same"),
    [
        (True, 1, False),
        (0, False, False),
        (1, 1.0, True),
        ([True], [1], False),
        ({"a": Secret(1)}, {"a": Secret(1)}, True),
        ({"a": Secret(1)}, {"a": 1}, False),
        ({"a": None}, {}, False),
    ],
)
def test_equality(left: Any, right: Any, same: bool) -> None:
    assert equal(left, right) is same


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("a", ("a",)),
        ("a.b[0].c", ("a", "b", 0, "c")),
        ('a["b.c"].d', ("a", "b.c", "d")),
        ("[3]", (3,)),
        ("*", ("*",)),
        ("a[*].b", ("a", "*", "b")),
        ("", ()),
    ],
)
def test_property_paths(text: str, path: tuple[str | int, ...]) -> None:
    assert parse_path(text) == path


@pytest.mark.parametrize("text", ["a[", "a..b", 'a["b', "a[x]"])
def test_what_is_no_property_path(text: str) -> None:
    with pytest.raises(ValueError, match="is no property path"):
        parse_path(text)


@pytest.mark.parametrize(
    ("pattern", "path", "covered"),
    [
        ("a", "a", True),
        ("a", "a.b", True),
        ("a.b", "a", False),
        ("*", "anything", True),
        ("a[*].b", "a[3].b.c", True),
        ("a", "b", False),
    ],
)
def test_a_pattern_covers_what_is_inside_it(pattern: str, path: str, covered: bool) -> None:
    assert path_covers(parse_path(pattern), parse_path(path)) is covered


@pytest.mark.parametrize(
    ("news", "olds", "path", "result"),
    [
        ({"a": 2}, {"a": 1}, "a", {"a": 1}),
        ({"a": 2}, {}, "a", {}),
        ({}, {"a": 1}, "a", {"a": 1}),
        ({"a": {"b": 2, "c": 2}}, {"a": {"b": 1, "c": 1}}, "a.b", {"a": {"b": 1, "c": 2}}),
        ({"a": [1, 2, 3]}, {"a": [9, 8]}, "a[*]", {"a": [9, 8, 3]}),
        ({"a": [1, 2]}, {"a": [9]}, "a[1]", {"a": [1, 2]}),
        ({"a": {"b": 2}}, {}, "a.b", {"a": {"b": 2}}),
        ({"a": Secret({"b": 2})}, {"a": Secret({"b": 1})}, "a.b", {"a": Secret({"b": 1})}),
        ({"a": 2}, {"a": 1}, "a[", {"a": 2}),
    ],
)
def test_ignoring_changes(news: Any, olds: Any, path: str, result: Any) -> None:
    before = repr((news, olds))

    assert equal(ignore_changes(news, olds, [path]), result)
    assert repr((news, olds)) == before


def test_plain_and_masked() -> None:
    value = {"a": Secret({"b": [Secret(1)]}), "u": UNKNOWN}

    assert plain(value) == {"a": {"b": [1]}, "u": UNKNOWN}
    assert masked(value) == {"a": "[secret]", "u": "[unknown]"}


def test_marks_are_restored_where_they_were() -> None:
    like = {"a": Secret(0), "b": {"c": Secret(0)}, "d": [Secret(0), 1]}

    marked = remarked({"a": 1, "b": {"c": 2, "x": 3}, "d": [4, 5, 6]}, like)

    assert equal(marked, {"a": Secret(1), "b": {"c": Secret(2), "x": 3}, "d": [Secret(4), 5, 6]})


def test_only_what_differs_is_shown_and_no_secret() -> None:
    old = {"same": 1, "gone": "x", "deep": {"list": [1, 2]}, "word": Secret("a"), "kept": Secret("b")}
    new = {"same": 1, "came": UNKNOWN, "deep": {"list": [1, 3, 4]}, "word": "a2", "kept": Secret("b")}

    assert list(leaf_changes(old, new)) == [
        ("came", "", "[unknown]"),
        ("deep.list[1]", "2", "3"),
        ("deep.list[2]", "", "4"),
        ("gone", "'x'", ""),
        ("word", "[secret]", "[secret]"),
    ]
