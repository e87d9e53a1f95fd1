"""The stack config: what a user writes, read into frozen dataclasses."""

from config.load import fail, load
from config.model import (
    MANAGER,
    Application,
    Base,
    Config,
    ConfigError,
    Forwards,
    HostFacts,
    Network,
    Placement,
    Secret,
    Size,
)
from config.parse import parse

__all__ = [
    "MANAGER",
    "Application",
    "Base",
    "Config",
    "ConfigError",
    "Forwards",
    "HostFacts",
    "Network",
    "Placement",
    "Secret",
    "Size",
    "fail",
    "load",
    "parse",
]
