"""What needs an image although no stack notes it: machines' disks that build on it, and open files."""

import platform
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from provider.images.lineage import Parent, is_parent, parent_of


@dataclass(frozen=True)
class Dependents:
    """`disks` with what each builds on."""

    disks: Sequence[tuple[Path, Parent]]
    opened: Mapping[Path, str]
    """Folder -> who has a file in it open."""

    def of(self, folder: Path) -> str:
        """Why the image in the folder is needed, or ""."""
        for disk, parent in self.disks:
            if is_parent(parent, folder):
                return f"the disk {disk} depends on it"
        who = self.opened.get(folder.resolve())
        return f"{who} has it open" if who else ""


def look(projects: Iterable[Path]) -> Dependents:
    """As it is now, for the machines of these projects and the processes that we may ask."""
    disks = [
        (disk, parent)
        for project in sorted(projects)
        for disk in sorted(project.glob(".matrix/*/machines/*/disk.*"))
        if (parent := parent_of(disk))
    ]
    return Dependents(disks, {path.parent: who for path, who in _open_files()})


def _open_files() -> Iterator[tuple[Path, str]]:
    """Every file that a process of ours has open, and which has."""
    # Elsewhere a file that is open cannot be removed, or the question is too slow to ask.
    if platform.system() == "Linux":
        for process in psutil.process_iter():
            with suppress(psutil.Error, OSError):
                for file in process.open_files():
                    yield Path(file.path), f"process {process.pid} ({process.name()})"
