"""What an engine can do: the user's `pulumi` and the embedded engine are used the same way."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol


@dataclass(frozen=True)
class Run:
    """One run of an engine. `ask` shows a preview and asks before anything is touched."""

    root: Path
    stack: str
    ask: bool = False
    diff: bool = False
    parallel: int = 16


class Engine(Protocol):
    """Operations show their own progress; they answer whether all went well."""

    @property
    def line(self) -> str:
        """What is used and why, for the user."""
        ...

    def preview(self, run: Run) -> bool: ...

    def up(self, run: Run) -> bool: ...

    def refresh(self, run: Run) -> bool: ...

    def destroy(self, run: Run) -> bool: ...

    def outputs(self, root: Path, stack: str, *, show_secrets: bool) -> Mapping[str, Any]:
        """The stack's outputs; {} for a stack that is not up."""
        ...
