"""What a run tells the display: frozen facts, in the order in which they happen."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from engine import urn as urns
from engine.plan import Op
from engine.values import Leaf


@dataclass(frozen=True)
class Event:
    pass


@dataclass(frozen=True)
class Step(Event):
    """A change of one resource, begun. `leaves`: (path, old, new) as text, secrets only by name.

    `replaced` marks the deletion of what something else takes the place of.
    """

    op: Op
    urn: str
    keys: tuple[str, ...] = ()
    leaves: tuple[Leaf, ...] = ()
    replaced: bool = False

    @property
    def type(self) -> str:
        return urns.type_of(self.urn)

    @property
    def name(self) -> str:
        return urns.name_of(self.urn)


@dataclass(frozen=True)
class Progress(Event):
    """What the provider says it is doing now."""

    urn: str
    message: str


@dataclass(frozen=True)
class Done(Event):
    step: Step
    seconds: float
    preview: bool = False


@dataclass(frozen=True)
class Failed(Event):
    """`step` is None when the resource failed before it was known what to do with it."""

    urn: str
    message: str
    step: Step | None = None
    seconds: float = 0.0


@dataclass(frozen=True)
class Diagnostic(Event):
    """`severity` is debug, info, warning or error; `urn` is empty for the whole run."""

    severity: str
    message: str
    urn: str = ""


@dataclass(frozen=True)
class Summary(Event):
    """`kind` is up, preview, refresh or destroy; `changes` counts resources by op."""

    kind: str
    changes: Mapping[str, int]
    seconds: float
    ok: bool
    outputs: Mapping[str, Any] = field(default_factory=dict)


class Display(Protocol):
    """Called from many threads. What it raises is swallowed: showing must not break doing."""

    def show(self, event: Event) -> None: ...
    def close(self) -> None: ...
