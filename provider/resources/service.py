"""Service: files and a systemd unit on a host, written only where they differ."""

from collections.abc import Mapping, Sequence
from typing import Any

from provider import ssh
from provider.commands import service as scripts
from provider.errors import UserError
from provider.resources.base import UNKNOWN, Context, Created, Failure, Found, Properties, Resource

ACTIONS = ("restart", "reload", "none")


class ServiceResource(Resource):
    """The id is `host/name`; the resource's Pulumi name is its name on the host."""

    TYPE = "Service"
    REPLACES = frozenset({"host", "machine", "unit"})
    IGNORED = frozenset({"connection", "ready", "ready_timeout"})
    DELETE_FIRST = True

    def check(self, context: Context, inputs: Properties) -> tuple[Properties, list[Failure]]:
        inputs = {"running": True, **inputs}
        failures = []
        action = inputs.get("action", "restart")
        if action not in (*ACTIONS, UNKNOWN):
            failures.append(Failure(f'action: got "{action}"; need {", ".join(ACTIONS)}; try restart'))
        return inputs, failures

    def create(self, context: Context, inputs: Properties) -> Created:
        self._make_so(context, {}, inputs)
        return Created(f"{inputs['host']}/{context.name}")

    def update(self, context: Context, identifier: str, old: Properties, new: Properties) -> Properties:
        self._make_so(context, old, new)
        return {}

    def read(self, context: Context, identifier: str, inputs: Properties, state: Properties) -> Found | None:
        known = inputs or state
        if not known.get("connection"):
            raise UserError(
                f"Service {identifier} cannot be imported: its host is not known from the id\n"
                "declare it and run up; what is on the host already is taken over"
            )
        paths, unit = [file["path"] for file in known["files"]], known.get("unit")
        try:
            output = ssh.connect(known["connection"]).sudo(scripts.survey(paths, unit), timeout=120).stdout
        except ssh.Unreachable:
            context.progress("host not reachable; kept as recorded")
            return Found(known)
        there, active, _ = scripts.surveyed(output)
        if not there and not active:
            return None
        files = [_as_found(file, there[file["path"]]) for file in known["files"] if file["path"] in there]
        return Found({**known, "files": files, "running": active or not unit})

    def delete(self, context: Context, identifier: str, state: Properties) -> None:
        paths = [file["path"] for file in state["files"]]
        host = ssh.connect(state["connection"])
        host.sudo(scripts.remove(paths, state.get("unit")), timeout=120)

    def _make_so(self, context: Context, old: Properties, new: Properties) -> None:
        host, unit, files = ssh.connect(new["connection"]), new.get("unit"), new["files"]
        ready, seconds = new.get("ready"), int(new.get("ready_timeout", 120))
        kept = {file["path"] for file in files}
        gone = [file["path"] for file in old.get("files", []) if file["path"] not in kept]
        output = host.sudo(scripts.verify(files, unit, ready, seconds), timeout=seconds + 120).stdout
        there, active, settled = scripts.surveyed(output)
        if settled and not gone:
            return
        changed = [file for file in files if there.get(file["path"]) != scripts.wanted_state(file)]
        context.progress(f"writing {_count(changed)}" if changed else "starting")
        paths = [file["path"] for file in changed]
        lines = [scripts.apply(paths, gone, unit, new.get("action", "restart"), active)]
        lines += [scripts.await_ready(ready, unit, seconds)] if ready else []
        host.sudo("\n".join(lines), stdin=scripts.archive(changed), timeout=seconds + 300)


def _as_found(file: Mapping[str, Any], there: scripts.FileState) -> dict[str, Any]:
    """The file as the state would have to say it; foreign content is told by its digest, never copied."""
    found, wanted = dict(file), scripts.wanted_state(file)
    if there.digest != wanted.digest:
        found["content"] = f"(changed on the host; sha256 {there.digest})"
    if there.mode != wanted.mode:
        found["mode"] = f"0{there.mode}"
    if there.owner != wanted.owner:
        found["owner"] = there.owner
    return found


def _count(files: Sequence[object]) -> str:
    return f"{len(files)} file" + ("s" if len(files) != 1 else "")
