"""Plain Python to the wire and back by the SDK's own classes, so that our encoder is not its own judge."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from google.protobuf.struct_pb2 import Struct
from pulumi.provider.experimental.property_value import PropertyValue


@dataclass(frozen=True)
class Secret:
    """A value that is secret on the wire."""

    value: Any


def to_wire(values: Mapping[str, Any]) -> Struct:
    return PropertyValue.marshal_map({key: _wrap(value) for key, value in values.items()})


def from_wire(struct: Struct) -> dict[str, Any]:
    return {key: _unwrap(value) for key, value in PropertyValue.unmarshal_map(struct).items()}


def revealed(value: Any) -> Any:
    """The same without the marks."""
    if isinstance(value, Secret):
        return revealed(value.value)
    if isinstance(value, Mapping):
        return {key: revealed(item) for key, item in value.items()}
    if isinstance(value, list):
        return [revealed(item) for item in value]
    return value


def _wrap(value: Any) -> PropertyValue:
    if isinstance(value, Secret):
        return _wrap(value.value).with_secret(True)
    if isinstance(value, int) and not isinstance(value, bool):
        return PropertyValue(float(value))
    if isinstance(value, Mapping):
        return PropertyValue({key: _wrap(item) for key, item in value.items()})
    if isinstance(value, Sequence) and not isinstance(value, str):
        return PropertyValue([_wrap(item) for item in value])
    return PropertyValue(value)


def _unwrap(value: PropertyValue) -> Any:
    plain = value.value
    if isinstance(plain, Mapping):
        plain = {key: _unwrap(item) for key, item in plain.items()}
    elif isinstance(plain, Sequence) and not isinstance(plain, str):
        plain = [_unwrap(item) for item in plain]
    return Secret(plain) if value.is_secret else plain
