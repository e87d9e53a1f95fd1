"""Processes of this computer, by where they run."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil


@dataclass(frozen=True)
class Running:
    """One process: `folder` is where it runs, which may have been deleted since; `line` its command line."""

    process: psutil.Process
    folder: Path
    line: str


def running() -> Iterator[Running]:
    """Every process that can be looked at; one that ends meanwhile is left out."""
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            folder = Path(process.cwd().removesuffix(" (deleted)"))
            yield Running(process, folder, " ".join(process.cmdline()))


def below(root: Path) -> Iterator[Running]:
    """Processes that run in or below this folder."""
    return (each for each in running() if each.folder.is_relative_to(root.resolve()))
