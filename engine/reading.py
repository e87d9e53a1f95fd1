"""Reading a stack without running anything."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from engine import project as projects
from engine import state
from engine import urn as urns
from engine.backend import Backend
from engine.state import Resource
from engine.values import masked, plain


def outputs(project: Path, stack: str, show_secrets: bool = False) -> Mapping[str, Any]:
    """The stack's outputs, secrets as `[secret]` unless asked for; {} for a stack that is not up."""
    where = projects.load(project)
    latest = Backend(where.backend, where.name, stack).read()
    return stack_outputs(state.decode(latest or {}).resources, show_secrets)


def stack_outputs(resources: Sequence[Resource], show_secrets: bool = False) -> Mapping[str, Any]:
    root = next((resource for resource in resources if resource.type == urns.STACK_TYPE), None)
    values: Mapping[str, Any] = (plain if show_secrets else masked)(root.outputs) if root else {}
    return values
