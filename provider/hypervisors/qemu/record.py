"""A machine's record, `machine.json` in its folder: what it should be, written before anything is made."""

import json
import os
import threading
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from provider.errors import UserError
from provider.hypervisors.base import Card, Forward, Machine

FILE = "machine.json"
MACHINES = "machines"


def save(machine: Machine) -> None:
    """Write the record whole or not at all."""
    write(machine.folder / FILE, asdict(machine))


def write(target: Path, content: Any) -> None:
    """Write JSON so that a reader, or a crash, meets the old or the new file and nothing between."""
    fresh = target.with_name(f".{target.name}.{os.getpid()}.{threading.get_ident()}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        json.dump(content, stream, indent=2, default=str)
        stream.flush()
        os.fsync(stream.fileno())
    fresh.replace(target)


def load(folder: Path) -> Machine | None:
    """The machine recorded in this folder; None without a record. UserError: the record is unreadable."""
    file = folder / FILE
    try:
        known = json.loads(file.read_text())
        return Machine(
            uuid=known["uuid"],
            name=known["name"],
            stack=known["stack"],
            # Where the record lies now: the project's folder may have been moved.
            folder=folder,
            image=Path(known["image"]),
            cpus=known["cpus"],
            memory=known["memory"],
            disk=known["disk"],
            cards=tuple(Card(**card) for card in known["cards"]),
            forwards=tuple(Forward(**rule) for rule in known["forwards"]),
            seed=Path(known["seed"]) if known["seed"] else None,
        )
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{file}: the machine's record cannot be read: {error}\n"
            f"end its QEMU process if one runs, remove {folder} and run up again"
        ) from error


def folders(root: Path, stack: str | None = None) -> Iterator[Path]:
    """Folders that hold a record, of one stack or of all."""
    stacks = [root / stack] if stack else sorted(path for path in root.glob("*") if path.is_dir())
    for folder in stacks:
        for file in sorted((folder / MACHINES).glob(f"*/{FILE}")):
            yield file.parent


def readable(root: Path, stack: str | None = None) -> Iterator[Machine]:
    """Recorded machines; a damaged record must not hide the others."""
    for folder in folders(root, stack):
        try:
            machine = load(folder)
        except UserError:
            continue
        if machine:
            yield machine


def find(root: Path, uuid: str) -> Machine | None:
    return next((machine for machine in readable(root) if machine.uuid == uuid), None)
