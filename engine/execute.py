"""One run over one stack: registrations from the program become steps, leftovers are deleted at the end."""

import threading
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor

from engine import urn as urns
from engine.errors import EngineError
from engine.events import Event, Step
from engine.journal import Journal
from engine.plan import (
    Decision,
    Goal,
    Op,
    alias_urns,
    changed_by,
    compare,
    decide,
    dependents_to_replace,
    layers,
    leftovers,
    needed_by,
    with_replace_on_changes,
)
from engine.provider import Diff, Provider, Target
from engine.providers import Providers
from engine.state import Resource
from engine.steps import Steps, Stopped
from engine.values import UNKNOWN, Properties, equal, ignore_changes, leaf_changes


class Deployment:
    """Registrations block, a thread each. In a preview nothing is written and no provider makes anything."""

    def __init__(
        self,
        *,
        stack: str,
        project: str,
        states: Sequence[Resource],
        journal: Journal,
        providers: Providers,
        emit: Callable[[Event], None],
        parallel: int,
        preview: bool,
    ) -> None:
        self.stack, self.project, self.preview = stack, project, preview
        self.steps = Steps(providers, states, journal, emit, parallel, preview)
        self.verdict = self.steps.verdict
        self._providers, self._journal, self._parallel = providers, journal, parallel
        self._states = states
        self._olds = {state.urn: state for state in states if not state.delete}
        self._lock = threading.RLock()
        self._claimed: dict[str, str] = {}
        """Every URN that the program has named, former ones included, and the present URN it stands for."""
        self._former: dict[str, str] = {}
        self._registered: set[str] = set()
        self._news: dict[str, Resource] = {}
        self._replaced: set[str] = set()

    def register(self, goal: Goal) -> Resource:
        """Bring one resource to what the program wants. Raises Stopped after any failure, which is shown."""
        self._go_on()
        urn = urns.make(self.stack, self.project, goal.parent, goal.type, goal.name)
        try:
            new = self._register(goal, urn)
        except EngineError as error:
            raise self.steps.fail(urn, str(error)) from None
        except NotImplementedError:
            raise self.steps.fail(urn, "its provider lacks a method that every provider must have") from None
        self._news[urn] = new
        return new

    def cancel(self) -> None:
        """Start nothing new; what is under way goes on."""
        self.verdict.cancelled = True

    def knows(self, urn: str) -> bool:
        return urn in self._news

    def _go_on(self) -> None:
        if self.verdict.cancelled or self.verdict.failed:
            raise Stopped

    def _register(self, goal: Goal, urn: str) -> Resource:
        old, alias = self._claim(goal, urn)
        provider = self._provider(goal)
        recreating = old is not None and old.urn in self.steps.deleted
        news, olds, diff = goal.inputs, None, Diff(False)
        if old is not None and not recreating:
            news, olds = ignore_changes(news, old.inputs, goal.ignore_changes), old.inputs
        if provider:
            news = _check(provider, urn, olds, news)
        if old is not None and not recreating:
            diff = self._diff(provider, goal, urn, old, news)
        decision, doomed = self._decide(goal, urn, old, diff)
        if decision.op is Op.REPLACE and provider and not recreating:
            news = _check(provider, urn, None, goal.inputs)
        if old is not None and equal(news, old.inputs):
            news = old.inputs  # the very same secrets, so that they are written as they were
        new = goal.state(urn, news, old)
        self._apply(decision, provider, old, new, alias, doomed)
        return new

    def _claim(self, goal: Goal, urn: str) -> tuple[Resource | None, str]:
        """The old state under this URN or a former one, and that former URN."""
        with self._lock:
            if urn in self._claimed:
                other = self._claimed[urn]
                raise EngineError(
                    f"duplicate resource {urn}: choose another name for one of the two"
                    if other == urn
                    else f"{urn} is already taken over, as an alias, by {other}"
                )
            self._claimed[urn] = urn
            if urn in self._olds:
                return self._olds[urn], ""
            for former in alias_urns(goal, self.stack, self.project, self._former):
                if former in self._olds:
                    if former in self._claimed:
                        raise EngineError(f"{urn}: its alias {former} belongs to {self._claimed[former]}")
                    self._claimed[former] = urn
                    self._former[urn] = former
                    return self._olds[former], former
            return None, ""

    def _provider(self, goal: Goal) -> Provider | None:
        if not goal.custom:
            return None
        return self._providers if urns.is_provider(goal.type) else self._providers.get(goal.provider)

    def _diff(self, provider: Provider | None, goal: Goal, urn: str, old: Resource, news: Properties) -> Diff:
        if provider is None:
            return compare(old.inputs, news)
        if goal.deleted_with in self._replaced:
            return Diff(True, replaces=("deletedWith",))
        if self._moved(old.provider, goal.provider):
            return Diff(True, replaces=("provider",))
        return _judge(provider, Target(urn, old.id), old, news, goal.ignore_changes)

    def _moved(self, before: str, after: str) -> bool:
        """Whether another provider means another resource: the new provider says."""
        if before == after or not before or not after:
            return before != after
        urn, new = urns.split_reference(before)[0], urns.split_reference(after)[0]
        renamed = urn != new and self._claimed.get(urn) == new
        if renamed or urn not in self._olds:
            return False
        old = self._olds[urn]
        return self._providers.diff_config(after, old.inputs, old.outputs).replace

    def _decide(
        self, goal: Goal, urn: str, old: Resource | None, diff: Diff
    ) -> tuple[Decision, Sequence[Resource]]:
        """The decision, and what must be deleted before it is carried out. One registration at a time."""
        with self._lock:
            self._go_on()
            decision = decide(goal, old, diff, old is not None and old.urn in self.steps.deleted)
            doomed: Sequence[Resource] = ()
            if decision.op is Op.REPLACE and old is not None:
                self._replaced.add(urn)
                if decision.delete_first:
                    doomed = [old, *self._dependents(old)]
                    self.steps.deleted.update(state.urn for state in doomed)
            self._registered.update({urn} | ({old.urn} if old else set()))
            return decision, doomed

    def _dependents(self, root: Resource) -> list[Resource]:
        """What must be deleted before `root` is; raises EngineError if any of it is protected."""

        def replaced_too(state: Resource, replaced: Collection[str]) -> bool:
            keys = changed_by(state, replaced)
            if not keys:
                return False
            unknown = {key: UNKNOWN if key in keys else value for key, value in state.inputs.items()}
            provider = self.steps.old_provider(state)
            diff = _judge(provider, Target(state.urn, state.id), state, unknown, state.ignore_changes)
            return with_replace_on_changes(diff, state.replace_on_changes).replace

        states = dependents_to_replace(root, self._states, self._registered, replaced_too)
        for state in states:
            if state.protect:
                raise EngineError(
                    f"unable to replace {root.urn}: {state.urn} would be replaced with it and is protected; "
                    "remove `protect` in the program and run `up` first"
                )
        return states

    def _apply(
        self,
        decision: Decision,
        provider: Provider | None,
        old: Resource | None,
        new: Resource,
        alias: str,
        doomed: Sequence[Resource],
    ) -> None:
        if decision.op is Op.SAME and old is not None:
            self.steps.same(old, new, alias)
            return
        leaves = tuple(leaf_changes(old.inputs if old else {}, new.inputs)) if new.custom else ()
        for state in reversed(doomed):
            if not state.pending_replacement:
                self.steps.delete_for_replacement(state)
        with self.steps.running(Step(decision.op, new.urn, decision.diff.keys, leaves), new):
            if decision.op is Op.UPDATE and old is not None:
                self.steps.update(provider, old, new, alias)
            else:
                self.steps.create(provider, old, new, alias)

    def set_outputs(self, urn: str, outputs: Properties) -> None:
        """A component's outputs, or the stack's; after a failure they are laid over the old ones."""
        new, old = self._news.get(urn), self._olds.get(urn)
        if new is None:
            raise EngineError(f"outputs of {urn}, which is not registered")
        before = old.outputs if old else {}
        new.outputs = {**before, **outputs} if self.verdict.failed else outputs
        if not equal(before, new.outputs):
            self._journal.save()

    def delete_leftovers(self) -> None:
        """Delete what the program no longer has, those that depend on others first. Shows what fails."""
        try:
            doomed = leftovers(self._states, self._claimed)
        except EngineError as error:
            self.steps.fail("", str(error))
            return
        self.steps.deleted.update(state.urn for state in doomed)
        spared: set[str] = set()
        with ThreadPoolExecutor(self._parallel) as pool:
            for layer in layers(doomed):
                chosen = [state for state in layer if state.urn not in spared]
                for state, ok in zip(chosen, pool.map(self.steps.remove, chosen), strict=True):
                    if not ok:
                        spared |= needed_by(state, self._states)


def _check(provider: Provider, urn: str, olds: Properties | None, news: Properties) -> Properties:
    checked = provider.check(Target(urn), olds, news)
    if checked.failures:
        raise EngineError(
            "\n".join(
                f"property {name} has a problem: {reason}" if name else reason
                for name, reason in checked.failures
            )
        )
    return checked.inputs


def _judge(
    provider: Provider, target: Target, old: Resource, news: Properties, ignored: Sequence[str]
) -> Diff:
    diff = provider.diff(target, old.inputs, old.outputs, news, ignored)
    return compare(old.inputs, news) if diff.changes is None else diff
