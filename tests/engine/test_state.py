"""States in the checkpoint: read and written as the CLI does, and never in an order that it would refuse."""

import json

import pytest

from engine.errors import EngineError
from engine.journal import Journal
from engine.passphrase import Sealer
from engine.state import Pending, Resource, Snapshot, decode, encode, verify
from engine.values import Secret

STACK = "urn:pulumi:s::p::pulumi:pulumi:Stack::p-s"


def urn(name: str) -> str:
    return f"urn:pulumi:s::p::x:y:Z::{name}"


def thing(name: str, *needs: str, **fields: object) -> Resource:
    dependencies = tuple(map(urn, needs))
    return Resource(urn(name), "x:y:Z", True, id=name, dependencies=dependencies, **fields)  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def passphrase(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "test")


def test_a_state_survives_writing_and_reading() -> None:
    full = Resource(
        urn("a"), "x:y:Z", True, "id",
        {"n": 1, "s": Secret({"deep": [1.5, Secret("twice")]})}, {"o": Secret("x")}, "", "",
        (), {"n": ()}, True, False, True, ("cold",), ("o",), {"create": 300}, True, "", ("n",), ("s",),
        "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z",
    )  # fmt: skip
    before = Snapshot((full,), (Pending(full, "updating"),))
    sealer = Sealer()

    latest = json.loads(json.dumps(encode(before, sealer, "3.260.0")))
    after = decode(latest)

    assert vars(after.resources[0]) == vars(full)
    assert after.pending[0].type == "updating"
    assert after.salt == sealer.state
    assert latest["manifest"]["magic"] == "f86dae3edf3fe6e708b87c6d6a143d3db5172f83cdfdb5d54206585b489dba50"
    assert json.loads(json.dumps(encode(after, sealer, "3.260.0")))["resources"] == latest["resources"]


def test_fields_of_no_consequence_are_dropped() -> None:
    item = {"urn": urn("a"), "custom": False, "type": "x:y:Z", "sourcePosition": "f#1", "stackTrace": [{}]}

    assert decode({"resources": [item]}).resources[0].urn == urn("a")


@pytest.mark.parametrize(
    ("states", "wrong"),
    [
        ([thing("b", "a"), thing("a")], f"{urn('b')} comes before {urn('a')}"),
        ([thing("a"), thing("a")], f"{urn('a')} is in the state twice"),
        ([thing("a", parent=STACK)], f"{urn('a')} comes before {STACK}"),
        ([thing("a", deleted_with=urn("b"))], f"{urn('a')} comes before {urn('b')}"),
        ([thing("a", provider=f"{urn('b')}::1")], f"{urn('a')} comes before {urn('b')}"),
    ],
)
def test_an_order_that_the_cli_would_refuse_is_never_written(states: list[Resource], wrong: str) -> None:
    with pytest.raises(EngineError, match=f"^internal error: {wrong}"):
        verify(states)


@pytest.mark.parametrize(
    "states",
    [
        [thing("a"), thing("b", "a")],
        [thing("a"), thing("a", delete=True), thing("a", delete=True)],
        [thing("a", delete=True), thing("a")],
    ],
)
def test_orders_that_hold(states: list[Resource]) -> None:
    verify(states)


class Written:
    """A journal's writes, as names."""

    def __init__(self, *base: Resource, pending: tuple[Pending, ...] = ()) -> None:
        self.last = Snapshot()
        self.journal = Journal(Snapshot(base, pending), self.write)

    def write(self, snapshot: Snapshot) -> None:
        verify(snapshot.resources)
        self.last = snapshot

    @property
    def names(self) -> list[str]:
        return [state.id + ("!" if state.delete else "") for state in self.last.resources]

    @property
    def pending(self) -> list[str]:
        return [f"{item.type} {item.resource.id}" for item in self.last.pending]


def test_new_states_come_first_in_the_order_of_completion() -> None:
    a, b, c = thing("a"), thing("b"), thing("c")
    written = Written(a, b)

    written.journal.begin(c, "creating")
    assert (written.names, written.pending) == (["a", "b"], ["creating c"])
    written.journal.end(c, new=c)
    assert (written.names, written.pending) == (["c", "a", "b"], [])
    written.journal.end(None, new=thing("b"), done=[b])
    assert written.names == ["c", "b", "a"]


def test_a_failed_step_leaves_no_trace_but_the_old_state() -> None:
    a = thing("a")
    written = Written(a)
    new = thing("a")

    written.journal.begin(new, "updating")
    written.journal.end(new)

    assert (written.last.resources, written.pending) == ((a,), [])


def test_an_earlier_runs_creations_stay_pending_until_they_are_made_good() -> None:
    old, other = thing("a"), thing("z")
    pending = (Pending(old, "creating"), Pending(other, "creating"), Pending(thing("u"), "updating"))
    written = Written(pending=pending)

    written.journal.end(None, new=thing("a"))
    assert written.pending == ["creating a", "creating z"]
    written.journal.finish()
    assert written.pending == ["creating z"]


def test_an_alias_renames_references_and_childrens_types_at_once() -> None:
    group = Resource("urn:pulumi:s::p::x:y:Old::g", "x:y:Old", False)
    child = Resource("urn:pulumi:s::p::x:y:Old$x:y:Z::c", "x:y:Z", True, id="c", parent=group.urn)
    user = thing("u")
    user.dependencies = (group.urn, child.urn)
    written = Written(group, child, user)

    new = Resource("urn:pulumi:s::p::x:y:New::g", "x:y:New", False)
    written.journal.end(None, new=new, done=[group], alias=group.urn)

    _, moved, rewired = written.last.resources
    assert (moved.urn, moved.parent) == ("urn:pulumi:s::p::x:y:New$x:y:Z::c", new.urn)
    assert rewired.dependencies == (new.urn, moved.urn)
