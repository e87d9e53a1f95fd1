"""The real router: varnishd with its real command line, and the command matrix-router as it is installed."""

import contextlib
import http.client
import json
import shlex
import shutil
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

import services.router
from provider.resources.route import DEFAULTS, request
from provider.ssh import Result
from services.router.host.varnish import Cli
from tests.rig.backend import Backend
from tests.rig.local_host import LocalHost

MISSING = [name for name in ("varnishd", "ld") if shutil.which(name) is None]
"""Programs and modules that the router needs and this machine has not."""
if not any(Path("/usr/lib").glob("*/varnish/vmods/libvmod_header.so")):
    MISSING.append("varnish-modules")


@dataclass
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Router(LocalHost):
    """A manager with nothing but the router on it, as a `provider.ssh.Host`; a context manager."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder
        self.port, self.cli_port = free_ports(2)
        self.state = folder / "state"
        self._settings = folder / "router.json"
        self._process: subprocess.Popen[bytes] | None = None
        self._install()

    def __enter__(self) -> "Router":
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def start(self) -> Result:
        """What the unit does: varnishd, then boot; returns what boot said."""
        command = services.router.varnishd(self.port, self.cli_port, 32, str(self.folder / "v"), "127.0.0.1")
        log = (self.folder / "varnishd.log").open("ab")
        self._process = subprocess.Popen([*command, "-j", "none"], stdout=log, stderr=log)
        log.close()
        return self.command("boot")

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(timeout=20)
            self._process = None

    def command(self, *words: str, stdin: str = "", check: bool = True) -> Result:
        """Run matrix-router."""
        return self.run(" ".join([services.router.COMMAND, *words]), stdin=stdin, check=check)

    def argv(self, *words: str) -> list[str]:
        """The command line of matrix-router on this rig."""
        settings = f"MATRIX_ROUTER={self._settings}"
        return ["/usr/bin/env", settings, sys.executable, "-IS", str(self.folder / "matrix-router"), *words]

    def run(
        self, command: str, *, stdin: bytes | str = b"", timeout: float = 60.0, check: bool = True
    ) -> Result:
        here = command.replace(services.router.COMMAND, shlex.join(self.argv()))
        return super().run(here, stdin=stdin, timeout=timeout, check=check)

    def workers(self) -> list[psutil.Process]:
        """varnishd's child processes: the one that serves."""
        assert self._process is not None
        return psutil.Process(self._process.pid).children()

    def apply(self, name: str, *backends: Backend, check: bool = True, **settings: Any) -> Result:
        """Put an application at /NAME into service."""
        wanted = json.dumps(request(route(name, *backends, **settings)))
        return self.command("apply", name, stdin=wanted, check=check)

    def cli(self) -> Cli:
        return Cli(("127.0.0.1", self.cli_port), self.folder / "v" / "_.secret")

    def vcls(self) -> list[str]:
        with contextlib.closing(self.cli()) as cli:
            return sorted(cli.vcls())

    def get(
        self,
        path: str,
        *,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, body=body, headers=dict(headers or {}))
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())
        finally:
            connection.close()

    def raw(self, request: bytes) -> bytes:
        """Send bytes on a connection of their own and read until it is closed or silent for a second."""
        received = b""
        with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
            connection.sendall(request)
            with contextlib.suppress(TimeoutError):
                while part := connection.recv(65536):
                    received += part
        return received

    def _install(self) -> None:
        settings = {
            "state": str(self.state),
            "run": str(self.folder / "run"),
            "workdir": str(self.folder / "v"),
            "cli": self.cli_port,
            "http": self.port,
            "patience": {"connect": 0.3, "healthy": 1.5, "smoke": 1, "drain": 10},
        }
        self._settings.write_text(json.dumps(settings))
        for file in services.router.router_files():
            path = Path(file.path)
            if path.parent.name == "matrix_router":
                self._write(self.folder / "lib" / "matrix_router" / path.name, file.content)
            elif file.path == services.router.COMMAND:
                content = file.content.replace("/usr/local/lib", str(self.folder / "lib"))
                self._write(self.folder / "matrix-router", content)
            elif path.name == "top.vcl":
                self._write(self.state / "top.vcl", file.content)

    def _write(self, path: Path, content: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)


def route(name: str, *backends: Backend, **settings: Any) -> dict[str, Any]:
    """The inputs of a Route at /NAME to these instances."""
    instances = [{"address": "127.0.0.1", "port": backend.port} for backend in backends]
    defaults = {"path": f"/{name}", "health_path": "/health", "timeout_seconds": 2}
    return {"application": name, "instances": instances, **DEFAULTS, **defaults, **settings}


@dataclass
class Load:
    """What a bounded load saw: answers by status, answers by instance, and everything that failed."""

    statuses: Counter[int] = field(default_factory=Counter)
    names: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    @property
    def requests(self) -> int:
        return sum(self.statuses.values()) + sum("status" not in text for text in self.failures)


@contextlib.contextmanager
def load(port: int, paths: Sequence[str], *, clients: int = 8, rate: float = 200.0) -> Iterator[Load]:
    """`clients` keep-alive connections, together at most `rate` GETs a second, while the context is open."""
    seen, lock, stop = Load(), threading.Lock(), threading.Event()

    def client(number: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        turn = number
        while not stop.wait(clients / rate):
            path = paths[turn % len(paths)]
            turn += 1
            try:
                connection.request("GET", path)
                response = connection.getresponse()
                body = response.read()
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                with lock:
                    seen.failures.append(f"{path}: {error!r}")
                continue
            with lock:
                seen.statuses[response.status] += 1
                if response.status == 200:
                    seen.names[json.loads(body)["name"]] += 1
                else:
                    seen.failures.append(f"{path}: status {response.status}")
        connection.close()

    threads = [threading.Thread(target=client, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield seen
    finally:
        stop.set()
        for thread in threads:
            thread.join(timeout=40)


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that nobody listens on."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]
    finally:
        for one in sockets:
            one.close()
