"""Which stacks use which image: a note for each, beside the images, so that pruning asks no project.

A note counts as long as its stack can still want the image: the stack's folder `.matrix/<stack>` exists
(its machines' disks are there), or its state in the project names the image. A project that was removed, or
whose `.matrix` was, counts no more.
"""

import hashlib
import json
import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from provider.errors import Cancelled
from provider.images.lock import FileLock

FOLDER = ".usage"
PAUSE = 0.05
_NEVER = threading.Event()


@dataclass(frozen=True)
class User:
    """A stack of the project in a folder."""

    project: Path
    stack: str

    @property
    def key(self) -> str:
        return hashlib.sha256(f"{self.project}\0{self.stack}".encode()).hexdigest()[:32]

    def wants(self, identifier: str) -> bool:
        matrix = self.project / ".matrix"
        if (matrix / self.stack).is_dir():
            return True
        states = matrix / "state" / ".pulumi" / "stacks"
        if any(states.glob(f"*/{self.stack}.json.gz")) or any(states.glob(f"*/{self.stack}.json.zst")):
            return True  # not read here, so it may
        return any(_names(path, identifier) for path in states.glob(f"*/{self.stack}.json"))


class Usage:
    """The notes below `images`, the folder of all images; safe for any number of threads and processes."""

    def __init__(self, images: Path) -> None:
        self._folder = images / FOLDER

    def add(self, identifier: str, project: Path, stack: str, cancelled: threading.Event = _NEVER) -> None:
        """Note that a stack uses an image, there already or not. In a cache that cannot be written, where
        nothing can be pruned either, nothing happens."""
        user = User(project.resolve(), stack)
        with suppress(OSError), self.held(cancelled):
            folder = self._folder / identifier
            folder.mkdir(parents=True, exist_ok=True)
            text = json.dumps({"project": str(user.project), "stack": user.stack})
            with tempfile.NamedTemporaryFile("w", dir=folder, prefix=".new-", delete=False) as file:
                file.write(text)
            Path(file.name).replace(folder / f"{user.key}.json")

    def remove(self, identifier: str, project: Path, stack: str) -> None:
        folder = self._folder / identifier
        with suppress(OSError):
            (folder / f"{User(project.resolve(), stack).key}.json").unlink()
            folder.rmdir()  # stays while others use the image

    def noted(self, identifier: str) -> list[User]:
        """All that ever used the image and did not say that they ended, in the order of their names."""
        return sorted(self._read(self._folder / identifier), key=lambda user: (user.project, user.stack))

    def users(self, identifier: str) -> list[User]:
        """Those whose note still counts."""
        return [user for user in self.noted(identifier) if user.wants(identifier)]

    def projects(self) -> set[Path]:
        """Every project that is noted for some image."""
        folders = self._folder.glob("[0-9a-f]*")
        return {user.project for folder in folders for user in self._read(folder)}

    def forget(self, identifier: str) -> None:
        """Remove the notes of an image that is gone."""
        folder = self._folder / identifier
        for note in folder.glob("*"):
            note.unlink(missing_ok=True)
        with suppress(OSError):
            folder.rmdir()

    @contextmanager
    def held(self, cancelled: threading.Event = _NEVER) -> Iterator[None]:
        """While this lasts no note is added: what is unused stays so. Keep it short."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with FileLock(self._folder / ".lock") as lock:
            while not lock.try_acquire():
                if cancelled.wait(PAUSE):
                    raise Cancelled("base image: stopped waiting for the notes of its use")
            yield

    def _read(self, folder: Path) -> Iterator[User]:
        for note in folder.glob("*.json"):
            with suppress(OSError, ValueError, KeyError, TypeError):
                fields = json.loads(note.read_text())
                yield User(Path(fields["project"]), str(fields["stack"]))


def _names(path: Path, identifier: str) -> bool:
    try:
        return identifier.encode() in path.read_bytes()
    except OSError:
        return os.path.lexists(path)  # there, but closed to us: it may
