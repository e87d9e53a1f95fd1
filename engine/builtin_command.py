"""pulumi-command's two commands, for machines without its plugin: same inputs and outputs."""

import os
import subprocess
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from engine import urn as urns
from engine.builtin_ssh import run_remote
from engine.errors import unsupported
from engine.plan import compare
from engine.provider import Checked, Diff, ProviderError, Read, Target
from engine.values import UNKNOWN, Properties, Secret, contains, is_secret, plain

_LOCAL, _REMOTE = "command:local:Command", "command:remote:Command"
_REFUSED = ("assetPaths", "archivePaths", "assets", "archive")
_OUTPUTS = ("stdout", "stderr")
_CONNECTION_DEFAULTS = {"user": "root", "port": 22, "dialErrorLimit": 10, "perDialTimeout": 15}


class CommandProvider:
    """Runs `create` when made, `update` (else `create`) when changed, `delete` when deleted, in /bin/sh."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def check_config(self, urn: str, olds: Properties, news: Properties) -> Checked:
        del urn, olds
        return Checked(news)

    def diff_config(
        self, urn: str, old_inputs: Properties, old_outputs: Properties, news: Properties
    ) -> Diff:
        del urn, old_inputs, old_outputs, news
        return Diff(False)

    def configure(self, urn: str, identifier: str, inputs: Properties) -> None:
        del urn, identifier, inputs

    def cancel(self) -> None:
        """A command that has begun is not interrupted: nobody could say what it has done."""

    def close(self) -> None:
        return

    def check(self, target: Target, olds: Properties | None, news: Properties) -> Checked:
        """The inputs with the defaults and the secret marks that the real plugin gives them."""
        del olds
        kind = urns.type_of(target.urn)
        if kind not in (_LOCAL, _REMOTE):
            raise unsupported(f"the resource {kind} without the plugin pulumi-resource-command")
        for name in _REFUSED:
            if name in news:
                raise unsupported(f"{name} of {kind} without the plugin pulumi-resource-command")
        if kind == _LOCAL:
            return Checked(news)
        if "connection" not in news:
            return Checked(news, (("", "connection: it is missing; need at least {host}"),))
        return Checked({**news, "connection": _connection(news["connection"])})

    def diff(
        self,
        target: Target,
        old_inputs: Properties,
        old_outputs: Properties,
        news: Properties,
        ignored: Sequence[str],
    ) -> Diff:
        del target, old_outputs, ignored
        diff = compare(old_inputs, news)
        return Diff(diff.changes, tuple(key for key in diff.changed if key == "triggers"), diff.changed)

    def create(self, target: Target, inputs: Properties, preview: bool) -> tuple[str, Properties]:
        if preview:
            return "", {**inputs, **dict.fromkeys(_OUTPUTS, UNKNOWN)}
        return f"{urns.name_of(target.urn)}{uuid.uuid4().hex[:8]}", self._run(target, inputs, "create", {})

    def update(
        self,
        target: Target,
        old_inputs: Properties,
        old_outputs: Properties,
        news: Properties,
        ignored: Sequence[str],
        preview: bool,
    ) -> Properties:
        del old_inputs, ignored
        if preview:
            return {**news, **dict.fromkeys(_OUTPUTS, UNKNOWN)}
        return self._run(target, news, "update" if "update" in news else "create", old_outputs)

    def read(self, target: Target, inputs: Properties, outputs: Properties) -> Read:
        return Read(target.id, outputs, inputs)

    def delete(self, target: Target, inputs: Properties, outputs: Properties) -> None:
        self._run(target, inputs, "delete", outputs)

    def _run(self, target: Target, inputs: Properties, which: str, before: Properties) -> Properties:
        """The outputs: the inputs, with stdout and stderr. Raises ProviderError with all that was written."""
        values = plain(inputs)
        command = values.get(which)
        previous = {key: plain(before[key]) for key in _OUTPUTS if before.get(key) is not None}
        if command is None:
            return {**inputs, **{key: previous.get(key, "") for key in _OUTPUTS}}
        environment = {key: str(value) for key, value in (values.get("environment") or {}).items()}
        if values.get("addPreviousOutputInEnv", True):
            environment |= {f"PULUMI_COMMAND_{key.upper()}": text for key, text in previous.items() if text}
        if urns.type_of(target.urn) == _LOCAL:
            code, out, err = _run_local(command, values, environment, self._root)
        else:
            code, out, err = run_remote(values["connection"], command, environment, values.get("stdin") or "")
        if code:
            raise ProviderError(f"exit status {code}: running {_short(command)}:\n{out}{err}".rstrip())
        secret = is_secret(inputs.get(which)) or contains(inputs.get("stdin"), is_secret)
        written = {"stdout": out.removesuffix("\n"), "stderr": err.removesuffix("\n")}
        return {**inputs, **{key: Secret(text) if secret else text for key, text in written.items()}}


def _connection(value: Any) -> Secret:
    fields = value.value if isinstance(value, Secret) else value
    if not isinstance(fields, dict):
        return Secret(fields)
    filled = {**_CONNECTION_DEFAULTS, **fields}
    for name in ("privateKey", "password", "privateKeyPassword"):
        if name in filled and not is_secret(filled[name]):
            filled[name] = Secret(filled[name])
    if isinstance(filled.get("proxy"), dict | Secret):
        filled["proxy"] = _connection(filled["proxy"]).value
    return Secret(filled)


def _run_local(
    command: str, values: Mapping[str, Any], environment: Mapping[str, str], root: Path
) -> tuple[int, str, str]:
    argv = [*(values.get("interpreter") or ["/bin/sh", "-c"]), command]
    try:
        done = subprocess.run(
            argv,
            cwd=values.get("dir") or root,
            env={**os.environ, **environment},
            input=values.get("stdin") or "",
            capture_output=True,
            text=True,
            errors="replace",
        )
    except OSError as error:
        raise ProviderError(f"cannot run {command!r}: {error}") from error
    return done.returncode, done.stdout, done.stderr


def _short(command: str, limit: int = 100) -> str:
    """What the command says matters more than the command, which is in the program anyway."""
    shown = repr(command)
    return shown if len(shown) <= limit else f"{shown[: limit - 2]}…'"
