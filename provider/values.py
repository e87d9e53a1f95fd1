"""Wire values (protobuf structs) to plain Python and back, remembering which paths are secret."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from google.protobuf.struct_pb2 import ListValue, NullValue, Struct, Value

from provider.errors import UserError
from provider.resources.base import UNKNOWN, Properties

SIGNATURE = "4dabf18193072939515e22adb298388d"
SECRET = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105 - Pulumi's wire marker, not a secret
OUTPUT = "d0e6a833031e9bbcd3f4e8bde6ca49a4"
RESOURCE = "5cf8f73096256a8f31e491e813e4eb8e"

UNKNOWNS = frozenset(
    {
        UNKNOWN,
        "1c4a061d-8072-4f0a-a4cb-0ff528b18fe7",
        "3eeb2bf0-c639-47a8-9e75-3b44932eb421",
        "6a19a0b0-7e62-4c92-b797-7f8e31da9cc2",
        "030794c1-ac77-496b-92df-f27374a8bd58",
        "e48ece36-62e2-4504-bad9-02848725956a",
        "dd056dcd-154b-4c76-9bd3-c8f88648b5ff",
    }
)
"""Pulumi has one sentinel for each kind of value; handlers meet only UNKNOWN."""

Marks: TypeAlias = "bool | dict[str | int, Marks]"
"""What of a value is secret: all (True), nothing (False), or some of its keys or indexes."""

SHORTEST_SECRET = 8
"""Shorter secrets are not looked for inside other texts: they would be found everywhere."""


def decode(struct: Struct) -> tuple[Properties, Marks]:
    """Plain properties and their secret marks. UserError: an asset or archive, which no type takes."""
    return _decode_mapping(struct.fields)


def _decode_mapping(fields: Mapping[str, Value]) -> tuple[dict[str, Any], Marks]:
    decoded = {key: _decode(value) for key, value in fields.items()}
    return {key: plain for key, (plain, _) in decoded.items()}, _partly(
        {key: marks for key, (_, marks) in decoded.items()}
    )


def _decode(value: Value) -> tuple[Any, Marks]:
    match value.WhichOneof("kind"):
        case "number_value":
            number = value.number_value
            return (int(number) if number.is_integer() else number), False
        case "string_value":
            text = value.string_value
            return (UNKNOWN if text in UNKNOWNS else text), False
        case "bool_value":
            return value.bool_value, False
        case "list_value":
            items = [_decode(item) for item in value.list_value.values]
            return [plain for plain, _ in items], _partly({i: marks for i, (_, marks) in enumerate(items)})
        case "struct_value":
            return _decode_struct(value.struct_value.fields)
    return None, False


def _decode_struct(fields: Mapping[str, Value]) -> tuple[Any, Marks]:
    signature = fields[SIGNATURE].string_value if SIGNATURE in fields else ""
    if not signature:
        return _decode_mapping(fields)
    if signature == SECRET:
        return _decode(fields["value"])[0], True
    if signature == OUTPUT:
        plain, marks = _decode(fields["value"]) if "value" in fields else (UNKNOWN, False)
        return plain, ("secret" in fields and fields["secret"].bool_value) or marks
    if signature == RESOURCE:
        return (_decode(fields["id"])[0] or UNKNOWN) if "id" in fields else fields["urn"].string_value, False
    raise UserError("assets and archives are not taken by this provider; pass a path as text")


def encode(values: Mapping[str, Any], marks: Marks = False) -> Struct:
    """The wire form of plain properties. TypeError: a value that is no JSON value."""
    return Struct(fields={key: _encode(value, _below(marks, key)) for key, value in values.items()})


def _encode(value: Any, marks: Marks) -> Value:
    if marks is True:
        fields = {SIGNATURE: Value(string_value=SECRET), "value": _encode(value, False)}
        return Value(struct_value=Struct(fields=fields))
    if value is None:
        return Value(null_value=NullValue.NULL_VALUE)
    if isinstance(value, bool):
        return Value(bool_value=value)
    if isinstance(value, int | float):
        return Value(number_value=float(value))
    if isinstance(value, str):
        return Value(string_value=value)
    if isinstance(value, Mapping):
        return Value(struct_value=encode(value, marks))
    if isinstance(value, Sequence) and not isinstance(value, bytes):
        items = [_encode(item, _below(marks, index)) for index, item in enumerate(value)]
        return Value(list_value=ListValue(values=items))
    raise TypeError(f"a property cannot hold a {type(value).__name__}")


def _below(marks: Marks, key: str | int) -> Marks:
    return marks if isinstance(marks, bool) else marks.get(key, False)


def _partly(marks: Mapping[str | int, Marks] | Mapping[str, Marks] | Mapping[int, Marks]) -> Marks:
    return {key: mark for key, mark in marks.items() if mark} or False


def union(first: Marks, second: Marks) -> Marks:
    """Secret in either."""
    if isinstance(first, bool) or isinstance(second, bool):
        return first is True or second is True or first or second
    return {key: union(_below(first, key), _below(second, key)) for key in first.keys() | second.keys()}


def carry(new: Any, old: Any, marks: Marks) -> Marks:
    """Marks for `new`, where `old` had `marks`. In doubt (a list was reordered) more is secret, not less."""
    if isinstance(marks, bool):
        return marks
    if isinstance(new, Mapping) and isinstance(old, Mapping):
        return _partly({key: carry(new[key], old[key], _below(marks, key)) for key in new if key in old})
    if isinstance(new, list) and isinstance(old, list):
        return _partly({index: _carry_item(item, index, old, marks) for index, item in enumerate(new)})
    return True


def _carry_item(item: Any, index: int, old: list[Any], marks: dict[str | int, Marks]) -> Marks:
    if index < len(old) and item == old[index]:
        return _below(marks, index)
    anywhere: Marks = False
    for mark in marks.values():
        anywhere = union(anywhere, mark)
    return carry(item, item, anywhere)


def only(marks: Marks, keys: Iterable[str]) -> Marks:
    """The marks of these top-level keys alone."""
    return _partly({key: _below(marks, key) for key in keys})


def secret_texts(value: Any, marks: Marks) -> frozenset[str]:
    """Every text under a secret mark that is long enough to be told from others."""
    if marks is True:
        return frozenset(text for text in _texts(value) if len(text) >= SHORTEST_SECRET and text != UNKNOWN)
    if marks is False:
        return frozenset()
    return frozenset().union(*(secret_texts(value[key], mark) for key, mark in marks.items()))


def _texts(value: Any) -> Iterable[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)


def containing(values: Mapping[str, Any], secrets: frozenset[str]) -> Marks:
    """Marks of the properties that quote one of the secrets."""
    return {key: True for key, value in values.items() if _quotes(value, secrets)} or False


def _quotes(value: Any, secrets: frozenset[str]) -> bool:
    return any(secret in text for text in _texts(value) for secret in secrets)
