"""Pulumi.<stack>.yaml: what the program is told, and how a value gets in there."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from engine import passphrase
from engine.errors import EngineError, unsupported
from engine.project import Project, read_yaml
from engine.values import parse_path


@dataclass(frozen=True)
class Config:
    """Values as the SDK takes them (objects as JSON text), by `namespace:name`."""

    values: dict[str, str]
    secret_keys: frozenset[str]

    def package(self, package: str) -> dict[str, tuple[str, bool]]:
        """name -> (value, secret) of the settings meant for a provider."""
        prefix = f"{package}:"
        return {
            key.removeprefix(prefix): (value, key in self.secret_keys)
            for key, value in self.values.items()
            if key.startswith(prefix)
        }


def file_of(project: Project, stack: str) -> Path:
    return project.root / f"Pulumi.{stack}.yaml"


def salt_of(project: Project, stack: str) -> str | None:
    path = file_of(project, stack)
    return read_yaml(path).get("encryptionsalt") if path.exists() else None


def load(project: Project, stack: str, unseal: Callable[[str], str]) -> Config:
    """`unseal` opens a `secure:` text. Raises EngineError for what only the CLI has."""
    path = file_of(project, stack)
    content = read_yaml(path) if path.exists() else {}
    if content.get("environment"):
        raise unsupported(f"`environment:` in {path.name}")
    if (provider := content.get("secretsprovider")) and provider != "passphrase":
        raise unsupported(f"the secrets provider {provider}")
    values: dict[str, str] = {}
    secret_keys = set()
    for key, value in (content.get("config") or {}).items():
        full = qualified(project.name, str(key))
        opened, secret = _open(value, unseal)
        values[full] = _text(opened)
        if secret:
            secret_keys.add(full)
    return Config(values, frozenset(secret_keys))


def qualified(project: str, key: str) -> str:
    namespace, _, name = key.partition(":")
    if not name:
        return f"{project}:{key}"
    return f"{namespace}:{name.removeprefix('config:')}"


def _open(value: Any, unseal: Callable[[str], str]) -> tuple[Any, bool]:
    if isinstance(value, dict):
        if value.keys() == {"secure"} and isinstance(value["secure"], str):
            return unseal(value["secure"]), True
        pairs = {str(key): _open(item, unseal) for key, item in value.items()}
        return {key: item for key, (item, _) in pairs.items()}, any(s for _, s in pairs.values())
    if isinstance(value, list):
        items = [_open(item, unseal) for item in value]
        return [item for item, _ in items], any(secret for _, secret in items)
    return value, False


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    return json.dumps(value, separators=(",", ":"), sort_keys=True, default=str)


def write(
    project: Project, stack: str, key: str, value: str, *, secret: bool, path: bool, salt: str | None
) -> None:
    """Set one value as `pulumi config set` does; comments outside the value that changes are kept.

    A secret is sealed with the file's own salt, else with `salt`, else with a new one; the salt used is
    then written to the file.
    """
    file = file_of(project, stack)
    content = read_yaml(file) if file.exists() else {}
    text = file.read_text() if file.exists() else ""
    leaf: Any = _typed(value) if path and not secret else value
    if secret:
        sealer = passphrase.Sealer(content.get("encryptionsalt") or salt)
        leaf = {"secure": sealer.seal(value)}
        if "encryptionsalt" not in content:
            text = _with_entry(text, (), "encryptionsalt", sealer.state)
    namespace, _, name = qualified(project.name, key).partition(":")
    try:
        parts = parse_path(name) if path else (name,)
    except ValueError as error:
        raise EngineError(f"config key {key!r}: {error}; need a path like outer.inner[0]") from error
    settings = content.get("config") or {}
    top = f"{namespace}:{parts[0]}"
    spelling = next((old for old in settings if qualified(project.name, str(old)) == top), top)
    new = _set_in(settings.get(spelling), parts[1:], leaf, key)
    file.write_text(_with_entry(text, ("config",), spelling, new))


def _typed(value: str) -> Any:
    if value in ("true", "false"):
        return value == "true"
    return int(value) if re.fullmatch(r"-?(0|[1-9]\d*)", value) else value


def _set_in(container: Any, path: tuple[str | int, ...], leaf: Any, key: str) -> Any:
    if not path:
        return leaf
    head, rest = path[0], path[1:]
    if isinstance(head, int):
        items = list(container or []) if isinstance(container, list | None) else None
        if items is None or head > len(items):
            raise EngineError(f"config key {key!r}: index {head} is outside the list")
        items[head : head + 1] = [_set_in(items[head] if head < len(items) else None, rest, leaf, key)]
        return items
    if not isinstance(container, dict | None):
        raise EngineError(f"config key {key!r}: {head!r} is inside a value that is no object")
    return {**(container or {}), head: _set_in((container or {}).get(head), rest, leaf, key)}


def _with_entry(text: str, parents: tuple[str, ...], key: str, value: Any) -> str:
    """The YAML text with one entry of a block mapping replaced or added, the rest left as it is."""
    if text and not text.endswith("\n"):
        text += "\n"
    node = yaml.compose(text, Loader=yaml.SafeLoader) if text.strip() else None
    for depth, parent in enumerate(parents):
        entry = _find(node, parent)
        if entry is None or not isinstance(entry[1], yaml.MappingNode) or entry[1].flow_style:
            return _with_entry(text, parents[:depth], parent, {key: value})
        node = entry[1]
    indent = "  " * len(parents)
    if parents and isinstance(node, yaml.MappingNode):
        indent = " " * node.start_mark.column
    dumped = yaml.safe_dump({key: value}, sort_keys=True, allow_unicode=True, width=1000)
    block = "".join(indent + line + "\n" for line in dumped.splitlines())
    found = _find(node, key)
    if found:
        start, end = _line_start(text, found[0].start_mark.index), found[1].end_mark.index
        if end > start and text[end - 1] != "\n":
            end = text.find("\n", end) + 1
        return text[:start] + block + _kept_gap(text, found[1], end) + text[end:]
    if node is None or not parents:
        return block + text if key == "encryptionsalt" else text + block
    end = _last_line(node, text)
    return text[:end] + block + text[end:]


def _find(node: yaml.Node | None, key: str) -> tuple[yaml.Node, yaml.Node] | None:
    if isinstance(node, yaml.MappingNode):
        return next(((k, v) for k, v in node.value if k.value == key), None)
    return None


def _line_start(text: str, index: int) -> int:
    return text.rfind("\n", 0, index) + 1


def _last_scalar(node: yaml.Node) -> yaml.Node:
    while isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        node = last[1] if isinstance(last, tuple) else last
    return node


def _last_line(node: yaml.Node, text: str) -> int:
    """Where the line after the node's last value begins (a block node's own end runs over comments)."""
    end = _last_scalar(node).end_mark.index
    if end and text[end - 1] == "\n":
        return end
    return text.find("\n", end) + 1 or len(text)


def _kept_gap(text: str, node: yaml.Node, end: int) -> str:
    """Comments and blank lines that follow a block value, which its node counts as its own."""
    return text[min(_last_line(node, text), end) : end]
