"""What was meant to be made, in the machine's folder before anything is made in VirtualBox.

By it a half-made machine, and one that VirtualBox cannot read, is known as ours.
"""

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from provider.hypervisors.base import Card, Machine

FILE = "virtualbox.json"
MACHINES = "machines"


@dataclass(frozen=True)
class Record:
    """`folder` is where the record lies: the project may have been moved."""

    uuid: str
    name: str
    stack: str
    folder: Path
    image: Path
    cards: tuple[Card, ...]

    @property
    def title(self) -> str:
        """The machine's name in VirtualBox, where all stacks' machines stand in one list."""
        return f"{self.stack}-{self.name}"


def of(machine: Machine) -> Record:
    # VBoxSVC is another process: a path has to mean the same to it.
    folder, image = machine.folder.absolute(), machine.image.absolute()
    return Record(machine.uuid, machine.name, machine.stack, folder, image, machine.cards)


def save(record: Record) -> None:
    record.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    target = record.folder / FILE
    fresh = target.with_name(f".{FILE}.new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        json.dump(asdict(record), stream, indent=2, default=str)
        stream.flush()
        os.fsync(stream.fileno())
    fresh.replace(target)


def load(folder: Path) -> Record | None:
    """The record in this folder; one that cannot be read is as good as none."""
    try:
        known = json.loads((folder / FILE).read_text())
        cards = tuple(Card(**card) for card in known["cards"])
        return Record(known["uuid"], known["name"], known["stack"], folder, Path(known["image"]), cards)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def every(root: Path, stack: str | None = None) -> Iterator[Record]:
    """Recorded machines of one stack or of all."""
    for file in sorted(root.glob(f"{stack or '*'}/{MACHINES}/*/{FILE}")):
        if known := load(file.parent):
            yield known


def find(root: Path, uuid: str) -> Record | None:
    return next((record for record in every(root) if record.uuid == uuid), None)
