"""The router's VCL as text: an application's own VCL, its route in the top VCL, and the top itself.

Pure functions of plain values. Everything that comes from a user is judged here before it becomes VCL:
what passes needs no escaping, and what would need any is refused.
"""

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2

from services.templates import environment

NAME = re.compile(r"[a-z][a-z0-9-]{0,39}")
PATH = re.compile(r"(/[A-Za-z0-9._~-]+)+")
URL = re.compile(r"/[A-Za-z0-9._~!$&'()*+,;=:@/?%-]*")
PROBE_TIMEOUT = 0.5
"""Seconds. Too short for emulated machines, which answer late while they are busy: there, 2."""
PROBE_WINDOW, PATIENT_WINDOW = 3, 5
"""Of how many health checks two must be answered. Where they may take longer than PROBE_TIMEOUT, machines are
busy rather than dead when they miss one: they are ejected later, and retries cover the time until then."""
ROUTES_HERE = "    # (routes)"
"""The line of the top VCL that matrix-router replaces by the snippets of all routes."""


@dataclass(frozen=True)
class Instance:
    """Where an instance answers: a numeric address and a TCP port."""

    address: str
    port: int

    @property
    def name(self) -> str:
        """The backend's name, the same in every VCL in which this instance occurs."""
        return f"i_{re.sub('[^0-9a-f]', '_', self.address)}_{self.port}"


@dataclass(frozen=True)
class Application:
    """What the router knows of an application; times in seconds, `cache_seconds` 0 for no caching."""

    name: str
    path: str
    health_path: str
    instances: tuple[Instance, ...]
    strip: bool = True
    cache_seconds: int = 0
    timeout_seconds: int = 30
    probe_timeout: float = PROBE_TIMEOUT

    @property
    def prefix(self) -> str:
        """The path without its last slash: "" is the whole server."""
        return self.path.rstrip("/")


def problems(application: Application) -> list[str]:
    """What is wrong with it, one "field: got X; need Y; try Z" each; empty when it can be rendered."""
    found = [_name(application.name), _path(application.path), _health_path(application.health_path)]
    found += [_instance(instance) for instance in application.instances]
    found.append(_twice(application.instances))
    found.append(_seconds("cache_seconds", application.cache_seconds, 0, 31_536_000))
    found.append(_seconds("timeout_seconds", application.timeout_seconds, 1, 3600))
    found.append(_seconds("probe_timeout", application.probe_timeout, 0.1, 60))
    return [problem for problem in found if problem]


def label(name: str) -> str:
    """The VCL label through which the top VCL reaches an application; `_` occurs in no name."""
    return f"label_{name}"


def application_vcl(application: Application) -> str:
    """An application's VCL. Raises ValueError, one problem a line."""
    return _render("application.vcl.j2", application)


def route_vcl(application: Application) -> str:
    """The snippet that leads the application's prefix to its label. Raises ValueError."""
    return _render("route.vcl.j2", application)


def top_vcl() -> str:
    """The top VCL with the line ROUTES_HERE where the routes' snippets belong, the longest prefix first."""
    return _environment().get_template("top.vcl.j2").render(routes_here=ROUTES_HERE)


def _render(template: str, application: Application) -> str:
    found = problems(application)
    if found:
        raise ValueError("\n".join(found))
    patient = application.probe_timeout > PROBE_TIMEOUT
    values = {
        **vars(application),
        "prefix": application.prefix,
        "label": label(application.name),
        "probe_window": PATIENT_WINDOW if patient else PROBE_WINDOW,
    }
    return _environment().get_template(template).render(values)


def _environment() -> jinja2.Environment:
    made = environment(Path(__file__).parent)
    made.filters["vcl_regex"] = lambda text: re.sub(r"([.~+*?()\[\]{}|^$-])", r"\\\1", text)
    return made


def _name(name: str) -> str:
    if NAME.fullmatch(name):
        return ""
    return (
        f"application: got {_shown(name)}; need a-z, 0-9 and -, starting with a letter, at most 40; try shop"
    )


def _path(path: str) -> str:
    if path == "/" or PATH.fullmatch(path.removesuffix("/")):
        if path == "/-" or path.startswith("/-/"):
            return f"path: got {_shown(path)}; need one outside /-/, which is the router's own; try /shop"
        if not {".", ".."} & set(path.split("/")):
            return ""
    return f"path: got {_shown(path)}; need / or segments of A-Z a-z 0-9 . _ ~ -; try /shop"


def _health_path(path: str) -> str:
    if URL.fullmatch(path) and len(path) <= 200:
        return ""
    return f"health_path: got {_shown(path)}; need a URL path without spaces and quotes; try /health"


def _instance(instance: Instance) -> str:
    try:
        ipaddress.ip_address(instance.address)
    except ValueError:
        return f"instances: got address {_shown(instance.address)}; need a numeric IP address; try 10.10.10.2"
    if type(instance.port) is int and 0 < instance.port < 65536:
        return ""
    return f"instances: got port {_shown(instance.port)}; need an integer from 1 to 65535; try 8080"


def _twice(instances: Sequence[Instance]) -> str:
    twice = sorted({f"{one.address}:{one.port}" for one in instances if instances.count(one) > 1})
    return f"instances: got {', '.join(twice)} twice; need each once; try leaving one out" if twice else ""


def _seconds(field: str, value: float, least: float, most: float) -> str:
    kinds = (int, float) if isinstance(least, float) else (int,)
    if type(value) in kinds and least <= value <= most:
        return ""
    return f"{field}: got {_shown(value)}; need {least:g} to {most:g} seconds; try {max(least, 1):g}"


def _shown(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else repr(value)
