"""What the engine offers: up, preview, refresh, destroy, outputs and set_config."""

import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine import urn as urns
from engine.errors import EngineError
from engine.events import Diagnostic, Display, Done, Event, Failed, Step, Summary
from engine.plan import Op
from engine.reading import outputs, stack_outputs
from engine.setting import set_config
from engine.state import Pending, Resource, Snapshot
from engine.steps import Stopped, Verdict, refreshed
from engine.values import Leaf, leaf_changes

if TYPE_CHECKING:
    from engine.run import Session

__all__ = [
    "EngineError",
    "Options",
    "Outcome",
    "destroy",
    "outputs",
    "preview",
    "refresh",
    "set_config",
    "up",
]


@dataclass(frozen=True)
class Options:
    """`parallel` is how many steps run at a time."""

    project: Path
    stack: str
    display: Display
    parallel: int = 16


@dataclass(frozen=True)
class Outcome:
    """`changes` counts resources by op (create, update, replace, delete, same); secret outputs are masked."""

    changes: Mapping[str, int]
    outputs: Mapping[str, Any]
    seconds: float
    ok: bool


def up(options: Options) -> Outcome:
    """Make the stack what the program says. Raises EngineError when it could not even begin.

    A preview is run first, unseen: what it refuses is refused before anything is touched, and when it finds
    nothing to do there is nothing to do.
    """
    with _operation(options, "up") as run, run.session.locked(), run.session.plugins():
        session = run.session
        _warn_of_pending(session)
        seen: list[Event] = []
        shown, session.emit = session.emit, seen.append
        deployment, journal = session.run_program(preview=True)
        session.emit = shown
        idle = not journal.changed and not session.snapshot().pending
        if deployment.verdict.failed or deployment.verdict.cancelled or idle:
            for event in seen:
                if isinstance(event, Diagnostic | Failed):
                    session.emit(event)
            if not idle:
                deployment.verdict.changes.clear()  # of these, none came about
        else:
            deployment, _ = session.run_program(preview=False)
        run.verdict = deployment.verdict
    return run.outcome


def preview(options: Options) -> Outcome:
    """Show what `up` would do, and do nothing. Raises EngineError when it could not even begin."""
    with _operation(options, "preview") as run, run.session.plugins():
        deployment, _ = run.session.run_program(preview=True)
        run.verdict = deployment.verdict
    return run.outcome


def destroy(options: Options) -> Outcome:
    """Delete everything in the stack, without running the program. Raises EngineError like `up`."""
    with _operation(options, "destroy") as run, run.session.locked(), run.session.plugins():
        _warn_of_pending(run.session)
        deployment, journal = run.session.deploy(run.session.snapshot(), preview=False)
        deployment.delete_leftovers()
        if not deployment.verdict.failed:
            journal.finish()
        run.verdict = deployment.verdict
    return run.outcome


def refresh(options: Options) -> Outcome:
    """Make the state what is really there. Raises EngineError when it could not even begin."""
    with _operation(options, "refresh") as run, run.session.locked(), run.session.plugins():
        session = run.session
        before = session.snapshot()
        deployment, _ = session.deploy(before, preview=False)
        run.verdict = deployment.verdict

        def read(old: Resource) -> Resource | None:
            if not old.custom or urns.is_provider(old.type) or old.pending_replacement:
                return old
            try:
                return _read(session, deployment.steps, old)
            except Stopped:
                return old

        with ThreadPoolExecutor(options.parallel) as pool:
            found = list(pool.map(read, before.resources))
        if not run.verdict.cancelled:
            session.write(_rebuilt(before, found))
    return run.outcome


def _read(session: "Session", steps: Any, old: Resource) -> Resource | None:
    begun = time.monotonic()
    with steps.running(Step(Op.READ, old.urn), old, count=False, anyway=True):
        new = refreshed(old, steps.old_provider(old))
    leaves: tuple[Leaf, ...] = ()
    op = Op.DELETE
    if new is not None:
        leaves = (*leaf_changes(old.inputs, new.inputs), *leaf_changes(old.outputs, new.outputs))
        op = Op.UPDATE if leaves else Op.SAME
        if new.init_errors:
            text = "the resource is not well:\n" + "\n".join(f"* {reason}" for reason in new.init_errors)
            session.emit(Diagnostic("warning", text, old.urn))
    steps.count(op, old)
    if op is not Op.SAME:
        keys = tuple(dict.fromkeys(path for path, _, _ in leaves))
        session.emit(Done(Step(op, old.urn, keys, tuple(dict.fromkeys(leaves))), time.monotonic() - begun))
    return new


def _rebuilt(before: Snapshot, found: list[Resource | None]) -> Snapshot:
    """The state in its old order, without what is gone, nor references to it, nor operations it settles."""
    kept = [state for state in found if state is not None]
    gone = {state.urn for state in before.resources} - {state.urn for state in kept}
    parents = {state.urn: state.parent for state in before.resources}
    there = {state.urn for state in kept}
    pending = tuple(p for p in before.pending if p.type == "creating" and p.resource.urn not in there)
    return replace(before, resources=tuple(s.without(gone, parents) for s in kept), pending=pending)


def _warn_of_pending(session: "Session") -> None:
    pending: tuple[Pending, ...] = session.snapshot().pending
    if pending:
        lines = "\n".join(f"  {item.type} {item.resource.urn}" for item in pending)
        session.emit(
            Diagnostic("warning", f"an earlier run was cut off in {len(pending)} operations:\n{lines}")
        )


class _Run:
    """An operation from its first event to its summary."""

    def __init__(self, session: "Session", kind: str) -> None:
        self.session, self.kind = session, kind
        self.verdict = Verdict(failed=True)
        self._begun = time.monotonic()
        self.outcome = Outcome({}, {}, 0.0, False)

    def finish(self) -> None:
        verdict = self.verdict
        changes = {op.value: verdict.changes[op] for op in Op if op is not Op.READ}
        seconds = time.monotonic() - self._begun
        ok = not (verdict.failed or verdict.cancelled)
        shown = stack_outputs(self.session.snapshot().resources)
        self.outcome = Outcome(changes, shown, seconds, ok)
        self.session.emit(Summary(self.kind, changes, seconds, ok, shown))


@contextmanager
def _operation(options: Options, kind: str) -> Iterator[_Run]:
    from engine.run import Session, emitter  # noqa: PLC0415 - half a second that `outputs` does not need

    try:
        run = _Run(Session(options.project, options.stack, options.parallel, emitter(options.display)), kind)
        if kind == "destroy" and run.session.latest is None:
            raise EngineError(f"there is no stack {options.stack!r}; nothing to destroy")
        yield run
        run.finish()
    finally:
        with suppress(Exception):
            options.display.close()
