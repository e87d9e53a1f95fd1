"""Changing a stack's config file."""

from pathlib import Path

from engine import project as projects
from engine import stack_config, state
from engine.backend import Backend


def set_config(project: Path, stack: str, key: str, value: str, secret: bool, path: bool) -> None:
    """Write one value to Pulumi.<stack>.yaml as `pulumi config set` does. Raises EngineError.

    With `path` the key is a path into an object, and true, false and whole numbers get their own types.
    """
    where = projects.load(project)
    salt = state.salt_of(Backend(where.backend, where.name, stack).read() or {}) if secret else None
    stack_config.write(where, stack, key, value, secret=secret, path=path, salt=salt)
