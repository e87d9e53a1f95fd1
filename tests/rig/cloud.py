"""A real cloud in a folder of its own, driven by `./matrix` as a user would drive it."""

import json
import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import yaml

from provider import ssh
from tests.rig.processes import Running, running

ROOT = Path(__file__).resolve().parents[2]
STACK = "e2e"
SECRET = "canary-7d1f0c55e2"
TAIL = 6000

PLAN: dict[str, Any] = {
    "simplewebapp1": {
        "source": "apps/simplewebapp1",
        "port": 8080,
        "health_path": "/health",
        "nodes": ["node2", "node3"],
    },
    "simplewebapp2": {"source": "apps/simplewebapp2", "port": 8080, "health_path": "/health", "replicas": 2},
}


@dataclass(frozen=True)
class Done:
    code: int
    output: str
    seconds: float


class Cloud:
    """A checkout with a stack `e2e` whose ports are free on this computer."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder.parent / "matrix.log"
        self.http, self.ssh_port = _ports_of(folder) or _free_ports(2)
        _checkout(folder)
        self.settings: dict[str, Any] = {
            "nodes": 2,
            "forwards": {"ssh": self.ssh_port, "http": self.http},
            "applications": json.loads(json.dumps(PLAN)),
        }

    def write_settings(self) -> None:
        """Write Pulumi.e2e.yaml from `settings`, keeping what `matrix config set` has put there."""
        path = self.folder / f"Pulumi.{STACK}.yaml"
        there = yaml.safe_load(path.read_text()) if path.exists() else {}
        settings = json.loads(json.dumps(self.settings))  # a copy: a test may hold on to a part of it
        config = {f"cloudmatrix:{key}": value for key, value in settings.items()}
        secrets = there.get("config", {}).get("cloudmatrix:applications", {}).get("simplewebapp1", {})
        if "secrets" in secrets:
            plan = config["cloudmatrix:applications"]["simplewebapp1"]
            config["cloudmatrix:applications"]["simplewebapp1"] = {**plan, "secrets": secrets["secrets"]}
        path.write_text(yaml.safe_dump({**there, "config": config}, sort_keys=False))

    def matrix(self, *arguments: str, check: bool = True, timeout: float = 1500) -> Done:
        begin = time.monotonic()
        done = subprocess.run(
            self.argv(*arguments),
            cwd=self.folder,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=timeout,
            text=True,
        )
        seconds = time.monotonic() - begin
        with self.log.open("a") as log:
            log.write(
                f"$ matrix {' '.join(arguments)}\n{done.stdout}[{done.returncode}, {seconds:.1f} s]\n\n"
            )
        if check and done.returncode != 0:
            raise AssertionError(f"matrix {' '.join(arguments)}: {done.returncode}\n{done.stdout[-TAIL:]}")
        return Done(done.returncode, done.stdout, seconds)

    def argv(self, *arguments: str) -> list[str]:
        return ["./matrix", *arguments, "--stack", STACK]

    def environment(self) -> dict[str, str]:
        return {**os.environ, "COLUMNS": "160", "NO_COLOR": "1"}

    def outputs(self) -> Mapping[str, Any]:
        done = self.matrix("outputs", "--json", "--show-secrets")
        found: dict[str, Any] = json.loads(done.output[done.output.index("{") :])
        return found

    def host(self, name: str) -> ssh.Host:
        return ssh.connect(self.outputs()["connections"][name])

    def resources(self) -> dict[str, Any]:
        """The recorded resources by logical name, as the state file has them (secrets encrypted)."""
        path = self.folder / f".matrix/state/.pulumi/stacks/cloudmatrix/{STACK}.json"
        deployment = json.loads(path.read_text())["checkpoint"]["latest"]
        return {each["urn"].rpartition("::")[2]: each for each in deployment.get("resources", [])}

    def changed(self, before: Mapping[str, Any]) -> set[str]:
        """Names of custom resources that came, went, or have another id, inputs or outputs than before."""
        after = self.resources()
        return {
            name
            for name in before.keys() | after.keys()
            if "id" in (after.get(name) or before[name])
            and _essence(before.get(name)) != _essence(after.get(name))
        }

    def url(self, path: str = "/") -> str:
        return f"http://127.0.0.1:{self.http}{path}"

    def get(self, path: str, timeout: float = 30) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(self.url(path), timeout=timeout) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    @property
    def stack(self) -> Path:
        """Where everything of the stack lies."""
        return self.folder.resolve() / ".matrix" / STACK

    def daemons(self) -> list[psutil.Process]:
        """Processes that run in the stack's folder or name it on their command line."""
        return [each.process for each in self._running()]

    def processes(self) -> list[str]:
        """The daemons' command lines."""
        return [each.line for each in self._running()]

    def _running(self) -> list[Running]:
        return [each for each in running() if str(self.stack) in f"{each.folder} {each.line}"]


def _essence(resource: Mapping[str, Any] | None) -> tuple[Any, ...] | None:
    return resource and tuple(_plain(resource.get(key)) for key in ("id", "inputs", "outputs"))


def _plain(value: Any) -> Any:
    """The value without ciphertexts: a refresh encrypts a secret that is the same anew."""
    if isinstance(value, dict):
        return "[secret]" if "ciphertext" in value else {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value


def _checkout(folder: Path) -> None:
    """The tree as it is on disk (not only what is committed), in a repository of its own."""
    listing = subprocess.run(
        ["git", "ls-files", "-coz", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
        text=True,
    )
    for name in filter(None, listing.stdout.split("\0")):
        if (ROOT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    if (folder / ".git").exists():
        return
    (folder / ".venv").symlink_to(ROOT / ".venv")
    for command in (
        ["init", "-q"],
        ["add", "-A"],
        ["-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "tree"],
    ):
        subprocess.run(["git", *command], cwd=folder, check=True)


def _ports_of(folder: Path) -> list[int] | None:
    """The ports of a cloud that is there already."""
    path = folder / f"Pulumi.{STACK}.yaml"
    if not path.exists():
        return None
    forwards = yaml.safe_load(path.read_text())["config"]["cloudmatrix:forwards"]
    return [forwards["http"], forwards["ssh"]]


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports
