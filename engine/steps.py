"""Carrying out single steps: the provider's call between two entries in the journal."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from engine import urn as urns
from engine.backend import now
from engine.errors import EngineError
from engine.events import Done, Event, Failed, Step
from engine.journal import Journal
from engine.plan import Op, must_write
from engine.provider import HalfMade, Provider, Target
from engine.providers import Providers
from engine.state import Resource
from engine.values import Secret, is_secret, remarked


class Stopped(Exception):
    """Raised into the program's registrations after a failure or an interruption: nothing new may start."""


@dataclass
class Verdict:
    """What a run did, and whether it may go on. `failed` holds for anything that the user must mend."""

    changes: Counter[str] = field(default_factory=Counter)
    failed: bool = False
    cancelled: bool = False


class Steps:
    """Every step takes one of the `parallel` slots, is shown, counted, and journalled before and after."""

    def __init__(
        self,
        providers: Providers,
        states: Sequence[Resource],
        journal: Journal,
        emit: Callable[[Event], None],
        parallel: int,
        preview: bool,
    ) -> None:
        self.verdict = Verdict()
        self.preview = preview
        self.deleted: set[str] = set()
        """URNs whose old state goes in this run: what is deleted with them needs no call of its own."""
        self._providers, self._states = providers, states
        self._journal, self._emit = journal, emit
        self._slots = threading.Semaphore(parallel)
        self._lock = threading.Lock()

    def fail(self, urn: str, message: str, step: Step | None = None, seconds: float = 0.0) -> Stopped:
        """Record a failure; the caller raises what this returns."""
        self.verdict.failed = True
        self._emit(Failed(urn, message, step, seconds))
        return Stopped()

    @contextmanager
    def running(
        self, step: Step, state: Resource, count: bool = True, anyway: bool = False
    ) -> Iterator[None]:
        """One step. `anyway`: also after another step has failed. Raises Stopped instead of EngineError."""
        with self._slots:
            if self.verdict.cancelled or (self.verdict.failed and not anyway):
                raise Stopped
            begun = time.monotonic()
            quiet = _is_default_provider(state)
            if not quiet:
                self._emit(step)
            try:
                yield
            except (EngineError, HalfMade) as error:
                raise self.fail(step.urn, str(error), step, time.monotonic() - begun) from None
            if count:
                self.count(step.op, state)
            if not quiet:
                self._emit(Done(step, time.monotonic() - begun, self.preview))

    def count(self, op: Op, state: Resource) -> None:
        if not _is_default_provider(state):
            with self._lock:
                self.verdict.changes[op] += 1

    def same(self, old: Resource, new: Resource, alias: str) -> None:
        new.id, new.outputs = old.id, old.outputs
        if urns.is_provider(new.type):
            self._providers.ensure(new.urn, new.id, old.inputs)
            new.inputs = old.inputs
        _secure(new)
        self.count(Op.SAME, new)
        self._journal.end(None, new=new, done=[old], alias=alias, write=must_write(old, new))

    def create(self, provider: Provider | None, old: Resource | None, new: Resource, alias: str) -> None:
        """`old` is what the new one replaces: already deleted, or from now on to be deleted."""
        with self._journalled(new, "creating", new, alias) as done:
            try:
                if provider:
                    target = Target(new.urn, timeout=new.custom_timeouts.get("create", 0))
                    new.id, new.outputs = provider.create(target, new.inputs, self.preview)
            except HalfMade as error:
                new.id, new.created = error.identifier, now()
                self._supersede(old, done)
                raise
            new.created = now()
            self._supersede(old, done)

    def _supersede(self, old: Resource | None, done: list[Resource]) -> None:
        if old is None:
            return
        if old.pending_replacement or old.urn in self.deleted:
            done.append(old)
        else:
            old.delete = True

    def update(self, provider: Provider | None, old: Resource, new: Resource, alias: str) -> None:
        new.id = old.id
        with self._journalled(new, "updating", new, alias) as done:
            done.append(old)
            if provider:
                target = Target(new.urn, new.id, new.custom_timeouts.get("update", 0))
                try:
                    new.outputs = provider.update(
                        target, old.inputs, old.outputs, new.inputs, new.ignore_changes, self.preview
                    )
                except HalfMade:
                    new.inputs = old.inputs  # so that the next run sees the same difference again
                    raise

    @contextmanager
    def _journalled(
        self, begun: Resource, operation: str, new: Resource | None, alias: str = ""
    ) -> Iterator[list[Resource]]:
        """The journal's entries around one call; what is put into the list has then had its day."""
        done: list[Resource] = []
        self._journal.begin(begun, operation)
        try:
            yield done
        except HalfMade as error:
            if new is not None:
                new.outputs, new.init_errors, new.modified = error.outputs, error.reasons, now()
                _secure(new)
            self._journal.end(begun, new=new, done=done, alias=alias)
            raise
        except BaseException:
            self._journal.end(begun)
            raise
        if new is not None:
            new.modified = now()
            _secure(new)
        self._journal.end(begun, new=new, done=done, alias=alias)

    def delete_for_replacement(self, old: Resource) -> None:
        """The state stays, marked, until its successor is made, so that a later run can mend a failure."""
        with self.running(Step(Op.DELETE, old.urn, replaced=True), old, count=False):
            if not self.preview:
                with self._journalled(old, "deleting", None):
                    self._call_delete(old)
                    old.pending_replacement = True

    def remove(self, old: Resource) -> bool:
        """Delete for good; whether it went well."""
        if old.pending_replacement:
            self._journal.end(None, done=[old])
            return True
        try:
            step = Step(Op.DELETE, old.urn, replaced=old.delete)
            with (
                self.running(step, old, count=not old.delete, anyway=True),
                self._journalled(old, "deleting", None) as done,
            ):
                if not self.preview:
                    self._call_delete(old)
                done.append(old)
        except Stopped:
            return False
        return True

    def _call_delete(self, old: Resource) -> None:
        if not old.custom or urns.is_provider(old.type) or old.retain_on_delete:
            return
        if old.deleted_with in self.deleted:
            return
        target = Target(old.urn, old.id, old.custom_timeouts.get("delete", 0))
        self.old_provider(old).delete(target, old.inputs, old.outputs)

    def old_provider(self, state: Resource) -> Provider:
        """The provider that a state names, configured as it was then if the program does not register it."""
        if urns.is_provider(state.type):
            return self._providers
        if not self._providers.has(state.provider):
            urn, identifier = urns.split_reference(state.provider)
            before = next((s for s in self._states if s.urn == urn and s.id == identifier), None)
            if before is None:
                raise EngineError(f"the provider {state.provider} of {state.urn} is not in the state")
            self._providers.ensure(urn, identifier, before.inputs)
        return self._providers.get(state.provider)


def _is_default_provider(state: Resource) -> bool:
    """One that the program did not ask for: neither shown nor counted, as in the CLI."""
    return urns.is_provider(state.type) and not state.parent


def _secure(state: Resource) -> None:
    """Outputs named in additionalSecretOutputs, or like a secret input, are secret."""
    for key, value in state.outputs.items():
        wanted = key in state.additional_secret_outputs or is_secret(state.inputs.get(key))
        if wanted and not is_secret(value):
            state.outputs = {**state.outputs, key: Secret(value)}


def refreshed(old: Resource, provider: Provider) -> Resource | None:
    """The state after reading the real thing, None if that is gone; its ills are in `init_errors`."""
    target = Target(old.urn, old.id, old.custom_timeouts.get("read", 0))
    try:
        read = provider.read(target, old.inputs, old.outputs)
        new = replace(old, id=read.id, outputs=read.outputs, init_errors=())
        new.inputs = old.inputs if read.inputs is None else read.inputs
    except HalfMade as error:
        new = replace(old, id=error.identifier, outputs=error.outputs, init_errors=error.reasons)
        new.inputs = old.inputs if error.inputs is None else error.inputs
    if not new.id:
        return None
    # A provider that forgets the marks must not bring secrets into the state in the clear.
    new.inputs, new.outputs = remarked(new.inputs, old.inputs), remarked(new.outputs, old.outputs)
    _secure(new)
    if new.inputs != old.inputs or new.outputs != old.outputs:
        new.modified = now()
    return new
