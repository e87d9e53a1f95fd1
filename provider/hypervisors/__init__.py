"""Which hypervisor driver is meant by a name."""

import importlib
from pathlib import Path

from provider.errors import UserError
from provider.hypervisors.base import Hypervisor

AUTO = "auto"
VIRTUALBOX = "virtualbox"
DRIVERS = {
    VIRTUALBOX: "provider.hypervisors.virtualbox.driver:VirtualBox",
    "qemu": "provider.hypervisors.qemu.driver:Qemu",
}
"""In the order of preference."""


def select(name: str, root: Path, in_use: str | None = None) -> Hypervisor:
    """The driver for a hypervisor's name; `root` is the project's `.matrix` folder.

    `auto` stays with what the stack has machines on (`in_use`); a new stack gets the first usable one.
    UserError: no such hypervisor, or none is usable.
    """
    if name != AUTO:
        return _load(name, root)
    if in_use:
        return _load(in_use, root)
    problems = []
    for candidate in DRIVERS:
        try:
            driver = _load(candidate, root)
            found = driver.probe().problems
        except UserError as error:
            found = (str(error),)
        if not found:
            return driver
        problems += [f"{candidate}: {problem}" for problem in found]
    raise UserError("\n".join(["no hypervisor can be used", *problems]))


def _load(name: str, root: Path) -> Hypervisor:
    if name not in DRIVERS:
        raise UserError(f'hypervisor: got "{name}"; need {AUTO}, {", ".join(DRIVERS)}; try {AUTO}')
    module, driver = DRIVERS[name].split(":")
    try:
        made: Hypervisor = getattr(importlib.import_module(module), driver)(root)
    except ImportError as error:
        raise UserError(f"hypervisor: the driver for {name} cannot be loaded: {error}; try qemu") from error
    return made
