"""Pulumi.yaml: the project's name, its backend's folder and its provider plugins."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import yaml

from engine.errors import EngineError, unsupported

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True)
class Project:
    """`backend` is the folder that holds `.pulumi/`; `plugins` are provider folders by package name."""

    root: Path
    name: str
    backend: Path
    plugins: Mapping[str, Path] = field(default_factory=dict)


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in the file; {} for an empty file. Raises EngineError when it is none."""
    try:
        content = yaml.load(path.read_text(), Loader=_Loader)  # noqa: S506 - a safe loader
    except OSError as error:
        raise EngineError(f"cannot read {path}: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise EngineError(f"{path} is no valid YAML: {error}") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise EngineError(f"{path}: got {type(content).__name__}; need a mapping")
    return content


def load(root: Path) -> Project:
    """Raises EngineError for a project that needs the Pulumi CLI."""
    root = root.resolve()
    content = read_yaml(root / "Pulumi.yaml")
    runtime = content.get("runtime")
    language = runtime.get("name") if isinstance(runtime, dict) else runtime
    if language != "python":
        raise unsupported(f"runtime {language!r}")
    for key in ("main", "config", "stackConfigDir", "packages"):
        if content.get(key):
            raise unsupported(f"`{key}:` in Pulumi.yaml")
    url = os.environ.get("PULUMI_BACKEND_URL") or (content.get("backend") or {}).get("url")
    return Project(root, str(content["name"]), _backend(root, url), _plugins(root, content))


def _backend(root: Path, url: str | None) -> Path:
    if not url:
        raise EngineError(
            "no backend: set PULUMI_BACKEND_URL=file://… or `backend: {url: file://…}` in Pulumi.yaml"
        )
    if not url.startswith("file://"):
        raise unsupported(f"the backend {url}")
    path = Path(unquote(url.removeprefix("file://").split("?")[0])).expanduser()
    return path if path.is_absolute() else root / path


def _plugins(root: Path, content: Mapping[str, Any]) -> dict[str, Path]:
    plugins = content.get("plugins") or {}
    if others := plugins.keys() - {"providers"}:
        raise unsupported(f"`plugins: {min(others)}:` in Pulumi.yaml")
    return {entry["name"]: root / entry["path"] for entry in plugins.get("providers") or []}
