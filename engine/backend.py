"""The file backend: one checkpoint file a stack, written atomically, and the lock beside it."""

import getpass
import json
import os
import shutil
import socket
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from engine.errors import EngineError, unsupported


def now() -> str:
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")


@dataclass(frozen=True)
class Backend:
    """One stack's files under `root/.pulumi`."""

    root: Path
    project: str
    stack: str

    @property
    def home(self) -> Path:
        return self.root / ".pulumi"

    @property
    def checkpoint(self) -> Path:
        return self.home / "stacks" / self.project / f"{self.stack}.json"

    @property
    def locks(self) -> Path:
        return self.home / "locks" / "organization" / self.project / self.stack

    def read(self) -> dict[str, Any] | None:
        """The checkpoint's `latest` part ({} for an empty stack), None when there is no such stack."""
        for suffix in (".gz", ".zst"):
            if self.checkpoint.with_name(self.checkpoint.name + suffix).exists():
                raise unsupported("a compressed checkpoint")
        meta = self.home / "meta.yaml"
        if meta.exists() and meta.read_text().split() != ["version:", "1"]:
            raise unsupported(f"the backend layout in {meta}")
        try:
            content = json.loads(self.checkpoint.read_text())
        except FileNotFoundError:
            return None
        except json.JSONDecodeError as error:
            backup = self.checkpoint.with_suffix(".json.bak")
            raise EngineError(
                f"{self.checkpoint} is no valid JSON: {error}; the state before is in {backup}"
            ) from error
        if content.get("version") != 3:
            raise unsupported(f"checkpoint version {content.get('version')!r}")
        if features := content.get("features"):
            raise unsupported(f"the state feature {features[0]!r}")
        latest: dict[str, Any] = content["checkpoint"].get("latest") or {}
        return latest

    def write(self, latest: dict[str, Any]) -> None:
        checkpoint = {"stack": f"organization/{self.project}/{self.stack}", "latest": latest}
        text = json.dumps({"version": 3, "checkpoint": checkpoint}, indent=4, ensure_ascii=False)
        self.checkpoint.parent.mkdir(parents=True, exist_ok=True)
        replace_file(self.checkpoint, text + "\n")

    def keep_backup(self) -> None:
        """Keep the checkpoint as it is before a run."""
        if self.checkpoint.exists():
            shutil.copy2(self.checkpoint, self.checkpoint.with_suffix(".json.bak"))

    def prepare(self) -> None:
        self.home.mkdir(parents=True, exist_ok=True, mode=0o700)
        meta = self.home / "meta.yaml"
        if not meta.exists():
            replace_file(meta, "version: 1\n")

    @contextmanager
    def locked(self, warn: Callable[[str], None]) -> Iterator[None]:
        """Hold the stack's lock. Raises EngineError naming the holder; a dead process's lock is broken."""
        self.prepare()
        self.locks.mkdir(parents=True, exist_ok=True)
        mine = self.locks / f"{uuid.uuid4()}.json"
        content = {
            "pid": os.getpid(),
            "username": getpass.getuser(),
            "hostname": socket.gethostname(),
            "timestamp": now(),
        }
        self._refuse_others(mine, warn)
        replace_file(mine, json.dumps(content))
        try:
            self._refuse_others(mine, warn)
            yield
        finally:
            mine.unlink(missing_ok=True)

    def _refuse_others(self, mine: Path, warn: Callable[[str], None]) -> None:
        for path in sorted(self.locks.glob("*.json")):
            if path == mine:
                continue
            try:
                holder = json.loads(path.read_text())
            except FileNotFoundError:
                continue
            except json.JSONDecodeError:
                holder = {}
            who = (
                f"pid {holder.get('pid', '?')} of {holder.get('username', '?')}@"
                f"{holder.get('hostname', '?')} since {holder.get('timestamp', '?')}"
            )
            if holder.get("hostname") == socket.gethostname() and not _alive(holder):
                path.unlink(missing_ok=True)
                warn(f"broke the lock of {who}: that process is gone")
                continue
            raise EngineError(
                f"the stack {self.stack!r} is locked by {who}; wait until it has finished, "
                f"or, if it is certainly gone, remove {path}"
            )


def _alive(holder: dict[str, Any]) -> bool:
    """Whether the process that wrote a lock on this host still runs: its number may be another's by now."""
    import psutil  # noqa: PLC0415 - only when a lock is met

    try:
        started = psutil.Process(holder["pid"]).create_time()
        return started <= datetime.fromisoformat(holder["timestamp"]).timestamp() + 1
    except psutil.NoSuchProcess:
        return False
    except (psutil.AccessDenied, KeyError, TypeError, ValueError):
        return True


def replace_file(path: Path, text: str) -> None:
    """Write a file that is, after any crash, either the old or the new one."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{time.monotonic_ns()}")
    with temporary.open("w") as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
