"""Wire values to plain Python and back, and what stays secret when a value changes."""

from typing import Any

import pytest

from provider.errors import UserError
from provider.resources.base import UNKNOWN
from provider.values import (
    SIGNATURE,
    UNKNOWNS,
    Marks,
    carry,
    containing,
    decode,
    encode,
    only,
    secret_texts,
    union,
)
from tests.rig.wire import Secret, from_wire, to_wire

DECODED: list[tuple[Any, Any, Marks]] = [
    (3, 3, False),
    (3.5, 3.5, False),
    (True, True, False),
    (None, None, False),
    ("text", "text", False),
    ([], [], False),
    ({"a": [1, {"b": "c"}]}, {"a": [1, {"b": "c"}]}, False),
    (Secret("s"), "s", True),
    (Secret(7), 7, True),
    ({"a": Secret("s"), "b": 1}, {"a": "s", "b": 1}, {"a": True}),
    ([1, Secret("s")], [1, "s"], {1: True}),
    (Secret({"a": Secret("s")}), {"a": "s"}, True),
    (Secret(UNKNOWN), UNKNOWN, True),
    ([{"a": {"b": Secret("s")}}], [{"a": {"b": "s"}}], {0: {"a": {"b": True}}}),
]


@pytest.mark.parametrize(("wire", "plain", "marks"), DECODED, ids=str)
def test_decode_and_encode(wire: Any, plain: Any, marks: Marks) -> None:
    struct = to_wire({"it": wire})
    expected: Marks = {"it": marks} if marks else False
    assert decode(struct) == ({"it": plain}, expected)
    assert type(decode(struct)[0]["it"]) is type(plain)
    encoded = encode({"it": plain}, expected)
    assert decode(encoded) == decode(struct)
    assert from_wire(encoded).keys() == {"it"}


@pytest.mark.parametrize("sentinel", sorted(UNKNOWNS))
def test_every_unknown_becomes_one(sentinel: str) -> None:
    assert decode(to_wire({"it": [sentinel]})) == ({"it": [UNKNOWN]}, False)


@pytest.mark.parametrize(
    ("signature", "content", "plain", "marks"),
    [
        ("d0e6a833031e9bbcd3f4e8bde6ca49a4", {"value": 1, "secret": True}, 1, True),
        ("d0e6a833031e9bbcd3f4e8bde6ca49a4", {"value": 1}, 1, False),
        ("d0e6a833031e9bbcd3f4e8bde6ca49a4", {}, UNKNOWN, False),
        ("5cf8f73096256a8f31e491e813e4eb8e", {"urn": "u", "id": "i"}, "i", False),
        ("5cf8f73096256a8f31e491e813e4eb8e", {"urn": "u", "id": ""}, UNKNOWN, False),
        ("5cf8f73096256a8f31e491e813e4eb8e", {"urn": "u"}, "u", False),
    ],
)
def test_decode_special_values(signature: str, content: dict[str, Any], plain: Any, marks: bool) -> None:
    # Written without the SDK, which would turn these into objects of its own.
    struct = encode({"it": {SIGNATURE: signature, **content}})
    assert decode(struct) == ({"it": plain}, {"it": True} if marks else False)


def test_assets_are_refused() -> None:
    struct = encode({"it": {SIGNATURE: "c44067f5952c0a294b673a41bacd8c17", "text": "x"}})
    with pytest.raises(UserError, match=r"^assets and archives are not taken by this provider"):
        decode(struct)


def test_what_is_no_json_is_refused() -> None:
    with pytest.raises(TypeError, match=r"^a property cannot hold a bytes$"):
        encode({"it": b"x"})


CARRIED: list[tuple[str, Any, Any, Marks, Marks]] = [
    ("nothing secret", "n", "o", False, False),
    ("all secret", "n", "o", True, True),
    ("a key", {"a": 1, "b": 2}, {"a": 0, "b": 2}, {"a": True}, {"a": True}),
    ("a key that is gone", {"b": 2}, {"a": 0}, {"a": True}, False),
    ("a key that is new", {"a": 1, "c": 2}, {"a": 1}, {"a": True}, {"a": True}),
    ("same list", ["x", "s"], ["x", "s"], {1: True}, {1: True}),
    ("reordered list", ["s", "x"], ["x", "s"], {1: True}, {0: True, 1: True}),
    ("longer list", ["x", "s", "n"], ["x", "s"], {1: True}, {1: True, 2: True}),
    (
        "reordered files",
        [{"path": "b", "content": "s"}, {"path": "a", "content": "x"}],
        [{"path": "a", "content": "x"}, {"path": "b", "content": "s"}],
        {1: {"content": True}},
        {0: {"content": True}, 1: {"content": True}},
    ),
    ("another shape", "text", {"a": "s"}, {"a": True}, True),
    ("a list became a mapping", {"a": "s"}, ["s"], {0: True}, True),
]


@pytest.mark.parametrize(
    ("new", "old", "marks", "expected"), [row[1:] for row in CARRIED], ids=[row[0] for row in CARRIED]
)
def test_marks_are_carried_to_a_new_value(new: Any, old: Any, marks: Marks, expected: Marks) -> None:
    assert carry(new, old, marks) == expected


@pytest.mark.parametrize(
    ("first", "second", "both"),
    [
        (False, False, False),
        (True, {"a": True}, True),
        ({"a": True}, False, {"a": True}),
        ({"a": True}, {"b": {"c": True}}, {"a": True, "b": {"c": True}}),
        ({"a": {"x": True}}, {"a": {"y": True}}, {"a": {"x": True, "y": True}}),
        ({"a": {"x": True}}, {"a": True}, {"a": True}),
    ],
)
def test_union(first: Marks, second: Marks, both: Marks) -> None:
    assert union(first, second) == both
    assert union(second, first) == both


def test_secret_texts_are_those_long_enough_to_be_told_from_others() -> None:
    values = {"key": "long enough", "short": "abc", "open": "not secret!", "deep": [{"x": "also secret"}]}
    marks: Marks = {"key": True, "short": True, "deep": {0: {"x": True}}}
    assert secret_texts(values, marks) == {"long enough", "also secret"}
    assert secret_texts(UNKNOWN, True) == frozenset()


def test_containing_finds_what_quotes_a_secret() -> None:
    values = {"url": "https://u:long enough@h", "list": ["x", {"y": "long enough"}], "name": "n"}
    assert containing(values, frozenset({"long enough"})) == {"url": True, "list": True}
    assert containing(values, frozenset()) is False


def test_only_some_keys() -> None:
    assert only({"a": True, "b": True}, ["a", "c"]) == {"a": True}
    assert only(True, ["a"]) == {"a": True}
    assert only(False, ["a"]) is False
