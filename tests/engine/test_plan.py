"""The planner, on states and differences alone."""

import pytest

from engine.errors import EngineError
from engine.plan import (
    Alias,
    Goal,
    Op,
    alias_urns,
    compare,
    decide,
    dependents_to_replace,
    layers,
    leftovers,
    needed_by,
    with_replace_on_changes,
)
from engine.provider import Diff
from engine.state import Resource
from engine.values import UNKNOWN, Properties, Secret

SAME, CHANGED = Diff(False), Diff(True, changed=("size",))
REPLACED = Diff(True, replaces=("size",))
FIRST = Diff(True, replaces=("size",), delete_first=True)


def urn(name: str) -> str:
    return f"urn:pulumi:s::p::x:y:Z::{name}"


def thing(name: str, *needs: str, **fields: object) -> Resource:
    return Resource(
        urn(name),
        "x:y:Z",
        True,
        id=name,
        dependencies=tuple(map(urn, needs)),
        inputs=dict.fromkeys(needs, 1),
        property_dependencies={need: (urn(need),) for need in needs},
        **fields,  # type: ignore[arg-type]
    )


def goal(**fields: object) -> Goal:
    return Goal("x:y:Z", "a", True, {}, **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "old", "diff", "op", "first"),
    [
        ({}, None, SAME, Op.CREATE, False),
        ({}, {}, SAME, Op.SAME, False),
        ({}, {}, CHANGED, Op.UPDATE, False),
        ({}, {}, REPLACED, Op.REPLACE, False),
        ({}, {}, FIRST, Op.REPLACE, True),
        ({}, {}, Diff(True, detailed={"size": "update-replace"}), Op.REPLACE, False),
        ({"delete_before_replace": True}, {}, REPLACED, Op.REPLACE, True),
        ({"delete_before_replace": False}, {}, FIRST, Op.REPLACE, False),
        ({"replace_on_changes": ("size",)}, {}, CHANGED, Op.REPLACE, False),
        ({"replace_on_changes": ("*",)}, {}, CHANGED, Op.REPLACE, False),
        ({"replace_on_changes": ("other",)}, {}, CHANGED, Op.UPDATE, False),
        ({}, {"init_errors": ("cold",)}, SAME, Op.UPDATE, False),
        ({}, {"pending_replacement": True}, SAME, Op.REPLACE, False),
        ({"protect": True}, {}, REPLACED, Op.REPLACE, False),
        ({}, {"protect": True}, REPLACED, Op.REPLACE, False),
        ({"protect": True}, {"protect": True}, CHANGED, Op.UPDATE, False),
    ],
)
def test_the_fate_of_one_resource(options: dict, old: dict | None, diff: Diff, op: Op, first: bool) -> None:  # type: ignore[type-arg]
    before = None if old is None else thing("a", **old)

    decision = decide(goal(**options), before, diff, recreating=False)

    assert (decision.op, decision.delete_first) == (op, first)


def test_what_was_deleted_with_its_dependency_is_made_anew_whatever_the_difference() -> None:
    assert decide(goal(), thing("a"), SAME, recreating=True).op is Op.REPLACE


def test_a_protected_resource_is_not_replaced() -> None:
    with pytest.raises(
        EngineError, match=f"^unable to replace {urn('a')}: it is protected; remove `protect`"
    ):
        decide(goal(protect=True), thing("a", protect=True), REPLACED, recreating=False)


def test_replace_on_changes_looks_inside_paths() -> None:
    diff = Diff(True, changed=("box",), detailed={"box.size": "update", "box.kind": "add"})

    forced = with_replace_on_changes(diff, ("box.size",))

    assert forced.detailed == {"box.size": "update-replace", "box.kind": "add"}
    assert forced.replace


@pytest.mark.parametrize(
    ("old", "new", "keys"),
    [
        ({"a": 1}, {"a": 1}, ()),
        ({"a": Secret(1)}, {"a": 1}, ()),
        ({"a": 1, "b": 2}, {"a": 2, "c": 3}, ("a", "b", "c")),
        ({"a": 1}, {"a": UNKNOWN}, ("a",)),
    ],
)
def test_comparing_inputs(old: Properties, new: Properties, keys: tuple[str, ...]) -> None:
    assert (compare(old, new).changed, compare(old, new).changes) == (keys, bool(keys))


@pytest.mark.parametrize(
    ("states", "replaced_by_change", "expected"),
    [
        ([thing("a"), thing("b", "a"), thing("c", "b")], {"b", "c"}, ["b", "c"]),
        ([thing("a"), thing("b", "a"), thing("c", "b")], {"c"}, []),
        ([thing("a"), thing("b", "a"), thing("c", "a")], {"c"}, ["c"]),
        ([thing("a"), thing("b", deleted_with=urn("a")), thing("c", "b")], {"c"}, ["b", "c"]),
        ([thing("a"), thing("b", "a", delete=True)], {"b"}, []),
        ([thing("a"), thing("r", "a")], {"r"}, []),
        ([thing("a"), Resource(urn("b"), "x:y:Z", True, id="b", dependencies=(urn("a"),))], {"b"}, []),
    ],
    ids=["chain", "updated-in-between", "side", "deleted-with", "old", "registered", "depends-on-only"],
)
def test_what_goes_before_a_root_can_be_deleted(
    states: list[Resource], replaced_by_change: set[str], expected: list[str]
) -> None:
    def needs(state: Resource, replaced: object) -> bool:
        changed = [name for name in state.inputs if urn(name) in replaced]  # type: ignore[operator]
        return bool(changed) and state.id in replaced_by_change

    found = dependents_to_replace(states[0], states, {urn("a"), urn("r")}, needs)

    assert [state.id for state in found] == expected


def test_deletions_run_in_layers_dependents_first() -> None:
    states = [thing("a"), thing("b", "a"), thing("c", "a"), thing("d", "b"), thing("e")]

    assert [[state.id for state in layer] for layer in layers(states)] == [["d"], ["b", "c"], ["a", "e"]]
    assert layers([]) == []


def test_leftovers_are_what_was_replaced_and_what_nobody_claims() -> None:
    states = [thing("a"), thing("a", delete=True), thing("b")]

    assert leftovers(states, {urn("a")}) == states[1:]


def test_a_replaced_protected_resource_may_go_an_unregistered_one_may_not() -> None:
    assert leftovers([thing("a", protect=True, delete=True)], {urn("a")})
    with pytest.raises(EngineError, match=f"nothing was deleted.*\n  {urn('a')}\n  {urn('b')}$"):
        leftovers([thing("a", protect=True), thing("b", protect=True)], set())


def test_what_a_resource_needs_directly_or_not() -> None:
    states = [thing("a"), thing("b", "a"), thing("c", "b"), thing("d")]

    assert needed_by(states[2], states) == {urn("a"), urn("b")}


@pytest.mark.parametrize(
    ("alias", "parent", "expected"),
    [
        (Alias(name="old"), "", "urn:pulumi:s::p::x:y:Z::old"),
        (Alias(type="x:y:Old"), "", "urn:pulumi:s::p::x:y:Old::a"),
        (Alias(stack="t", project="q"), "", "urn:pulumi:t::q::x:y:Z::a"),
        (Alias(parent=""), urn("g"), "urn:pulumi:s::p::x:y:Z::a"),
        (Alias(parent="urn:pulumi:s::p::x:y:G::h"), urn("g"), "urn:pulumi:s::p::x:y:G$x:y:Z::a"),
        (Alias(urn="urn:x"), urn("g"), "urn:x"),
        (Alias(name="old"), urn("g"), "urn:pulumi:s::p::x:y:Z$x:y:Z::old"),
    ],
)
def test_former_names(alias: Alias, parent: str, expected: str) -> None:
    assert alias_urns(goal(aliases=(alias,), parent=parent), "s", "p", {}) == [expected]


def test_children_of_a_renamed_parent_are_looked_for_under_its_former_name() -> None:
    child = Goal("x:y:Z", "new-a", True, {}, parent="urn:pulumi:s::p::x:y:N::new")

    former = alias_urns(child, "s", "p", {child.parent: "urn:pulumi:s::p::x:y:O::old"})

    assert former == ["urn:pulumi:s::p::x:y:O$x:y:Z::old-a"]
