"""What a run has done so far, turned into a whole state after every step."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace

from engine import urn as urns
from engine.state import Pending, Resource, Snapshot


class Journal:
    """New states come first, in the order of completion, then the old ones that nothing has touched yet.

    `write` gets the whole snapshot; it is called under the journal's lock, so writes never overlap.
    """

    def __init__(self, base: Snapshot, write: Callable[[Snapshot], None]) -> None:
        self._base = base
        self._write = write
        self._lock = threading.Lock()
        self._new: list[Resource] = []
        self._done: set[Resource] = set()
        self._pending: list[Pending] = []
        self._kept = [pending for pending in base.pending if pending.type == "creating"]
        self._renames: dict[str, str] = {}
        self.changed = False

    def begin(self, state: Resource, operation: str) -> None:
        with self._lock:
            self._pending.append(Pending(state, operation))
            self._save()

    def end(
        self,
        begun: Resource | None,
        *,
        new: Resource | None = None,
        done: Sequence[Resource | None] = (),
        alias: str = "",
        write: bool = True,
    ) -> None:
        """Close `begun`, add the state `new`, forget the old states `done`; `alias` is new's former URN."""
        with self._lock:
            self._pending = [pending for pending in self._pending if pending.resource is not begun]
            self._done.update(state for state in done if state is not None)
            if new is not None:
                self._new.append(new)
                if alias and alias != new.urn:
                    self._renames[alias] = new.urn
            if write:
                self._save()

    def save(self) -> None:
        with self._lock:
            self._save()

    def finish(self) -> None:
        """Drop the creations that an earlier run left unfinished and this one has made good."""
        with self._lock:
            existing = {state.urn for state in self._states()}
            kept = [pending for pending in self._kept if pending.resource.urn not in existing]
            dropped = len(self._base.pending) != len(kept)
            self._kept = kept
            if dropped:
                self._save()

    def _save(self) -> None:
        self.changed = True
        self._write(self._snapshot())

    def _states(self) -> list[Resource]:
        states = [state for state in self._new if state not in self._done]
        return states + [state for state in self._base.resources if state not in self._done]

    def _snapshot(self) -> Snapshot:
        states = renamed(self._states(), self._renames) if self._renames else self._states()
        return replace(self._base, resources=tuple(states), pending=(*self._pending, *self._kept))


def renamed(states: Sequence[Resource], renames: dict[str, str]) -> list[Resource]:
    """References follow an alias at once; so do the URNs of children, which carry their parent's type."""
    names = dict(renames)
    result = []
    for state in states:
        old_parent, state_ = state.parent, state.rewired(names)
        if state_.parent != old_parent and urns.qualified_type(state_.urn).startswith(
            before := urns.qualified_type(old_parent) + "$"
        ):
            tail = urns.qualified_type(state_.urn).removeprefix(before)
            urn = urns.with_type(state_.urn, f"{urns.qualified_type(state_.parent)}${tail}")
            if urn != state_.urn:
                names[state_.urn] = urn
                state_ = replace(state_, urn=urn)
        result.append(state_)
    return result
