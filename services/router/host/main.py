"""The command matrix-router.

apply NAME   put an application into service; the request as JSON on stdin
remove NAME  take it out
show NAME    what is persisted and whether it is what serves, as JSON
list         the same for all, a line each
boot         after a cold start of varnishd: load all that is persisted
ready        exit 0 when the router answers
"""

import json
import os
import re
import sys
from pathlib import Path
from typing import Any

from . import web
from .deploy import Failed, Router
from .store import SETTINGS, Busy, Store
from .varnish import Cli, Refused, Unreachable

BOOT_PATIENCE = 60.0
NAME = re.compile(r"[a-z][a-z0-9-]*")


def main(arguments: list[str]) -> int:
    """Returns the exit code: 1 with the reason on stderr, 2 for wrong use."""
    command, names = arguments[0] if arguments else "", arguments[1:]
    if len(names) != {"apply": 1, "remove": 1, "show": 1, "list": 0, "boot": 0, "ready": 0}.get(command):
        sys.stderr.write(f"usage: matrix-router COMMAND\n{__doc__}")
        return 2
    if not all(NAME.fullmatch(name) for name in names):
        sys.stderr.write(f"matrix-router: {names[0]!r} is no name of an application\n")
        return 2
    try:
        settings = json.loads(Path(os.environ.get("MATRIX_ROUTER", SETTINGS)).read_text())
        return _run(command, names, settings, Store(settings))
    except Unreachable as error:
        sys.stderr.write(f"matrix-router: {error}; see: systemctl status matrix-router\n")
    except (Failed, Busy, Refused, OSError, ValueError) as error:
        sys.stderr.write(f"matrix-router: {error}\n")
    return 1


def _run(command: str, names: list[str], settings: dict[str, Any], store: Store) -> int:
    if command == "ready":
        return 0 if web.get("127.0.0.1", settings["http"], "/-/health", 5.0).status == 200 else 1
    if command == "apply":
        request = json.load(sys.stdin)
        if request["application"] != names[0]:
            raise Failed(f"the request is for {request['application']}, not for {names[0]}")
        _print(_router(settings, store).apply(request))
    elif command == "remove":
        _print(_remove(settings, store, names[0]))
    elif command == "show":
        _print(_show(settings, store, names[0]))
    elif command == "list":
        for name in store.names():
            shown = _show(settings, store, name)
            prefix, vcl = shown["route"].get("prefix") or "/", shown["vcl"] or "not as deployed"
            sys.stdout.write(f"{name} {prefix} {vcl}\n")
    else:
        for problem in _router(settings, store, BOOT_PATIENCE).boot():
            sys.stderr.write(f"matrix-router: left out: {problem}\n")
    return 0


def _router(settings: dict[str, Any], store: Store, patience: float = 0.0) -> Router:
    cli = Cli(
        ("127.0.0.1", settings["cli"]),
        Path(settings["workdir"]) / "_.secret",
        patience or settings["patience"]["connect"],
    )
    return Router(store, cli, settings)


def _remove(settings: dict[str, Any], store: Store, name: str) -> dict[str, Any]:
    try:
        router = _router(settings, store)
    except Unreachable:
        store.forget(name)  # nothing serves; what matters is that the next cold start leaves it out
        return {"changed": True, "drained": True}
    return router.remove(name)


def _show(settings: dict[str, Any], store: Store, name: str) -> dict[str, Any]:
    try:
        return _router(settings, store).state(name)
    except Unreachable:
        return {"route": store.route(name), "vcl": "", "labelled": False}


def _print(value: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
