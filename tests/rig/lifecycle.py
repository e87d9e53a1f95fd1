"""What every resource type must do, proved over the real wire: one contract for all.

A test gives a Case; `contract` goes through a resource's whole life. The steps are functions of their own for
tests that need only some.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from provider.resources.base import UNKNOWN
from tests.rig.plugin import Plugin, State
from tests.rig.wire import Secret, revealed


@dataclass(frozen=True)
class Case:
    """One resource and what is expected of it.

    `inputs` mark secrets with Secret(...). `drift` changes the real thing behind our back, so that the input
    `drifted` differs after a refresh; None for what has no outside existence. `importable`: read finds it by
    its id alone. `secret_outputs` are always secret. `unknown`: an input to be unknown at preview.
    """

    type: str
    inputs: Mapping[str, Any]
    name: str = "thing"
    drift: Callable[[State], None] | None = None
    drifted: str = ""
    importable: bool = True
    secret_outputs: frozenset[str] = frozenset()
    unknown: str = ""

    @property
    def urn(self) -> str:
        return Plugin.urn(self.type, self.name)


def contract(plugin: Plugin, case: Case) -> None:
    """Preview, create, read, drift, import, delete twice: the life of one resource, with its secrets kept."""
    inputs = checks_alike(plugin, case)
    previews_the_unknown(plugin, case, inputs)
    made = creates(plugin, case, inputs)
    try:
        reads_what_it_made(plugin, case, made)
        heals_drift(plugin, case, made)
        imports(plugin, case, made)
    finally:
        deletes_twice(plugin, case, made)
    keeps_secrets_out_of_files(plugin, case, made)


def checks_alike(plugin: Plugin, case: Case) -> dict[str, Any]:
    """Check is deterministic, and its own output passes unchanged."""
    inputs, failures = plugin.check(case.urn, case.inputs)
    assert failures == []
    assert plugin.check(case.urn, case.inputs) == (inputs, [])
    assert plugin.check(case.urn, inputs) == (inputs, [])
    assert_secrets_kept(case.inputs, inputs)
    return inputs


def previews_the_unknown(plugin: Plugin, case: Case, inputs: Mapping[str, Any]) -> None:
    """Preview makes nothing, claims no more than is known, and keeps secrets."""
    assert_secrets_kept(inputs, plugin.preview(case.urn, inputs))
    if case.unknown:
        unsure, failures = plugin.check(case.urn, {**case.inputs, case.unknown: UNKNOWN})
        assert failures == []
        previewed = plugin.preview(case.urn, unsure)
        assert revealed(previewed)[case.unknown] == UNKNOWN
        old = State("old", dict(inputs), dict(inputs))
        changed = plugin.diff(case.urn, old, unsure).changed
        assert case.unknown in changed, "an unknown input may change"


def creates(plugin: Plugin, case: Case, inputs: Mapping[str, Any]) -> State:
    made = plugin.create(case.urn, inputs)
    assert made.identifier
    known = revealed(made.properties)
    assert {key: known[key] for key in inputs} == revealed(inputs), "inputs are part of the state"
    assert_secrets_kept(inputs, made.properties)
    assert_declared_secrets(case, made)
    return made


def reads_what_it_made(plugin: Plugin, case: Case, made: State) -> None:
    """A refresh of what was just made changes nothing, not even a secret's mark."""
    found = plugin.read(case.urn, made)
    assert found is not None
    assert found == made
    assert plugin.diff(case.urn, found, made.inputs).changed == []


def heals_drift(plugin: Plugin, case: Case, made: State) -> None:
    """A refresh sees the drift, the difference names it, and an update undoes it."""
    if not case.drift:
        return
    case.drift(made)
    found = plugin.read(case.urn, made)
    assert found is not None
    assert_secrets_kept(made.inputs, found.inputs)
    assert case.drifted in plugin.diff(case.urn, found, made.inputs).changed
    healed = plugin.update(case.urn, found, made.inputs)
    assert healed.properties.keys() >= made.properties.keys()
    again = plugin.read(case.urn, healed)
    assert again is not None
    assert plugin.diff(case.urn, again, made.inputs).changed == []


def imports(plugin: Plugin, case: Case, made: State) -> None:
    """By its id alone a real thing is found whole; what is not there is not imported."""
    missing = plugin.read(case.urn, State(f"{made.identifier}-not-there", {}, {}))
    assert missing is None
    found = plugin.read(case.urn, State(made.identifier, {}, {}))
    if case.importable:
        assert found is not None
        assert found.identifier == made.identifier
        assert_declared_secrets(case, found)
    else:
        assert found is None


def deletes_twice(plugin: Plugin, case: Case, made: State) -> None:
    plugin.delete(case.urn, made)
    plugin.delete(case.urn, made)
    if case.importable:
        assert plugin.read(case.urn, made) is None, "gone"


def keeps_secrets_out_of_files(plugin: Plugin, case: Case, made: State) -> None:
    """Nothing secret is in the logs or the record of stages."""
    secrets = secret_leaves(made.properties)
    for file in (plugin.project / ".matrix").rglob("*"):
        if file.is_file() and file.suffix in {".log", ".jsonl", ".stderr"}:
            text = file.read_text(errors="replace")
            assert not [secret for secret in secrets if secret in text or json.dumps(secret)[1:-1] in text]


def assert_secrets_kept(before: Any, after: Any) -> None:
    """What is secret in `before` is secret at the same place in `after`."""
    if isinstance(after, Secret):
        return
    assert not isinstance(before, Secret), "a secret lost its mark"
    if isinstance(before, Mapping):
        for key in before.keys() & after.keys():
            assert_secrets_kept(before[key], after[key])
    elif isinstance(before, list):
        for old, new in zip(before, after, strict=False):
            assert_secrets_kept(old, new)


def assert_declared_secrets(case: Case, state: State) -> None:
    for output in case.secret_outputs & state.properties.keys():
        assert isinstance(state.properties[output], Secret), f"{output} must be secret"


def secret_leaves(value: Any, *, secret: bool = False) -> list[str]:
    """Every secret text in a state."""
    if isinstance(value, Secret):
        return secret_leaves(value.value, secret=True)
    if isinstance(value, Mapping):
        return [leaf for item in value.values() for leaf in secret_leaves(item, secret=secret)]
    if isinstance(value, list):
        return [leaf for item in value for leaf in secret_leaves(item, secret=secret)]
    return [value] if secret and isinstance(value, str) and value else []


def stages(plugin: Plugin, urn: str) -> list[str]:
    """The recorded stages of one resource, in order."""
    files = Path(plugin.project / ".matrix").glob("*/progress.jsonl")
    entries = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    return [entry["stage"] for entry in entries if entry["urn"] == urn]
