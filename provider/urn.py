"""Pulumi's names of resources: `urn:pulumi:STACK::PROJECT::PARENT$TYPE::NAME`."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Urn:
    stack: str
    type: str
    name: str


def parse(urn: str) -> Urn:
    """ValueError: not a URN."""
    parts = urn.removeprefix("urn:pulumi:").split("::", 3)
    if not urn.startswith("urn:pulumi:") or len(parts) != 4:
        raise ValueError(f"not a resource name: {urn!r}")
    stack, _, types, name = parts
    return Urn(stack, types.rsplit("$", 1)[-1], name)
