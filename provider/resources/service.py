"""Service: files and a systemd unit on a host, written only where they differ."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from provider import ssh
from provider.commands import service as scripts
from provider.errors import UserError
from provider.resources.base import UNKNOWN, Context, Created, Failure, Found, Properties, Resource

ACTIONS = ("restart", "reload", "none")


@dataclass(frozen=True)
class Survey:
    """What is on the host: (sha256, mode, owner) by path, and whether the unit runs."""

    files: Mapping[str, tuple[str, str, str]]
    active: bool


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
        try:
            there = _survey(ssh.connect(known["connection"]), known["files"], known.get("unit"))
        except ssh.Unreachable:
            context.progress("host not reachable; kept as recorded")
            return Found(known)
        if not there.files and not there.active:
            return None
        files = [_as_found(file, there) for file in known["files"] if file["path"] in there.files]
        running = there.active or not known.get("unit")
        return Found({**known, "files": files, "running": running})

    def delete(self, context: Context, identifier: str, state: Properties) -> None:
        paths = [file["path"] for file in state["files"]]
        host = ssh.connect(state["connection"])
        host.sudo(scripts.remove(paths, state.get("unit")), timeout=120)

    def _make_so(self, context: Context, old: Properties, new: Properties) -> None:
        host, unit = ssh.connect(new["connection"]), new.get("unit")
        there = _survey(host, new["files"], unit)
        changed = [file for file in new["files"] if _differs(file, there)]
        kept = {file["path"] for file in new["files"]}
        gone = [file["path"] for file in old.get("files", []) if file["path"] not in kept]
        if changed or gone or (unit and not there.active):
            context.progress(f"writing {_count(changed)}" if changed else "starting")
            paths = [file["path"] for file in changed]
            script = scripts.apply(paths, gone, unit, new.get("action", "restart"), there.active)
            host.sudo(script, stdin=scripts.archive(changed), timeout=300)
        if new.get("ready"):
            context.progress("waiting until ready")
            seconds = int(new.get("ready_timeout", 120))
            host.sudo(scripts.await_ready(new["ready"], unit, seconds), timeout=seconds + 60)


def _survey(host: ssh.Host, files: Sequence[Mapping[str, Any]], unit: str | None) -> Survey:
    output = host.sudo(scripts.survey([file["path"] for file in files], unit), timeout=120).stdout
    listed, _, state = output.partition(f"{scripts.SEPARATOR}\n")
    found = {}
    for line in listed.splitlines():
        digest, mode, owner, path = line.split(" ", 3)
        found[path] = (digest, mode, owner)
    return Survey(found, state.strip() == "active")


def _differs(file: Mapping[str, Any], there: Survey) -> bool:
    return there.files.get(file["path"]) != _wanted(file)


def _wanted(file: Mapping[str, Any]) -> tuple[str, str, str]:
    digest = hashlib.sha256(file["content"].encode()).hexdigest()
    return digest, file.get("mode", "0644"), file.get("owner", "root:root")


def _as_found(file: Mapping[str, Any], there: Survey) -> dict[str, Any]:
    """The file as the state would have to say it; foreign content is told by its digest, never copied."""
    digest, mode, owner = there.files[file["path"]]
    found = dict(file)
    wanted_digest, wanted_mode, wanted_owner = _wanted(file)
    if digest != wanted_digest:
        found["content"] = f"(changed on the host; sha256 {digest})"
    if mode != wanted_mode:
        found["mode"] = mode
    if owner != wanted_owner:
        found["owner"] = owner
    return found


def _count(files: Sequence[object]) -> str:
    return f"{len(files)} file" + ("s" if len(files) != 1 else "")
