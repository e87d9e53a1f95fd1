"""What every resource type implements, and what it is given to work with."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

Properties = dict[str, Any]
"""Plain Python values by snake_case name: no SDK wrappers, integral numbers as int, secrets unwrapped."""

UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
"""What an input holds at preview when it is an output of something not made yet (Pulumi's sentinel)."""


@dataclass(frozen=True)
class Context:
    """One call's surroundings.

    `old` are the inputs in the state, in `check` alone and empty for a resource that is not made yet.
    `progress` shows one short line beside the resource ("booting"); send changes only. `cancelled` is set
    when the user interrupts: long waits end with `errors.Cancelled`. `timeout` is seconds, 0 for unset.
    """

    stack: str
    name: str
    project: Path
    progress: Callable[[str], None]
    cancelled: threading.Event
    preview: bool = False
    timeout: float = 0.0
    old: Mapping[str, Any] = field(default_factory=dict)

    @property
    def stack_dir(self) -> Path:
        """Where everything of this stack that must not outlive it is kept."""
        return self.project / ".matrix" / self.stack


@dataclass(frozen=True)
class Created:
    """`outputs` are all properties besides the inputs; the server stores inputs | outputs."""

    identifier: str
    outputs: Properties = field(default_factory=dict)


@dataclass(frozen=True)
class Found:
    """What is really there: `inputs` as they would have to be written to get it, and the outputs."""

    inputs: Properties
    outputs: Properties = field(default_factory=dict)


@dataclass(frozen=True)
class Failure:
    """One wrong input, found at preview. The reason names the field: "memory: got 5; need …; try …"."""

    reason: str


class Resource:
    """A resource type. Handlers hold no state: all they know is in the context, inputs and outputs.

    Methods run in worker threads, many at a time, and block. Every one may be called again after a crash
    in the middle: `create` adopts or removes a leftover of the same resource, `delete` succeeds when
    there is nothing to delete, `update` means "make it so" (it also finishes a half-made resource).
    """

    TYPE: ClassVar[str]
    REPLACES: ClassVar[frozenset[str]] = frozenset()
    """Inputs whose change makes a new resource."""
    IGNORED: ClassVar[frozenset[str]] = frozenset()
    """Inputs whose change is no change: they are ways to reach the thing, not part of it."""
    DELETE_FIRST: ClassVar[bool] = False
    """True for what has a fixed name: the old one must go before the new one is made."""
    SECRETS: ClassVar[frozenset[str]] = frozenset()
    """Outputs that are always secret (secret inputs stay secret by themselves)."""

    def check(self, context: Context, inputs: Properties) -> tuple[Properties, list[Failure]]:
        """Complete and judge the inputs, with no effect on anything. May meet UNKNOWN at any depth."""
        del context
        return inputs, []

    def preview(self, context: Context, inputs: Properties) -> Properties:
        """Outputs that are known before the resource is made; the rest is unknown to dependents."""
        del context, inputs
        return {}

    def create(self, context: Context, inputs: Properties) -> Created:
        raise NotImplementedError

    def read(self, context: Context, identifier: str, inputs: Properties, state: Properties) -> Found | None:
        """What exists under this id, or None. On import `inputs` and `state` are empty."""
        raise NotImplementedError

    def update(self, context: Context, identifier: str, old: Properties, new: Properties) -> Properties:
        """Make the existing resource agree with `new`; `old` is the whole old state. Returns outputs."""
        raise NotImplementedError

    def delete(self, context: Context, identifier: str, state: Properties) -> None:
        raise NotImplementedError

    def drifted(self, context: Context, identifier: str, old: Properties) -> Properties:
        """Inputs that are not any more as `old` says and that an `up` mends without a refresh before it.

        Asked at every preview and up: only what is seen at a glance on this computer.
        """
        del context, identifier, old
        return {}

    def replaced_by(self, old: Mapping[str, Any], new: Mapping[str, Any]) -> frozenset[str]:
        """Which of the changed inputs need a new resource; the default is REPLACES."""
        return frozenset(key for key in self.REPLACES if old.get(key) != new.get(key))
