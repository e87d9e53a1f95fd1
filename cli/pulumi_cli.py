"""Pulumi's own CLI as the engine, with its state in `.matrix/state` and the git tree left clean."""

import json
import os
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from cli.engines import Run
from cli.errors import CliError
from config import stackfile

PROJECT = "cloudmatrix"


@dataclass(frozen=True)
class PulumiCli:
    program: str
    line: str

    def preview(self, run: Run) -> bool:
        return self._run(run, "preview", *_when(run.diff, "--diff"))

    def up(self, run: Run) -> bool:
        return self._run(run, "up", *_when(not run.ask, "--yes", "--skip-preview"))

    def refresh(self, run: Run) -> bool:
        return self._run(run, "refresh", "--yes", "--skip-preview")

    def destroy(self, run: Run) -> bool:
        return self._run(run, "destroy", *_when(not run.ask, "--yes", "--skip-preview"))

    def outputs(self, root: Path, stack: str, *, show_secrets: bool) -> Mapping[str, Any]:
        if not checkpoint(root, stack).exists():
            return {}
        words = ["stack", "output", "--json", "--stack", stack, *_when(show_secrets, "--show-secrets")]
        done = subprocess.run(
            [self.program, *words],
            cwd=root,
            env=environment(root),
            capture_output=True,
            text=True,
            timeout=120,
        )
        if done.returncode:
            raise CliError(f"pulumi {' '.join(words)} failed\n{done.stderr.strip()}")
        return dict(json.loads(done.stdout or "{}"))

    def _run(self, run: Run, verb: str, *words: str) -> bool:
        self._ensure_stack(run.root, run.stack)
        file = config_file(run.root, run.stack)
        argv = [self.program, verb, "--stack", run.stack, "--parallel", str(run.parallel), *words]
        if file != stackfile.path(run.root, run.stack):
            argv += ["--config-file", str(file)]
        return subprocess.run(argv, cwd=run.root, env=environment(run.root)).returncode == 0

    def _ensure_stack(self, root: Path, stack: str) -> None:
        """`stack init` writes the secrets' salt to the config file beside Pulumi.yaml, whatever one tells
        it: so it is given a project of its own."""
        if checkpoint(root, stack).exists():
            return
        with tempfile.TemporaryDirectory() as scratch:
            Path(scratch, "Pulumi.yaml").write_text(f"name: {PROJECT}\nruntime: python\n", encoding="utf-8")
            argv = [self.program, "-C", scratch, "stack", "init", stack, "--no-select", "--non-interactive"]
            done = subprocess.run(argv, env=environment(root), capture_output=True, text=True, timeout=120)
            if done.returncode:
                raise CliError(f"pulumi cannot make the stack {stack}\n{done.stderr.strip()}")
            made = Path(scratch, f"Pulumi.{stack}.yaml")
            copy = _copy(root, stack)
            copy.touch(mode=0o600)
            copy.write_text(made.read_text(encoding="utf-8") if made.exists() else "", encoding="utf-8")


def _when(condition: bool, *words: str) -> tuple[str, ...]:
    return words if condition else ()


def environment(root: Path) -> dict[str, str]:
    """What the CLI needs to find our state; the user's own settings come through."""
    state = root / ".matrix" / "state"
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    return {
        **os.environ,
        "PULUMI_BACKEND_URL": f"file://{state}",
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        "PULUMI_DIY_BACKEND_NO_LEGACY_WARNING": "true",
    }


def checkpoint(root: Path, stack: str) -> Path:
    return root / ".matrix" / "state" / ".pulumi" / "stacks" / PROJECT / f"{stack}.json"


def _copy(root: Path, stack: str) -> Path:
    return root / ".matrix" / "state" / f"Pulumi.{stack}.yaml"


def config_file(root: Path, stack: str) -> Path:
    """The stack's config with a salt for its secrets in it: the user's file when it has one, else a copy
    of it, as the CLI would write the salt into whatever file it is given."""
    file, copy = stackfile.path(root, stack), _copy(root, stack)
    text = file.read_text(encoding="utf-8")
    if "encryptionsalt" in (yaml.safe_load(text) or {}):
        return file
    salt = _salt_in_state(root, stack) or _salt_in_copy(copy)
    line = f"encryptionsalt: {salt}\n" if salt else ""
    copy.touch(mode=0o600)
    copy.write_text(line + text, encoding="utf-8")
    return copy


def _salt_in_state(root: Path, stack: str) -> str | None:
    try:
        state = json.loads(checkpoint(root, stack).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    latest = (state.get("checkpoint") or {}).get("latest") or {}
    return ((latest.get("secrets_providers") or {}).get("state") or {}).get("salt")


def _salt_in_copy(copy: Path) -> str | None:
    try:
        return (yaml.safe_load(copy.read_text(encoding="utf-8")) or {}).get("encryptionsalt")
    except OSError:
        return None
