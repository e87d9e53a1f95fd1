"""What matrix-router keeps: settings, each application's VCL and route, and the locks around them.

<state>/top.vcl                  the top VCL, with a line where the routes go
<state>/applications/NAME.vcl    what was loaded last with success; .new while it is being tried
<state>/routes/NAME.json         the route that belongs to it; .new likewise, empty while removed
<run>/                           locks; gone at the next boot of the machine
"""

import fcntl
import hashlib
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

SETTINGS = "/etc/varnish/matrix/router.json"
LOCK_SECONDS = 120.0
ROUTES_HERE = "    # (routes)\n"


class Busy(Exception):
    """Another matrix-router holds a lock for too long."""


def digest(*texts: str) -> str:
    """Twelve hex digits that name this content."""
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:12]


class Store:
    """`settings`: the folders `state`, which is kept, and `run`, which is not."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self._state = Path(settings["state"])
        self._run = Path(settings["run"])
        for folder in (self._state / "applications", self._state / "routes", self._run):
            folder.mkdir(parents=True, exist_ok=True)

    def names(self) -> list[str]:
        """Applications with a persisted route."""
        return sorted(path.stem for path in (self._state / "routes").glob("*.json"))

    def route(self, name: str) -> dict[str, Any]:
        """The persisted route, or {} when there is none that can be read."""
        return _json(self._route(name))

    def vcl_file(self, name: str) -> Path:
        return self._state / "applications" / f"{name}.vcl"

    def vcl(self, name: str) -> str:
        try:
            return self.vcl_file(name).read_text()
        except FileNotFoundError:
            return ""

    def stage_vcl(self, name: str, text: str) -> Path:
        """Write the VCL beside the one in use and return its path."""
        path = _new(self.vcl_file(name))
        _write(path, text)
        return path

    def stage_route(self, name: str, route: dict[str, Any]) -> None:
        """Let the next top VCL have this route; {} takes it out."""
        with self._routes_held():
            _write(_new(self._route(name)), json.dumps(route) if route else "")

    def commit(self, name: str) -> None:
        """What was staged is what a cold start loads from now on."""
        with self._routes_held():
            for path in (self.vcl_file(name), self._route(name)):
                if _new(path).exists():
                    _new(path).rename(path)
            _sync(self._state / "routes")

    def unstage(self, name: str) -> None:
        with self._routes_held():
            for path in (self.vcl_file(name), self._route(name)):
                _new(path).unlink(missing_ok=True)

    def forget(self, name: str) -> None:
        with self._routes_held():
            # The staged removal goes last: until then it hides the route from every top VCL.
            staged = (_new(self.vcl_file(name)), _new(self._route(name)))
            for path in (self._route(name), self.vcl_file(name), *staged):
                path.unlink(missing_ok=True)
            _sync(self._state / "routes")

    def top(self, labelled: set[str]) -> str:
        """The top VCL with the routes of these applications, staged before persisted ones."""
        folder = self._state / "routes"
        with self._routes_held():
            routes = {path.stem: _json(path) for path in folder.glob("*.json")}
            routes |= {path.name.removesuffix(".json.new"): _json(path) for path in folder.glob("*.json.new")}
        chosen = [route for name, route in routes.items() if route and name in labelled]
        chosen.sort(key=lambda route: (-len(route["prefix"]), route["prefix"], route["application"]))
        head = (self._state / "top.vcl").read_text()
        return head.replace(ROUTES_HERE, "".join(route["route"] for route in chosen))

    def write_top(self, text: str) -> Path:
        path = self._state / "top.loaded.vcl"
        _write(path, text)
        return path

    @contextmanager
    def _routes_held(self) -> Iterator[None]:
        """Nobody else changes a route: one that is being renamed must not be missing in a listing."""
        with self.lock("routes"):
            yield

    @contextmanager
    def lock(self, name: str) -> Iterator[None]:
        """Exclusive among all matrix-routers on this machine. Raises Busy after LOCK_SECONDS."""
        with _locked(self._run / f"{name}.lock", fcntl.LOCK_EX, LOCK_SECONDS):
            yield

    @contextmanager
    def arriving(self, name: str) -> Iterator[None]:
        """Tells the others that a change of the top VCL is about to be staged."""
        with _locked(self._run / f"{name}.arriving", fcntl.LOCK_EX, LOCK_SECONDS):
            yield

    def await_arrivals(self, own: str, seconds: float) -> None:
        """Wait until the changes that others announced are staged, so that one top VCL serves all."""
        deadline = time.monotonic() + seconds
        for path in sorted(self._run.glob("*.arriving")):
            if path.stem != own:
                try:
                    with _locked(path, fcntl.LOCK_SH, max(0.0, deadline - time.monotonic())):
                        pass
                except Busy:
                    return

    def _route(self, name: str) -> Path:
        return self._state / "routes" / f"{name}.json"


def _new(path: Path) -> Path:
    return path.with_name(path.name + ".new")


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _write(path: Path, text: str) -> None:
    """All or nothing, and on the disk when it returns. Varnish's compiler reads it as another user."""
    draft = path.with_name(path.name + ".draft")
    with draft.open("w") as file:
        os.fchmod(file.fileno(), 0o644)
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.rename(path)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _locked(path: Path, kind: int, seconds: float) -> Iterator[None]:
    deadline = time.monotonic() + seconds
    with path.open("a") as file:
        while True:
            try:
                fcntl.flock(file, kind | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise Busy(f"{path.stem}: another matrix-router is at work for {seconds:.0f} s") from None
                time.sleep(0.05)
        yield
