"""Putting an application into service, taking it out, and the router's cold start.

An application's VCL is loaded under a name made of its content and reached through a label. Nothing that
serves is touched before its successor is healthy, and a failure at any step puts everything back.
"""

import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from . import web
from .health import backends
from .store import Store, digest
from .varnish import Cli, Refused, Unreachable

ARRIVAL_SECONDS = 10.0
POLL = 0.2


class Failed(Exception):
    """The deploy failed and was undone; the text is for the user."""


class Router:
    """The router of this machine.

    `settings`: `http` is the port it listens on, `workdir` varnishd's folder; `patience` has the seconds to
    wait for instances to be `healthy`, for the `smoke` test to succeed and for the old VCL to `drain`.
    """

    def __init__(self, store: Store, cli: Cli, settings: dict[str, Any]) -> None:
        self._store, self._cli, self._http = store, cli, settings["http"]
        self._workdir = Path(settings["workdir"])
        self._patience: dict[str, float] = settings["patience"]

    def apply(self, request: dict[str, Any]) -> dict[str, Any]:
        """Put one application into service; what was there before is drained and discarded.

        `request`: application, vcl, route (its snippet of the top VCL), prefix, inputs (kept for `show`),
        backends {name: [address, port]}, health_path, smoke {path, exact} or None.
        Raises Failed with the reason, everything put back.
        """
        name, content = request["application"], digest(request["vcl"], request["route"])
        vcl, label = f"application_{name}_{content}", f"label_{name}"
        if not self._cli.running():
            self.boot()
        with self._store.lock(f"application_{name}"), ExitStack() as until_staged:
            if self.state(name)["vcl"] == content and self._store.route(name) == _kept(request):
                self._discard_others(name, vcl)
                return {"vcl": vcl, "changed": False}
            if self._store.route(name).get("route") != request["route"]:
                until_staged.enter_context(self._store.arriving(name))
            loaded = self._cli.vcls()
            old = loaded[label].target if label in loaded else ""
            try:
                file = self._store.stage_vcl(name, request["vcl"])
                if vcl in loaded and vcl != old:  # left by a run that was killed, perhaps cold by now
                    self._cli.ask("vcl.discard", vcl)
                if vcl != old:
                    self._cli.ask("vcl.load", vcl, str(file))
                self._await_healthy(request, vcl, old)
                self._cli.ask("vcl.label", label, vcl)
                self._store.stage_route(name, _kept(request))
                until_staged.close()
                compiled = self._refresh_top(name)
                self._smoke(request)
                self._store.commit(name)
            except BaseException as error:
                until_staged.close()
                self._undo(name, vcl, old)
                if isinstance(error, Refused):
                    raise Failed(f"Varnish refused the VCL of {name}: {error}") from error
                raise
            drained = old in ("", vcl) or self._drain(old)
            self._discard_others(name, vcl)
            return {"vcl": vcl, "changed": True, "drained": drained, "top": compiled}

    def remove(self, name: str) -> dict[str, Any]:
        """Take one application out of service; nothing happens when it is not there."""
        with self._store.lock(f"application_{name}"):
            label = f"label_{name}"
            loaded = self._cli.vcls()
            self._store.stage_route(name, {})
            self._refresh_top(name)
            drained = True
            if label in loaded:
                drained = self._drain(loaded[label].target)
                self._cli.ask("vcl.discard", label)
            self._discard_others(name, "")
            self._store.forget(name)
            return {"changed": label in loaded, "drained": drained}

    def boot(self) -> list[str]:
        """Bring varnishd from nothing to all persisted applications; returns what could not be loaded.

        One application that does not load is left out; the others are served.
        """
        problems = []
        for name in self._store.names():
            content = digest(self._store.vcl(name), self._store.route(name).get("route", ""))
            vcl = f"application_{name}_{content}"
            with self._store.lock(f"application_{name}"):
                self._store.unstage(name)
                try:
                    if vcl not in self._cli.vcls():
                        self._cli.ask("vcl.load", vcl, str(self._store.vcl_file(name)))
                    self._cli.ask("vcl.label", f"label_{name}", vcl)
                except Refused as error:
                    problems.append(f"{name}: {error}")
        self._refresh_top("")
        if not self._cli.running():
            self._cli.ask("start")
        return problems

    def state(self, name: str) -> dict[str, Any]:
        """What is persisted, and `vcl`: the digest of what serves, or "" when that is not all as it was."""
        route, label = self._store.route(name), self._cli.vcls().get(f"label_{name}")
        content = digest(self._store.vcl(name), route.get("route", ""))
        serves = label is not None and label.target == f"application_{name}_{content}"
        whole = bool(route) and serves and self._top_is_current()
        return {"route": route, "vcl": content if whole else "", "labelled": label is not None}

    def _await_healthy(self, request: dict[str, Any], vcl: str, old: str) -> None:
        """Every instance that is new must be healthy, and one in any case.

        An old instance that is sick already, on a node that died, must not hold up what replaces it.
        """
        wanted = list(request["backends"])
        if not wanted:
            return
        before = backends(self._workdir, old) if old else {}
        patience = self._patience["healthy"]
        deadline = time.monotonic() + patience
        while True:
            health = backends(self._workdir, vcl)
            sick = [name for name in wanted if not health.get(name) and name not in before]
            if not sick and any(health.values()):
                return
            if time.monotonic() > deadline:
                break
            time.sleep(POLL)
        missing = sick or wanted
        lines = [self._diagnosis(request, name) for name in missing]
        raise Failed(
            f"{request['application']}: {len(missing)} of {len(wanted)} instances not healthy "
            f"within {patience:g} s\n" + "\n".join(lines)
        )

    def _diagnosis(self, request: dict[str, Any], backend: str) -> str:
        address, port = request["backends"][backend]
        shown = f"[{address}]" if ":" in address else address
        answer = web.get(address, port, request["health_path"], 2.0)
        return f"  http://{shown}:{port}{request['health_path']}: {answer}"

    def _smoke(self, request: dict[str, Any]) -> None:
        """One request through the router, as a user would send it."""
        wanted = request["smoke"]
        if not wanted:
            return
        deadline = time.monotonic() + self._patience["smoke"]
        while True:
            answer = web.get("127.0.0.1", self._http, wanted["path"], 10.0)
            good = answer.status == 200 if wanted["exact"] else 0 < answer.status < 500
            if good and not answer.by_router:
                return
            if time.monotonic() > deadline:
                by = " (by the router itself)" if answer.by_router else ""
                raise Failed(
                    f"{request['application']}: through the router, {wanted['path']} {answer}{by}; "
                    f"expected {'200' if wanted['exact'] else 'an answer below 500'} of the application"
                )
            time.sleep(POLL)

    def _refresh_top(self, name: str) -> bool:
        """Make the top VCL agree with the routes, and tell whether one had to be compiled.

        Routes that arrive together share one.
        """
        if self._top_is_current():
            return False
        self._store.await_arrivals(name, ARRIVAL_SECONDS)
        with self._store.lock("top"):
            loaded = self._cli.vcls()
            text = self._top_text(set(loaded))
            top = f"top_{digest(text)}"
            compiled = top not in loaded
            if compiled:
                self._cli.ask("vcl.load", top, str(self._store.write_top(text)))
            self._cli.ask("vcl.use", top)
            for other in loaded:
                if other.startswith("top_") and other != top:
                    self._cli.ask("vcl.discard", other)
            return compiled

    def _top_is_current(self) -> bool:
        loaded = self._cli.vcls()
        top = loaded.get(f"top_{digest(self._top_text(set(loaded)))}")
        return top is not None and top.active

    def _top_text(self, loaded: set[str]) -> str:
        return self._store.top({name.removeprefix("label_") for name in loaded if name.startswith("label_")})

    def _undo(self, name: str, vcl: str, old: str) -> None:
        """Back to `old`, or to nothing. What fails here is told and does not hide the first error."""
        try:
            self._store.unstage(name)
            if old:
                self._cli.ask("vcl.label", f"label_{name}", old)
            self._refresh_top(name)
            if not old and f"label_{name}" in self._cli.vcls():
                self._cli.ask("vcl.discard", f"label_{name}")
            if vcl != old and vcl in self._cli.vcls():
                self._cli.ask("vcl.discard", vcl)
        except (Refused, Unreachable, OSError) as error:
            sys.stderr.write(f"matrix-router: while undoing: {error}\n")

    def _drain(self, vcl: str) -> bool:
        """Wait until no request is under way in it; False when some still are when patience ends."""
        deadline = time.monotonic() + self._patience["drain"]
        while True:
            entry = self._cli.vcls().get(vcl)
            if entry is None or entry.busy == 0:
                return True
            if time.monotonic() > deadline:
                return False
            time.sleep(POLL)

    def _discard_others(self, name: str, keep: str) -> None:
        """No VCL of this application but `keep`: each one left would go on probing its instances."""
        for vcl in self._cli.vcls():
            if vcl.rpartition("_")[0] == f"application_{name}" and vcl != keep:
                self._cli.ask("vcl.discard", vcl)


def _kept(request: dict[str, Any]) -> dict[str, Any]:
    return {key: request[key] for key in ("application", "prefix", "route", "inputs")}
