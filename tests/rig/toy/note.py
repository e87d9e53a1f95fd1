"""A resource that is a file, with every fault that a handler may have."""

import hashlib
import json
import os
import subprocess
from pathlib import Path

from provider.errors import Cancelled, HalfMade, UserError
from provider.resources.base import UNKNOWN, Context, Created, Failure, Found, Properties, Resource

PATIENCE = 60.0


class NoteResource(Resource):
    """Inputs: `path` (also the id), `lines`, `token`, `reach`, and `fault`, which names what goes wrong."""

    TYPE = "Note"
    REPLACES = frozenset({"path"})
    IGNORED = frozenset({"reach"})
    SECRETS = frozenset({"seal"})
    DELETE_FIRST = True

    def check(self, context: Context, inputs: Properties) -> tuple[Properties, list[Failure]]:
        path = inputs.get("path")
        if path != UNKNOWN and not str(path).startswith("/"):
            return inputs, [Failure(f"path: got {path!r}; need an absolute path; try /tmp/note")]
        return {"lines": [], "nothing": None, **inputs}, []

    def preview(self, context: Context, inputs: Properties) -> Properties:
        context.progress("thinking")
        return {"kind": "note"}

    def create(self, context: Context, inputs: Properties) -> Created:
        self._fail(context, inputs)
        return Created(inputs["path"], self._write(context, inputs))

    def read(self, context: Context, identifier: str, inputs: Properties, state: Properties) -> Found | None:
        self._fail(context, inputs)
        file = Path(identifier)
        if not file.exists():
            return None
        written = json.loads(file.read_text())
        if not written.get("ready", True):
            raise HalfMade(identifier, _outputs(written), [f"{identifier} is not ready"])
        seen = {"path": identifier, "lines": written["lines"], "token": written["token"], "reach": "seen"}
        return Found(seen, _outputs(written))

    def update(self, context: Context, identifier: str, old: Properties, new: Properties) -> Properties:
        self._fail(context, new)
        return {**self._write(context, new), "reached_by": old.get("reach")}

    def delete(self, context: Context, identifier: str, state: Properties) -> None:
        if state.get("reach") == "nowhere":
            raise UserError(f"Note {context.name}: cannot be reached")
        Path(identifier).unlink(missing_ok=True)

    def _write(self, context: Context, inputs: Properties) -> Properties:
        context.progress("writing")
        context.progress("writing")
        written = {"lines": inputs["lines"], "token": inputs.get("token", "")}
        Path(inputs["path"]).write_text(json.dumps(written))
        context.progress(f"written with {written['token']}")
        return _outputs(written)

    def _fail(self, context: Context, inputs: Properties) -> None:
        path, token = inputs.get("path", ""), inputs.get("token", "")
        match inputs.get("fault"):
            case "user":
                raise UserError(f"Note {context.name}: the pen is dry\ncause: no ink\ntry a pencil")
            case "quote":
                raise UserError(f"Note {context.name}: {token} was refused")
            case "bug":
                raise KeyError(f"no {token} here")
            case "half":
                Path(path).write_text(json.dumps({"lines": [], "token": token, "ready": False}))
                raise HalfMade(path, {"kind": "note", "length": 0}, ["half written", f"{token} is unknown"])
            case "slow":
                context.progress("waiting")
                if context.cancelled.wait(PATIENCE):
                    raise Cancelled(f"Note {context.name}: interrupted; nothing was written")
            case "children":
                _start_children(Path(path))
                context.progress("waiting")
                context.cancelled.wait(PATIENCE)
            case "print":
                os.write(1, b"noise\n" * 10_000)
                raise UserError(str(sorted(name for name in os.environ if name.startswith("PULUMI_"))))


def _outputs(written: Properties) -> Properties:
    digest = hashlib.sha256(json.dumps(written["lines"]).encode()).hexdigest()
    return {
        "kind": "note",
        "length": len(written["lines"]),
        "ratio": 0.5,
        "seal": digest,
        "echo": f"token={written['token']}",
    }


def _start_children(file: Path) -> None:
    helper = subprocess.Popen(["sleep", "60"])
    machine = subprocess.Popen(["sleep", "60"], start_new_session=True)
    file.write_text(json.dumps({"helper": helper.pid, "machine": machine.pid}))
