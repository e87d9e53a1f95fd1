"""The plan: reads `applications:` of the stack config."""

import re
from collections.abc import Mapping
from typing import Any

from config.model import Application, Placement, Secret, number
from config.placement import spread
from config.reader import Problems, Section, kind, shown

ORIGINS = ("source", "image", "archive")
ROUTED = ("path", "strip", "health_path", "cache_seconds", "timeout_seconds")
"""Keys that only an application with a port can have."""
KEYS = (*ORIGINS, "port", *ROUTED, "nodes", "replicas", "environment", "secrets", "memory", "release")

NAME = r"[a-z][a-z0-9-]{0,39}"
PATH = r"/(?:[A-Za-z0-9._~-]+/)*"
HEALTH_PATH = r"/[A-Za-z0-9._~/-]*"
VARIABLE = r"[A-Za-z_][A-Za-z0-9_]*"
DAY = 86_400


def applications(problems: Problems, raw: Any, nodes: tuple[str, ...]) -> tuple[Application, ...]:
    """Every application of the plan whose name is usable, in the order of their names."""
    if raw is None:
        return ()
    if not isinstance(raw, Mapping):
        problems.add("applications", kind(raw), "a mapping of application names", "{}")
        return ()
    return tuple(
        _application(problems, name, entry, nodes)
        for name, entry in sorted(raw.items())
        if _named(problems, str(name))
    )


def _named(problems: Problems, name: str) -> bool:
    if re.fullmatch(NAME, name):
        return True
    plain = re.sub(r"[^a-z0-9-]+", "-", name.lower()).strip("-")[:40]
    attempt = plain if re.fullmatch(NAME, plain) else f"app-{plain}".rstrip("-")[:40]
    problems.add(
        f"applications.{name}",
        f"name {shown(name)}",
        "a-z, 0-9 and -, a letter first, at most 40 characters",
        attempt,
    )
    return False


def _application(problems: Problems, name: str, raw: Any, nodes: tuple[str, ...]) -> Application:
    section = Section(problems, f"applications.{name}", raw, KEYS)
    origin = _origin(section, name)
    port = section.integer("port", 8080, 1, 65535) if section.has("port") else None
    if port is None:
        _refuse_routing(section)
    return Application(
        name=name,
        source=origin.get("source"),
        image=origin.get("image"),
        archive=origin.get("archive"),
        port=port,
        path=_path(section, name),
        strip=section.boolean("strip", True),
        health_path=section.text(
            "health_path", HEALTH_PATH, "a path of letters, digits and . _ ~ / -, / first", "/health"
        )
        or "/",
        placements=_placements(section, name, nodes, job=port is None),
        environment=_environment(section),
        secrets=_secrets(section),
        memory=section.integer("memory", 256, 16, 1_048_576),
        release=section.text("release", r"(?s).*\S.*", "a command", '"./migrate"'),
        cache_seconds=section.integer("cache_seconds", 0, 0, 365 * DAY),
        timeout_seconds=section.integer("timeout_seconds", 30, 1, DAY),
    )


def _origin(section: Section, name: str) -> dict[str, str]:
    given = [key for key in ORIGINS if section.has(key)]
    if len(given) != 1 and not section.broken:
        got = " and ".join(given) or "none of them"
        attempt = f"{given[0]} alone" if given else f"source: apps/{name}"
        section.problems.add(section.path, got, "exactly one of source, image and archive", attempt)
    needs = {"source": "a folder with a Dockerfile", "image": "an image's name", "archive": "an archive file"}
    found = {key: section.text(key, r"\S(?:.*\S)?", needs[key], f"{key}: apps/{name}") for key in given}
    return {key: value for key, value in found.items() if value is not None}


def _refuse_routing(section: Section) -> None:
    for key in ROUTED:
        if section.has(key):
            section.refuse(key, "a port beside it, as nothing leads to a job", "port: 8080")


def _path(section: Section, name: str) -> str:
    default = f"/{name}/"
    path = section.text("path", PATH, "a path that starts and ends with /", _as_path(section, default))
    if path is not None and path.startswith("/-/"):
        section.refuse("path", "a path outside /-/, which the router answers itself", default)
    return path or default


def _as_path(section: Section, default: str) -> str:
    attempt = f"/{str(section.raw.get('path', '')).strip('/')}/"
    return attempt if re.fullmatch(PATH, attempt) else default


def _placements(section: Section, name: str, nodes: tuple[str, ...], *, job: bool) -> tuple[Placement, ...]:
    if section.has("nodes") and section.has("replicas"):
        section.problems.add(
            section.path, "nodes and replicas", "at most one of them", "nodes alone, or replicas alone"
        )
    if not nodes:
        section.problems.add(section.path, "no node to run on", "at least one node", "nodes: 1")
        return ()
    if section.has("nodes"):
        return _chosen(section, nodes)
    default = 1 if job else len(nodes)
    return spread(name, section.integer("replicas", default, 1, 256), nodes)


def _chosen(section: Section, nodes: tuple[str, ...]) -> tuple[Placement, ...]:
    wanted = section.items("nodes", "a list of node names", f"[{nodes[0]}]")
    if wanted == []:
        section.problems.add(section.field("nodes"), "an empty list", "a node name", f"[{nodes[0]}]")
    for index, node in enumerate(wanted or []):
        where = f"{section.field('nodes')}[{index}]"
        if node not in nodes:
            got = shown(node) if isinstance(node, str) else kind(node)
            section.problems.add(where, got, f"a node of this cloud ({_range(nodes)})", nodes[-1])
        elif node in (wanted or [])[:index]:
            section.problems.add(where, shown(node), "each node once", "replicas")
    known = {str(node) for node in wanted or [] if node in nodes}
    return tuple(Placement(node) for node in sorted(known, key=number))


def _range(nodes: tuple[str, ...]) -> str:
    return ", ".join(nodes) if len(nodes) <= 4 else f"{nodes[0]} … {nodes[-1]}"


def _environment(section: Section) -> dict[str, str]:
    entries = section.entries("environment", "a mapping of variables to strings", "{}")
    for key, value in entries.items():
        where = f"{section.field('environment')}.{key}"
        _check_variable(section, where, key)
        if not isinstance(value, str):
            attempt = f'"{shown(value)}"' if isinstance(value, bool | int | float) else '""'
            section.problems.add(where, kind(value), "a string", attempt)
    return {key: value for key, value in entries.items() if isinstance(value, str)}


def _secrets(section: Section) -> dict[str, Secret]:
    """No message ever shows a value from here."""
    entries = section.entries("secrets", "a mapping of names to secret strings", "{}")
    for key, value in entries.items():
        where = f"{section.field('secrets')}.{key}"
        _check_variable(section, where, key)
        if not isinstance(value, str) or not value:
            got = "an empty string" if value == "" else "something else than a string"
            attempt = f"./matrix config set --secret --path {where} VALUE"
            section.problems.add(where, got, "a string", attempt)
    return {key: Secret(value) for key, value in entries.items() if isinstance(value, str)}


def _check_variable(section: Section, where: str, key: str) -> None:
    if not re.fullmatch(VARIABLE, key):
        attempt = re.sub(r"[^A-Za-z0-9_]", "_", key).lstrip("0123456789") or "NAME"
        section.problems.add(where, f"name {shown(key)}", "letters, digits and _, no digit first", attempt)
