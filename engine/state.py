"""Resource states as the checkpoint holds them."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from engine import urn as urns
from engine.backend import now
from engine.errors import EngineError, unsupported
from engine.passphrase import Sealer
from engine.values import SECRET, SIGNATURE, UNKNOWN, UNKNOWN_TEXT, Properties, Secret, tidy_number


@dataclass(eq=False)
class Resource:
    """One resource's state. Compared by identity: one URN can have an old and a new state at a time."""

    urn: str
    type: str
    custom: bool
    id: str = ""
    inputs: Properties = field(default_factory=dict)
    outputs: Properties = field(default_factory=dict)
    parent: str = ""
    provider: str = ""
    dependencies: tuple[str, ...] = ()
    property_dependencies: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    protect: bool = False
    delete: bool = False
    pending_replacement: bool = False
    init_errors: tuple[str, ...] = ()
    additional_secret_outputs: tuple[str, ...] = ()
    custom_timeouts: Mapping[str, int] = field(default_factory=dict)
    retain_on_delete: bool = False
    deleted_with: str = ""
    ignore_changes: tuple[str, ...] = ()
    replace_on_changes: tuple[str, ...] = ()
    created: str = ""
    modified: str = ""

    def references(self) -> Iterable[str]:
        """URNs that must come before this state in the file."""
        yield from filter(None, (self.parent, self.deleted_with))
        if self.provider:
            yield urns.split_reference(self.provider)[0]
        yield from self.dependencies
        for dependencies in self.property_dependencies.values():
            yield from dependencies

    def rewired(self, renames: Mapping[str, str]) -> "Resource":
        """This state with its references renamed; itself when none is concerned."""
        if not renames or renames.keys().isdisjoint(self.references()):
            return self

        def new(urn: str) -> str:
            return renames.get(urn, urn)

        provider_urn, provider_id = urns.split_reference(self.provider)
        return replace(
            self,
            parent=new(self.parent),
            deleted_with=new(self.deleted_with),
            provider=f"{new(provider_urn)}::{provider_id}" if self.provider else "",
            dependencies=tuple(map(new, self.dependencies)),
            property_dependencies={k: tuple(map(new, v)) for k, v in self.property_dependencies.items()},
        )

    def without(self, gone: Iterable[str], parents: Mapping[str, str]) -> "Resource":
        """This state without references to URNs that are gone; a parent gone gives way to its own parent."""
        lost = set(gone)
        if lost.isdisjoint(self.references()):
            return self
        parent = self.parent
        while parent in lost:
            parent = parents.get(parent, "")
        return replace(
            self,
            parent=parent,
            deleted_with="" if self.deleted_with in lost else self.deleted_with,
            dependencies=tuple(urn for urn in self.dependencies if urn not in lost),
            property_dependencies={
                key: tuple(urn for urn in value if urn not in lost)
                for key, value in self.property_dependencies.items()
            },
        )


_PLAIN = {  # attribute -> key of the checkpoint, where the value is written as it is
    "urn": "urn",
    "custom": "custom",
    "delete": "delete",
    "id": "id",
    "type": "type",
    "parent": "parent",
    "protect": "protect",
    "dependencies": "dependencies",
    "init_errors": "initErrors",
    "provider": "provider",
    "property_dependencies": "propertyDependencies",
    "pending_replacement": "pendingReplacement",
    "additional_secret_outputs": "additionalSecretOutputs",
    "custom_timeouts": "customTimeouts",
    "retain_on_delete": "retainOnDelete",
    "deleted_with": "deletedWith",
    "created": "created",
    "modified": "modified",
    "ignore_changes": "ignoreChanges",
    "replace_on_changes": "replaceOnChanges",
}
_ALWAYS = frozenset({"urn", "custom", "type"})
_DROPPED = frozenset({"sourcePosition", "stackTrace", "aliases", "hideDiff"})
"""Of no consequence for what is done, and made anew by the CLI's next run."""


@dataclass(frozen=True)
class Pending:
    """An operation that was begun: `type` is creating, updating, deleting or reading."""

    resource: Resource
    type: str


@dataclass(frozen=True)
class Snapshot:
    """Everything the checkpoint says. `salt` is the passphrase secrets' state, None if it has none."""

    resources: tuple[Resource, ...] = ()
    pending: tuple[Pending, ...] = ()
    salt: str | None = None


def salt_of(latest: Mapping[str, Any]) -> str | None:
    """The salt that the checkpoint's secrets were sealed with. Raises EngineError for other providers."""
    providers = latest.get("secrets_providers")
    if not providers:
        return None
    if providers["type"] != "passphrase":
        raise unsupported(f"the secrets provider {providers['type']!r}")
    salt: str = providers["state"]["salt"]
    return salt


def decode(latest: Mapping[str, Any]) -> Snapshot:
    """Raises EngineError for a state that holds what the engine would lose."""
    for key in latest.keys() - {
        "manifest",
        "secrets_providers",
        "resources",
        "pending_operations",
        "metadata",
    }:
        if latest[key]:
            raise unsupported(f"the state's {key!r}")
    if latest.get("metadata", {}).get("integrity_error"):
        raise unsupported("a state that the CLI has marked as damaged")
    salt = salt_of(latest)
    sealer = Sealer(salt) if salt else None
    resources = tuple(_resource(item, sealer) for item in latest.get("resources") or ())
    pending = tuple(
        Pending(_resource(item["resource"], sealer), item["type"])
        for item in latest.get("pending_operations") or ()
    )
    return Snapshot(resources, pending, salt)


def _resource(item: Mapping[str, Any], sealer: Sealer | None) -> Resource:
    values: dict[str, Any] = {}
    for key in item.keys() - _PLAIN.values() - _DROPPED - {"inputs", "outputs"}:
        if item[key]:
            raise unsupported(f"{key!r} of {item['urn']} in the state")
    for attribute, key in _PLAIN.items():
        if key in item:
            value = item[key]
            values[attribute] = tuple(value) if isinstance(value, list) else value
    values["property_dependencies"] = {
        key: tuple(value or ()) for key, value in (item.get("propertyDependencies") or {}).items()
    }
    return Resource(
        **values,
        inputs=_open(item.get("inputs") or {}, sealer),
        outputs=_open(item.get("outputs") or {}, sealer),
    )


def _open(value: Any, sealer: Sealer | None, inside: bool = False) -> Any:
    """`inside` another secret the CLI does not seal again: the ciphertext is the text itself."""
    if isinstance(value, dict):
        if value.get(SIGNATURE) != SECRET:
            return {key: _open(item, sealer, inside) for key, item in value.items()}
        if inside or "plaintext" in value:
            text = value["ciphertext"] if inside else value["plaintext"]
            return Secret(_open(json.loads(text), sealer, inside=True))
        if sealer is None:
            raise EngineError("the state holds secrets but no salt: it is damaged")
        text = value["ciphertext"]
        return Secret(_open(json.loads(sealer.open(text)), sealer, inside=True), (sealer.state, text))
    if isinstance(value, list):
        return [_open(item, sealer, inside) for item in value]
    if isinstance(value, float):
        return tidy_number(value)
    return UNKNOWN if value == UNKNOWN_TEXT else value


def encode(snapshot: Snapshot, sealer: Sealer, version: str) -> dict[str, Any]:
    """The checkpoint's `latest` part, as the given CLI version would have written it."""
    manifest = {"time": now(), "magic": hashlib.sha256(version.encode()).hexdigest(), "version": version}
    latest: dict[str, Any] = {
        "manifest": manifest,
        "secrets_providers": {"type": "passphrase", "state": {"salt": sealer.state}},
    }
    if snapshot.resources:
        latest["resources"] = [_item(resource, sealer) for resource in snapshot.resources]
    if snapshot.pending:
        latest["pending_operations"] = [
            {"resource": _item(pending.resource, sealer), "type": pending.type}
            for pending in snapshot.pending
        ]
    latest["metadata"] = {}
    return latest


def _item(resource: Resource, sealer: Sealer) -> dict[str, Any]:
    item: dict[str, Any] = {}
    for attribute, key in _PLAIN.items():
        value = getattr(resource, attribute)
        if value or attribute in _ALWAYS:
            item[key] = value
        if attribute == "type":
            for name in ("inputs", "outputs"):
                if properties := getattr(resource, name):
                    item[name] = _seal(properties, sealer)
    return item


def _seal(value: Any, sealer: Sealer | None) -> Any:
    """Without a sealer: inside another secret, where a mark is enough."""
    if isinstance(value, Secret):
        if sealer is None:
            return {SIGNATURE: SECRET, "ciphertext": _text(value)}
        if value.sealed is None or value.sealed[0] != sealer.state:
            value.sealed = (sealer.state, sealer.seal(_text(value)))
        return {SIGNATURE: SECRET, "ciphertext": value.sealed[1]}
    if isinstance(value, dict):
        return {key: _seal(item, sealer) for key, item in value.items()}
    if isinstance(value, list):
        return [_seal(item, sealer) for item in value]
    return UNKNOWN_TEXT if value is UNKNOWN else value


def _text(secret: Secret) -> str:
    return json.dumps(_seal(secret.value, None), separators=(",", ":"), ensure_ascii=False)


def verify(resources: Sequence[Resource]) -> None:
    """Raises EngineError when the order or a reference would make the CLI refuse the state."""
    seen: dict[str, bool] = {}
    for resource in resources:
        for urn in resource.references():
            if urn not in seen:
                raise EngineError(f"internal error: {resource.urn} comes before {urn}, which it refers to")
        if seen.get(resource.urn) is False and not resource.delete:
            raise EngineError(f"internal error: {resource.urn} is in the state twice")
        seen[resource.urn] = resource.delete and seen.get(resource.urn, True)
