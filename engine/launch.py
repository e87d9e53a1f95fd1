"""Starting provider plugins as the CLI does, and making sure that they end with the engine."""

import os
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import Any

from engine.errors import EngineError
from engine.project import read_yaml
from engine.provider import ProviderError

_TAIL = 4000
_STOP_SECONDS = 2.0


class Spawner:
    """Starts every child from one thread that lives as long as the engine.

    Linux sends a child its parent-death signal when the *thread* that made it ends.
    """

    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[tuple[Callable[[], Any], Future[Any]]] = queue.SimpleQueue()
        threading.Thread(target=self._serve, name="spawner", daemon=True).start()

    def _serve(self) -> None:
        while True:
            job, result = self._jobs.get()
            try:
                result.set_result(job())
            except BaseException as error:
                result.set_exception(error)

    def start(
        self, argv: list[str], cwd: Path, env: Mapping[str, str], errors: Any
    ) -> "subprocess.Popen[bytes]":
        guard = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []
        result: Future[subprocess.Popen[bytes]] = Future()
        self._jobs.put(
            (
                lambda: subprocess.Popen(
                    [*guard, *argv],
                    cwd=cwd,
                    env=dict(env),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=errors,
                ),
                result,
            )
        )
        return result.result()


_SPAWNER: list[Spawner] = []


def spawner() -> Spawner:
    if not _SPAWNER:
        _SPAWNER.append(Spawner())
    return _SPAWNER[0]


class Process:
    """A plugin's process: it prints its port as the first line, and nothing else that anyone sees."""

    def __init__(self, package: str, argv: list[str], cwd: Path, env: Mapping[str, str]) -> None:
        self._package = package
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        self._port: Future[int] = Future()
        try:
            self._process = spawner().start(argv, cwd, env, self._log)
        except OSError as error:
            raise ProviderError(f"cannot start the provider {package!r}: {error}") from error
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        stream = self._process.stdout
        if stream is None:
            return
        first = stream.readline()
        try:
            self._port.set_result(int(first))
        except ValueError:
            self._port.set_exception(ProviderError(self.last_words(first.decode(errors="replace"))))
        for _ in stream:
            continue

    def address(self) -> str:
        """Waits for the plugin to be ready. Raises ProviderError when it is not."""
        return f"127.0.0.1:{self._port.result()}"

    def last_words(self, first: str = "") -> str:
        """Why the plugin is gone, with the tail of what it wrote."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_STOP_SECONDS)
        end = os.lseek(self._log.fileno(), 0, os.SEEK_END)
        tail = os.pread(self._log.fileno(), _TAIL, max(0, end - _TAIL)).decode(errors="replace").strip()
        code = self._process.poll()
        how = "does not answer" if code is None else f"has ended with code {code}"
        what = f"the provider {self._package!r} {how}; this is a defect of the provider"
        said = f"{first.strip()}\n{tail}".strip()
        return f"{what}. It wrote:\n{said}" if said else f"{what}. It wrote nothing"

    def stop(self) -> None:
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(_STOP_SECONDS)
        self._log.close()


def python_plugin(folder: Path) -> list[str]:
    """The command of a plugin written in Python, without the engine's address."""
    description = read_yaml(folder / "PulumiPlugin.yaml")
    runtime = description.get("runtime")
    name: Any = runtime
    options: dict[str, Any] = {}
    if isinstance(runtime, dict):
        name, options = runtime.get("name"), runtime.get("options") or {}
    if name != "python":
        raise EngineError(f"{folder}/PulumiPlugin.yaml: got runtime {name!r}; need 'python'")
    python = Path(sys.executable)
    if virtualenv := options.get("virtualenv"):
        candidate = folder / virtualenv / "bin" / "python"
        python = candidate if candidate.exists() else python
    return [str(python), "-u", str(folder)]


def installed_plugin(package: str, version: str) -> str | None:
    """The binary of a plugin: on PATH, or where `pulumi plugin install` puts it."""
    name = f"pulumi-resource-{package}"
    if found := shutil.which(name):
        return found
    home = Path(os.environ.get("PULUMI_HOME") or Path.home() / ".pulumi")
    candidate = home / "plugins" / f"resource-{package}-v{version}" / name
    return str(candidate) if version and candidate.exists() else None
