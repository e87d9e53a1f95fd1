"""The stack config as it lies in Pulumi.<stack>.yaml, for those who read it without Pulumi."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from config.model import ConfigError

NAMESPACE = "cloudmatrix"
HIDDEN = "[secret]"
"""Stands for a value that is encrypted in the file."""


def path(project: Path, stack: str) -> Path:
    return project / f"Pulumi.{stack}.yaml"


def read(project: Path, stack: str) -> dict[str, Any]:
    """The keys of the namespace without its name, ready for `parse`. Raises ConfigError for a broken file."""
    file = path(project, stack)
    try:
        document = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
    except yaml.YAMLError as error:
        raise ConfigError((f"{file.name}: got {_cause(error)}; need YAML; try mending that line",)) from None
    config = document.get("config") if isinstance(document, Mapping) else None
    if not isinstance(document, Mapping) or not isinstance(config, Mapping | None):
        raise ConfigError((f"{file.name}: got no mapping; need `config:` and settings; try config: {{}}",))
    prefix = f"{NAMESPACE}:"
    return {
        str(key).removeprefix(prefix): _hide(value)
        for key, value in (config or {}).items()
        if str(key).startswith(prefix)
    }


def _hide(value: Any) -> Any:
    if isinstance(value, Mapping):
        if list(value) == ["secure"]:
            return HIDDEN
        return {str(key): _hide(item) for key, item in value.items()}
    return [_hide(item) for item in value] if isinstance(value, list) else value


def _cause(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    where = f"line {mark.line + 1}: " if mark else ""
    return f"{where}{getattr(error, 'problem', None) or error}"
