"""What has to happen, decided from states and differences alone: no I/O, no clock."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from engine import urn as urns
from engine.errors import EngineError
from engine.provider import Diff
from engine.state import Resource
from engine.values import Properties, equal, parse_path, path_covers, plain

NO_CHANGE = Diff(False)


class Op(StrEnum):
    SAME = "same"
    CREATE = "create"
    UPDATE = "update"
    REPLACE = "replace"
    DELETE = "delete"
    READ = "read"


@dataclass(frozen=True)
class Alias:
    """A former identity: a whole URN, or the parts that were different."""

    urn: str = ""
    name: str = ""
    type: str = ""
    stack: str = ""
    project: str = ""
    parent: str | None = None
    """None: the same parent as now; "": none."""


@dataclass(frozen=True)
class Goal:
    """A resource as the program wants it."""

    type: str
    name: str
    custom: bool
    inputs: Properties
    parent: str = ""
    provider: str = ""
    dependencies: tuple[str, ...] = ()
    property_dependencies: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    protect: bool | None = None
    retain_on_delete: bool | None = None
    deleted_with: str = ""
    delete_before_replace: bool | None = None
    ignore_changes: tuple[str, ...] = ()
    replace_on_changes: tuple[str, ...] = ()
    additional_secret_outputs: tuple[str, ...] = ()
    custom_timeouts: Mapping[str, int] = field(default_factory=dict)
    aliases: tuple[Alias, ...] = ()

    def provided_by(self, reference: str) -> "Goal":
        return replace(self, provider=reference)

    def inherit(self, parent: "Goal") -> "Goal":
        """Options that a child has from its parent."""
        return replace(
            self,
            protect=parent.protect if self.protect is None else self.protect,
            retain_on_delete=parent.retain_on_delete
            if self.retain_on_delete is None
            else self.retain_on_delete,
            deleted_with=self.deleted_with or parent.deleted_with,
        )

    def state(self, urn: str, inputs: Properties, old: Resource | None) -> Resource:
        """The state to be, without what only the provider can say."""
        return Resource(
            urn=urn,
            type=self.type,
            custom=self.custom,
            inputs=inputs,
            parent=self.parent,
            provider=self.provider,
            dependencies=tuple(sorted(set(self.dependencies))),
            property_dependencies={
                key: tuple(sorted(set(value))) for key, value in self.property_dependencies.items()
            },
            protect=bool(self.protect),
            retain_on_delete=bool(self.retain_on_delete),
            deleted_with=self.deleted_with,
            ignore_changes=self.ignore_changes,
            replace_on_changes=self.replace_on_changes,
            additional_secret_outputs=self.additional_secret_outputs,
            custom_timeouts=dict(self.custom_timeouts),
            created=old.created if old else "",
            modified=old.modified if old else "",
        )


@dataclass(frozen=True)
class Decision:
    """One registered resource's fate. `delete_first` belongs to a replacement."""

    op: Op
    delete_first: bool = False
    diff: Diff = NO_CHANGE


def decide(goal: Goal, old: Resource | None, diff: Diff, recreating: bool) -> Decision:
    """`recreating`: the old one was already deleted in this run, together with what it depends on.

    Raises EngineError for a protected resource that would have to be replaced.
    """
    if old is None:
        return Decision(Op.CREATE)
    if recreating:
        return Decision(Op.REPLACE, diff=diff)
    diff = with_replace_on_changes(diff, goal.replace_on_changes)
    if old.pending_replacement or (diff.changes and diff.replace):
        if goal.protect and old.protect:
            raise EngineError(
                f"unable to replace {old.urn}: it is protected; "
                "remove `protect` in the program and run `up` first"
            )
        first = diff.delete_first if goal.delete_before_replace is None else goal.delete_before_replace
        return Decision(Op.REPLACE, first, diff)
    if diff.changes or old.init_errors:
        return Decision(Op.UPDATE, diff=diff)
    return Decision(Op.SAME, diff=diff)


def with_replace_on_changes(diff: Diff, patterns: Sequence[str]) -> Diff:
    if not diff.changes or not patterns:
        return diff
    wanted = [parse_path(pattern) for pattern in patterns]

    def forced(path: str) -> bool:
        return any(path_covers(pattern, parse_path(path)) for pattern in wanted)

    detailed = {
        path: f"{kind.removesuffix('-replace')}-replace" if forced(path) else kind
        for path, kind in diff.detailed.items()
    }
    more = tuple(key for key in diff.changed if forced(key) and key not in diff.replaces)
    return replace(diff, detailed=detailed, replaces=diff.replaces + more)


def compare(old: Properties, new: Properties) -> Diff:
    """The difference of inputs, for components and for providers that leave it to the engine."""
    old, new = plain(old), plain(new)
    keys = tuple(key for key in sorted(old.keys() | new.keys()) if not _same(old, new, key))
    return Diff(bool(keys), changed=keys)


def _same(old: Properties, new: Properties, key: str) -> bool:
    return key in old and key in new and equal(old[key], new[key])


def must_write(old: Resource, new: Resource) -> bool:
    """Whether an unchanged resource's new state says something else than the old one."""
    return any(
        not equal(getattr(old, name), getattr(new, name))
        for name in (
            "urn",
            "type",
            "custom",
            "custom_timeouts",
            "retain_on_delete",
            "provider",
            "parent",
            "deleted_with",
            "protect",
            "inputs",
            "outputs",
            "additional_secret_outputs",
            "ignore_changes",
            "replace_on_changes",
        )
    ) or sorted(old.dependencies) != sorted(new.dependencies)


def alias_urns(goal: Goal, stack: str, project: str, renamed: Mapping[str, str]) -> list[str]:
    """Former URNs of the goal, in the order to try. `renamed`: present URN -> former one, of parents."""
    found = [_alias_urn(alias, goal, stack, project, renamed) for alias in goal.aliases]
    former = renamed.get(goal.parent)
    if former:
        names = [(goal.type, goal.name)] + [(urns.type_of(urn), urns.name_of(urn)) for urn in found]
        parent_name = urns.name_of(goal.parent)
        for type_, name in names:
            if name.startswith(parent_name):
                name = urns.name_of(former) + name.removeprefix(parent_name)
            found.append(urns.make(stack, project, former, type_, name))
    return list(dict.fromkeys(found))


def _alias_urn(alias: Alias, goal: Goal, stack: str, project: str, renamed: Mapping[str, str]) -> str:
    if alias.urn:
        return alias.urn
    parent = goal.parent if alias.parent is None else renamed.get(alias.parent, alias.parent)
    return urns.make(
        alias.stack or stack,
        alias.project or project,
        parent,
        alias.type or goal.type,
        alias.name or goal.name,
    )


def dependents_to_replace(
    root: Resource,
    states: Sequence[Resource],
    registered: Collection[str],
    needs_replacement: Callable[[Resource, Collection[str]], bool],
) -> list[Resource]:
    """Old states that must go before `root` can be deleted, those that depend on others last.

    Walks the dependents of the root in the state's order; what the program has registered already in this
    run cannot depend on it any more. `needs_replacement(state, replaced_urns)` asks the provider.
    """
    replaced = {root.urn}
    reached = {root.urn}
    result = []
    for state in states:
        if state is root or state.delete or state.urn in registered or reached.isdisjoint(state.references()):
            continue
        reached.add(state.urn)
        owners = {state.deleted_with, urns.split_reference(state.provider)[0]}
        if state.custom and (owners & replaced or needs_replacement(state, replaced)):
            replaced.add(state.urn)
            result.append(state)
    return result


def changed_by(state: Resource, replaced: Collection[str]) -> frozenset[str]:
    """The inputs that may change when the resources at these URNs are made anew."""
    return frozenset(
        key
        for key, urns_ in state.property_dependencies.items()
        if key in state.inputs and not set(replaced).isdisjoint(urns_)
    )


def leftovers(states: Sequence[Resource], claimed: Collection[str]) -> list[Resource]:
    """Everything to delete at the end: replaced, no longer in the program, or left by an earlier run.

    `claimed` are the URNs that the program named, former ones included. Raises EngineError, naming all of
    them, if something protected would be deleted.
    """
    doomed = [state for state in states if state.delete or state.urn not in claimed]
    protected = [state.urn for state in doomed if state.protect and not state.delete]
    if protected:
        raise EngineError(
            "unable to delete protected resources, so nothing was deleted; remove `protect` in the program "
            "and run `up` first:\n" + "\n".join(f"  {urn}" for urn in protected)
        )
    return doomed


def layers(doomed: Sequence[Resource]) -> list[list[Resource]]:
    """The states in the order to delete them: all of one layer may go at the same time."""
    level: dict[Resource, int] = {}
    by_urn: dict[str, list[Resource]] = {}
    for state in doomed:  # in the state's order what is referred to comes first
        below = [level[other] for urn in state.references() for other in by_urn.get(urn, ())]
        level[state] = 1 + max(below, default=-1)
        by_urn.setdefault(state.urn, []).append(state)
    result: list[list[Resource]] = [[] for _ in range(max(level.values(), default=-1) + 1)]
    for state in doomed:
        result[level[state]].append(state)
    return result[::-1]


def needed_by(state: Resource, states: Sequence[Resource]) -> set[str]:
    """URNs that the state refers to, directly or not."""
    by_urn = {other.urn: other for other in states}
    found: set[str] = set()
    todo = [state]
    while todo:
        for urn in todo.pop().references():
            if urn not in found and urn in by_urn:
                found.add(urn)
                todo.append(by_urn[urn])
    return found
