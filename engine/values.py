"""Property values: plain Python (None, bool, int, float, str, list, dict) besides `Secret` and `UNKNOWN`.

Resource references stay dicts with their signature key: the engine only carries them.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from google.protobuf import struct_pb2

from engine.errors import unsupported

Properties = dict[str, Any]

SIGNATURE = "4dabf18193072939515e22adb298388d"
SECRET = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105 - the wire's tag of a secret, not one
RESOURCE = "5cf8f73096256a8f31e491e813e4eb8e"
OUTPUT = "d0e6a833031e9bbcd3f4e8bde6ca49a4"
ASSETS = frozenset({"c44067f5952c0a294b673a41bacd8c17", "0def7320c3a5731c473e5ecbe6d01bc7"})
UNKNOWN_TEXT = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
_UNKNOWN_TEXTS = frozenset(
    {
        UNKNOWN_TEXT,
        "1c4a061d-8072-4f0a-a4cb-0ff528b18fe7",
        "3eeb2bf0-c639-47a8-9e75-3b44932eb421",
        "6a19a0b0-7e62-4c92-b797-7f8e31da9cc2",
        "030794c1-ac77-496b-92df-f27374a8bd58",
        "e48ece36-62e2-4504-bad9-02848725956a",
        "dd056dcd-154b-4c76-9bd3-c8f88648b5ff",
    }
)


class Unknown:
    """The one value that is not known before the update has run."""

    def __repr__(self) -> str:
        return "UNKNOWN"

    def __deepcopy__(self, _: Any) -> "Unknown":
        return self


UNKNOWN = Unknown()


class Secret:
    """A secret value. `sealed` is (salt, ciphertext): an unchanged secret is written as it was."""

    __slots__ = ("sealed", "value")

    def __init__(self, value: Any, sealed: tuple[str, str] | None = None) -> None:
        self.value = value
        self.sealed = sealed

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and equal(self.value, other.value)

    def __hash__(self) -> int:
        raise TypeError("a secret is not hashable")

    def __repr__(self) -> str:
        return "[secret]"


def equal(left: Any, right: Any) -> bool:
    """Deep equality in which true is not 1."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        return left.keys() == right.keys() and all(equal(value, right[key]) for key, value in left.items())
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(equal, left, right))
    return bool(left == right)


def rebuild(value: Any, leaf: Callable[[Any], Any]) -> Any:
    """A copy with `leaf` applied to whatever is neither a list nor a dict (a `Secret` is a leaf)."""
    if isinstance(value, dict):
        return {key: rebuild(item, leaf) for key, item in value.items()}
    if isinstance(value, list):
        return [rebuild(item, leaf) for item in value]
    return leaf(value)


def plain(value: Any) -> Any:
    """The value without its secret marks, at any depth."""
    return rebuild(value, lambda leaf: plain(leaf.value) if isinstance(leaf, Secret) else leaf)


def masked(value: Any) -> Any:
    """The value with every secret replaced by the text `[secret]` and every unknown by `[unknown]`."""

    def mask(leaf: Any) -> Any:
        if isinstance(leaf, Secret):
            return "[secret]"
        return "[unknown]" if leaf is UNKNOWN else leaf

    return rebuild(value, mask)


def contains(value: Any, test: Callable[[Any], bool]) -> bool:
    """Whether any leaf, inside secrets too, passes the test."""
    if isinstance(value, Secret):
        return test(value) or contains(value.value, test)
    if isinstance(value, dict):
        return any(contains(item, test) for item in value.values())
    if isinstance(value, list):
        return any(contains(item, test) for item in value)
    return test(value)


def is_secret(value: Any) -> bool:
    return isinstance(value, Secret)


def is_unknown(value: Any) -> bool:
    return value is UNKNOWN


def remarked(value: Any, like: Any) -> Any:
    """The value with a secret mark wherever `like` has one at the same place."""
    if isinstance(value, Secret):
        return value
    if isinstance(like, Secret):
        return Secret(value)
    if isinstance(value, dict) and isinstance(like, dict):
        return {key: remarked(item, like.get(key)) for key, item in value.items()}
    if isinstance(value, list) and isinstance(like, list):
        return [remarked(item, like[i] if i < len(like) else None) for i, item in enumerate(value)]
    return value


# The wire.


def decode(struct: struct_pb2.Struct) -> Properties:
    """Raises EngineError for assets and archives."""
    return {key: _decode(value) for key, value in struct.fields.items()}


def _decode(value: struct_pb2.Value) -> Any:
    kind = value.WhichOneof("kind")
    if kind == "string_value":
        return UNKNOWN if value.string_value in _UNKNOWN_TEXTS else value.string_value
    if kind == "number_value":
        return tidy_number(value.number_value)
    if kind == "bool_value":
        return value.bool_value
    if kind == "list_value":
        return [_decode(item) for item in value.list_value.values]
    if kind == "struct_value":
        return _signed({key: _decode(item) for key, item in value.struct_value.fields.items()})
    return None


def _signed(fields: Properties) -> Any:
    signature = fields.get(SIGNATURE)
    if signature == SECRET:
        return Secret(fields.get("value"))
    if signature == OUTPUT:
        value = fields.get("value", UNKNOWN)
        return Secret(value) if fields.get("secret") else value
    if signature == RESOURCE:
        return {"packageVersion": "", **fields}
    if signature in ASSETS:
        raise unsupported("an asset or archive")
    return fields


def tidy_number(number: float) -> int | float:
    return int(number) if number.is_integer() else number


def encode(properties: Mapping[str, Any], secrets: bool = True) -> struct_pb2.Struct:
    """The wire's form; without `secrets` the marks are dropped, for a provider that does not know them."""
    struct = struct_pb2.Struct()
    for key, value in properties.items():
        _encode(value, struct.fields[key], secrets)
    return struct


def _encode(value: Any, into: struct_pb2.Value, secrets: bool) -> None:
    if value is None:
        into.null_value = struct_pb2.NULL_VALUE
    elif value is UNKNOWN:
        into.string_value = UNKNOWN_TEXT
    elif isinstance(value, Secret):
        if secrets:
            into.struct_value.fields[SIGNATURE].string_value = SECRET
            _encode(value.value, into.struct_value.fields["value"], secrets)
        else:
            _encode(value.value, into, secrets)
    elif isinstance(value, bool):
        into.bool_value = value
    elif isinstance(value, str):
        into.string_value = value
    elif isinstance(value, int | float):
        into.number_value = value
    elif isinstance(value, list):
        into.list_value.SetInParent()
        for item in value:
            _encode(item, into.list_value.values.add(), secrets)
    else:
        into.struct_value.SetInParent()
        for key, item in value.items():
            _encode(item, into.struct_value.fields[key], secrets)


# Property paths: `a.b[0]["c.d"]`, with `*` for every key or index.

Path = tuple[str | int, ...]
_PATH = re.compile(r'\.?([^.\[\]"]+)|\[(\d+)\]|\["((?:[^"\\]|\\.)*)"\]|\[(\*)\]')


def parse_path(text: str) -> Path:
    """Raises ValueError when the text is no property path."""
    parts: list[str | int] = []
    position = 0
    while position < len(text):
        match = _PATH.match(text, position)
        if match is None:
            raise ValueError(f"{text!r} is no property path")
        name, index, quoted, star = match.groups()
        parts.append(int(index) if index else name or star or quoted.replace('\\"', '"'))
        position = match.end()
    return tuple(parts)


def path_covers(pattern: Path, path: Path) -> bool:
    """Whether the path is the pattern's value or lies inside it."""
    return len(pattern) <= len(path) and all(p in ("*", q) for p, q in zip(pattern, path, strict=False))


def reset_path(old: Any, new: Any, path: Path) -> None:
    """Put back into `new` what `old` has at the path: set, or removed where `old` has nothing."""
    head, rest = path[0], path[1:]
    if isinstance(old, Secret) or isinstance(new, Secret):
        old = old.value if isinstance(old, Secret) else old
        new = new.value if isinstance(new, Secret) else new
    if isinstance(new, dict) and isinstance(old, dict):
        keys = list({**old, **new}) if head == "*" else [head]
        for key in keys:
            if rest and key in old and key in new:
                reset_path(old[key], new[key], rest)
            elif not rest and key in old:
                new[key] = old[key]
            elif not rest:
                new.pop(key, None)
    elif isinstance(new, list) and isinstance(old, list):
        indexes = range(min(len(old), len(new))) if head == "*" else [head]
        for index in indexes:
            if not isinstance(index, int) or index >= len(old) or index >= len(new):
                continue
            if rest:
                reset_path(old[index], new[index], rest)
            else:
                new[index] = old[index]


def copy(value: Any) -> Any:
    """A deep copy that keeps what secrets remember."""
    return rebuild(
        value, lambda leaf: Secret(copy(leaf.value), leaf.sealed) if isinstance(leaf, Secret) else leaf
    )


def ignore_changes(news: Properties, olds: Properties, paths: Sequence[str]) -> Properties:
    """The new inputs with the ignored paths as they were. A text that is no path is passed over."""
    if not paths:
        return news
    kept: Properties = copy(news)
    for text in paths:
        try:
            path = parse_path(text)
        except ValueError:
            continue
        if path:
            reset_path(olds, kept, path)
    return kept


Leaf = tuple[str, str, str]
"""(path, old, new) as text; an empty text stands for a value that is not there."""


def leaf_changes(old: Any, new: Any, path: str = "") -> Iterator[Leaf]:
    """What differs, leaf by leaf, with secrets and unknowns shown by name only."""
    if isinstance(old, Secret) or isinstance(new, Secret):
        if not equal(plain(old), plain(new)):
            yield path, "" if old is _GONE else "[secret]", "" if new is _GONE else "[secret]"
    elif isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            yield from leaf_changes(
                old.get(key, _GONE), new.get(key, _GONE), f"{path}.{key}" if path else key
            )
    elif isinstance(old, list) and isinstance(new, list):
        for index in range(max(len(old), len(new))):
            before = old[index] if index < len(old) else _GONE
            after = new[index] if index < len(new) else _GONE
            yield from leaf_changes(before, after, f"{path}[{index}]")
    elif not equal(old, new):
        yield path, _text(old), _text(new)


_GONE = object()


def _text(value: Any) -> str:
    if value is _GONE:
        return ""
    text = repr(masked(value)) if not isinstance(value, Unknown) else "[unknown]"
    return text if len(text) <= 120 else text[:117] + "..."
