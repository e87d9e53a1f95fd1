"""Route: a path prefix of the router, led to an application's instances."""

import json
import shlex
from collections.abc import Mapping
from typing import Any

from provider import ssh
from provider.errors import UserError
from provider.resources.base import UNKNOWN, Context, Created, Failure, Found, Properties, Resource
from services.router import COMMAND
from services.router.host.store import digest
from vcl.render import PROBE_TIMEOUT, Application, Instance, application_vcl, problems, route_vcl

DEFAULTS: Mapping[str, Any] = {
    "strip": True,
    "cache_seconds": 0,
    "timeout_seconds": 30,
    "probe_timeout": PROBE_TIMEOUT,
}
KEPT = ("path", "strip", "health_path", "instances", "cache_seconds", "timeout_seconds", "probe_timeout")
"""The inputs that the manager keeps beside the route; never the connection."""
SECONDS = 600.0
"""On a busy emulated machine: two compilations, then at most 30 s until healthy, 20 s for the smoke test
and 30 s of draining."""
NOT_INSTALLED = (126, 127)

_ANYWHERE, _ANY_PORT = "0.0.0.0", 1  # noqa: S104 - stand-ins while judging what is not known yet


class RouteResource(Resource):
    """The id is the application's name.

    `check` adds the input `vcl`, the digest of what the router has to run, so that a route that was changed
    on the manager, and one rendered by an older version of the templates, both differ.
    """

    TYPE = "Route"
    REPLACES = frozenset({"application", "machine"})
    IGNORED = frozenset({"connection"})
    DELETE_FIRST = True

    def check(self, context: Context, inputs: Properties) -> tuple[Properties, list[Failure]]:
        inputs = {**DEFAULTS, **inputs}
        failures = [Failure(reason) for reason in problems(_application(inputs, context.name))]
        known = not failures and not _unknown({key: inputs.get(key) for key in ("application", *KEPT)})
        return {**inputs, "vcl": _digest(inputs) if known else UNKNOWN}, failures

    def create(self, context: Context, inputs: Properties) -> Created:
        _apply(context, inputs)
        return Created(inputs["application"])

    def update(self, context: Context, identifier: str, old: Properties, new: Properties) -> Properties:
        _apply(context, new)
        return {}

    def read(self, context: Context, identifier: str, inputs: Properties, state: Properties) -> Found | None:
        known = inputs or state
        if not known.get("connection"):
            raise UserError(
                f"Route {identifier} cannot be imported: its manager is not known from the id\n"
                "declare it and run up; what the router has already is taken over"
            )
        try:
            host = ssh.connect(known["connection"])
            result = host.sudo(f"{COMMAND} show {shlex.quote(identifier)}", timeout=120, check=False)
        except ssh.Unreachable:
            context.progress("host not reachable; kept as recorded")
            return Found(known)
        if result.code in NOT_INSTALLED:
            return None
        if result.code != 0:
            raise UserError(f"Route {identifier}: {result.stderr.strip()}")
        there = json.loads(result.stdout)
        if not there["route"]:
            return None
        return Found({**known, **there["route"]["inputs"], "vcl": there["vcl"]})

    def delete(self, context: Context, identifier: str, state: Properties) -> None:
        context.progress("draining")
        host = ssh.connect(state["connection"])
        result = host.sudo(f"{COMMAND} remove {shlex.quote(identifier)}", timeout=SECONDS, check=False)
        if result.code not in (0, *NOT_INSTALLED):
            raise UserError(f"Route {identifier}: {result.stderr.strip()}")


def request(inputs: Properties) -> Properties:
    """What `matrix-router apply` reads: the rendered VCL, and how to judge it when it runs.

    Raises ValueError when the inputs cannot be rendered.
    """
    application = _application(inputs, inputs["application"])
    return {
        "application": application.name,
        "vcl": application_vcl(application),
        "route": route_vcl(application),
        "prefix": application.prefix,
        "inputs": {key: inputs[key] for key in KEPT},
        "backends": {one.name: [one.address, one.port] for one in application.instances},
        "health_path": application.health_path,
        "smoke": _smoke(application),
    }


def _smoke(application: Application) -> Properties | None:
    """The request through the router that proves the route: `exact` expects 200, else all below 500."""
    if not application.instances:
        return None
    prefix, health = application.prefix, application.health_path
    if application.strip:
        return {"path": prefix + health, "exact": True}
    if health.startswith(f"{prefix}/"):
        return {"path": health, "exact": True}
    return {"path": f"{prefix}/", "exact": False}


def _apply(context: Context, inputs: Properties) -> None:
    name, count = inputs["application"], len(inputs["instances"])
    context.progress(f"switching to {count} instance" + ("s" if count != 1 else ""))
    wanted = json.dumps(request({**DEFAULTS, **inputs}))
    host = ssh.connect(inputs["connection"])
    result = host.sudo(f"{COMMAND} apply {name}", stdin=wanted, timeout=SECONDS, check=False)
    if result.code != 0:
        reason = result.stderr.strip().removeprefix("matrix-router: ")
        raise UserError(f"Route {name}: not switched, what served before still does\n{reason}")


def _digest(inputs: Properties) -> str:
    rendered = request(inputs)
    return digest(rendered["vcl"], rendered["route"])


def _application(inputs: Properties, name: str) -> Application:
    """The inputs as the renderer wants them; what is unknown is replaced by something unobjectionable."""
    values: Properties = {key: inputs.get(key) for key in ("application", *KEPT)}
    stand_ins = {"application": "unknown", "path": "/unknown", "health_path": "/", **DEFAULTS}
    for key, stand_in in stand_ins.items():
        if values[key] == UNKNOWN:
            values[key] = stand_in
    return Application(
        name=str(values["application"] or name),
        path=str(values["path"] or ""),
        health_path=str(values["health_path"] or ""),
        instances=_instances(values["instances"]),
        strip=bool(values["strip"]),
        cache_seconds=values["cache_seconds"],
        timeout_seconds=values["timeout_seconds"],
        probe_timeout=values["probe_timeout"],
    )


def _instances(values: Any) -> tuple[Instance, ...]:
    if values == UNKNOWN or not values:
        return ()
    found = []
    for number, value in enumerate(values):
        value = {} if value == UNKNOWN else value
        address, port = value.get("address", UNKNOWN), value.get("port", UNKNOWN)
        # Distinct stand-in ports, so that two instances not made yet are not taken for one.
        found.append(
            Instance(
                _ANYWHERE if address == UNKNOWN else str(address),
                _ANY_PORT + number if port == UNKNOWN else port,
            )
        )
    return tuple(found)


def _unknown(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(_unknown(item) for item in value.values())
    if isinstance(value, list):
        return any(_unknown(item) for item in value)
    return bool(value == UNKNOWN)
