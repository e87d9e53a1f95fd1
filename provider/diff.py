"""Old inputs against new ones: what changes, and whether in place. No effects."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pulumi.runtime.proto import provider_pb2 as wire

from provider.resources.base import Properties, Resource
from provider.values import Marks

ADD, DELETE, UPDATE = "add", "delete", "update"
PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

_KINDS = {
    (ADD, False): wire.PropertyDiff.ADD,
    (ADD, True): wire.PropertyDiff.ADD_REPLACE,
    (DELETE, False): wire.PropertyDiff.DELETE,
    (DELETE, True): wire.PropertyDiff.DELETE_REPLACE,
    (UPDATE, False): wire.PropertyDiff.UPDATE,
    (UPDATE, True): wire.PropertyDiff.UPDATE_REPLACE,
}

Path = tuple[str | int, ...]


@dataclass(frozen=True)
class Difference:
    """`changed` and `replaces` are input names; `details` are the places that differ, with ADD, DELETE or
    UPDATE."""

    changed: tuple[str, ...]
    replaces: tuple[str, ...]
    details: Mapping[Path, str]


def difference(resource: Resource, old: Properties, new: Properties, secret: Marks = False) -> Difference:
    """Compare plain inputs. An unknown input may change, so it counts as changed; None is as good as absent.

    Nothing below a wholly secret value is told apart.
    """
    before, after = _relevant(resource, old), _relevant(resource, new)
    changed = tuple(key for key in sorted(before.keys() | after.keys()) if _differs(before, after, key))
    replaced = resource.replaced_by(old, new)
    return Difference(
        changed=changed,
        replaces=tuple(key for key in changed if key in replaced),
        details=dict(_places((), before, after, secret)),
    )


def response(resource: Resource, found: Difference) -> wire.DiffResponse:
    """The difference as the engine wants it."""
    details = {
        render(path): wire.PropertyDiff(kind=_KINDS[kind, path[0] in found.replaces], inputDiff=True)
        for path, kind in found.details.items()
    }
    some = wire.DiffResponse.DIFF_SOME if found.changed else wire.DiffResponse.DIFF_NONE
    return wire.DiffResponse(
        changes=some,
        replaces=found.replaces,
        diffs=found.changed,
        detailedDiff=details,
        hasDetailedDiff=True,
        deleteBeforeReplace=resource.DELETE_FIRST,
    )


def render(path: Path) -> str:
    """`files[0].content`, `environment["a.b"]`: Pulumi's property paths."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        elif PLAIN_KEY.fullmatch(part):
            text += f".{part}" if text else part
        else:
            escaped = part.replace("\\", "\\\\").replace('"', '\\"')
            text += f'["{escaped}"]'
    return text


def _relevant(resource: Resource, values: Properties) -> Properties:
    return {key: value for key, value in values.items() if key not in resource.IGNORED and value is not None}


def _differs(old: Properties, new: Properties, key: str) -> bool:
    return (key in old) != (key in new) or bool(old.get(key) != new.get(key))


def _places(path: Path, old: Any, new: Any, secret: Marks) -> Iterator[tuple[Path, str]]:
    if old == new:
        return
    if secret is True:
        yield path, UPDATE
    elif isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in sorted(old.keys() | new.keys()):
            yield from _entry((*path, key), key, old, new, secret)
    elif isinstance(old, list) and isinstance(new, list):
        for index in range(max(len(old), len(new))):
            yield from _entry((*path, index), index, _indexed(old), _indexed(new), secret)
    else:
        yield path, UPDATE


def _entry(
    path: Path, key: str | int, old: Mapping[Any, Any], new: Mapping[Any, Any], secret: Marks
) -> Iterator[tuple[Path, str]]:
    if key not in old:
        yield path, ADD
    elif key not in new:
        yield path, DELETE
    else:
        below = secret.get(key, False) if isinstance(secret, dict) else secret
        yield from _places(path, old[key], new[key], below)


def _indexed(items: Sequence[Any]) -> dict[int, Any]:
    return dict(enumerate(items))
