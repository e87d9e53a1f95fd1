"""What the engine asks of a provider, whichever way it is reached: plain values in, plain values out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from engine.errors import EngineError
from engine.values import Properties


class ProviderError(EngineError):
    """A provider's own refusal or failure: the text is for the user."""


class HalfMade(Exception):
    """The thing exists but is not usable yet: its id and properties are kept, the run has failed."""

    def __init__(
        self, identifier: str, outputs: Properties, inputs: Properties | None, reasons: Sequence[str]
    ) -> None:
        super().__init__("\n".join(reasons))
        self.identifier, self.outputs, self.inputs = identifier, outputs, inputs
        self.reasons = tuple(reasons)


@dataclass(frozen=True)
class Checked:
    """`failures` are (property, reason); the property may be empty."""

    inputs: Properties
    failures: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Diff:
    """`changes` is None when the provider leaves the comparison to the engine.

    `detailed` maps a property path to add, delete or update, with `-replace` where it forces a new resource.
    """

    changes: bool | None
    replaces: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    delete_first: bool = False
    detailed: Mapping[str, str] = field(default_factory=dict)

    @property
    def replace(self) -> bool:
        return bool(self.replaces) or any(kind.endswith("-replace") for kind in self.detailed.values())

    @property
    def keys(self) -> tuple[str, ...]:
        """What changed, for display."""
        return tuple(self.detailed) or self.changed or self.replaces


@dataclass(frozen=True)
class Target:
    """The resource that a call is about. `timeout` is seconds, 0 for the provider's own."""

    urn: str
    id: str = ""
    timeout: float = 0.0


@dataclass(frozen=True)
class Read:
    """What was found: an empty id means nothing, None inputs mean that the provider does not say."""

    id: str
    outputs: Properties
    inputs: Properties | None


class Provider(Protocol):
    """Methods block and may be called from many threads. They raise ProviderError or HalfMade."""

    def check(self, target: Target, olds: Properties | None, news: Properties) -> Checked: ...
    def diff(
        self,
        target: Target,
        old_inputs: Properties,
        old_outputs: Properties,
        news: Properties,
        ignored: Sequence[str],
    ) -> Diff: ...
    def create(self, target: Target, inputs: Properties, preview: bool) -> tuple[str, Properties]: ...
    def read(self, target: Target, inputs: Properties, outputs: Properties) -> Read: ...
    def update(
        self,
        target: Target,
        old_inputs: Properties,
        old_outputs: Properties,
        news: Properties,
        ignored: Sequence[str],
        preview: bool,
    ) -> Properties: ...
    def delete(self, target: Target, inputs: Properties, outputs: Properties) -> None: ...


class ConfigurableProvider(Provider, Protocol):
    """A provider as it is loaded: configured once per provider resource."""

    def check_config(self, urn: str, olds: Properties, news: Properties) -> Checked: ...
    def diff_config(
        self, urn: str, old_inputs: Properties, old_outputs: Properties, news: Properties
    ) -> Diff: ...
    def configure(self, urn: str, identifier: str, inputs: Properties) -> None: ...
    def cancel(self) -> None: ...
    def close(self) -> None: ...
