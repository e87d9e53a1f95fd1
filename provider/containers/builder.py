"""The program that builds images on this computer, and the private store that it keeps them in."""

import hashlib
import os
import shutil
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import platformdirs

from provider.commands import buildah, docker_build, podman
from provider.commands.buildah import Store
from provider.commands.unshare import OWN_MOUNTS
from provider.containers import process
from provider.containers.underway import under_way
from provider.errors import Cancelled, UserError
from provider.images.lock import FileLock

DRIVERS = ("overlay", "vfs")


class Commands(Protocol):
    """What provider/commands/{buildah,podman,docker_build}.py are: argument builders of one program."""

    def build(self, store: Store, context: Path, dockerfile: Path, name: str, /) -> list[str]: ...
    def identity(self, store: Store, name: str, /) -> list[str]: ...
    def pull(self, store: Store, reference: str, /) -> list[str]: ...
    def save(self, store: Store, name: str, archive: Path, /) -> list[str]: ...
    def remove(self, store: Store, names: Sequence[str], /) -> list[str]: ...
    def working(self, store: Store, /) -> list[str]: ...
    def discard(self, store: Store, containers: Sequence[str], /) -> list[str]: ...
    def info(self, store: Store, /) -> list[str]: ...


PROGRAMS: tuple[tuple[str, Commands], ...] = (
    ("buildah", buildah),
    ("podman", podman),
    ("docker", docker_build),
)
_choice = threading.Lock()


@dataclass(frozen=True)
class Builder:
    """One program and its store. `cache` is the folder for everything that may be made again."""

    commands: Commands
    store: Store
    cache: Path
    cancelled: threading.Event

    def identity(self, name: str) -> str:
        """The id of a local image, empty when there is none of this name."""
        return process.answer(self.commands.identity(self.store, name))

    def build(
        self,
        context: Path,
        dockerfile: Path,
        name: str,
        what: str,
        on_line: Callable[[str], None] | None = None,
    ) -> None:
        """UserError `what: ...` with the last lines of the build when a step fails."""
        argv = self.commands.build(self.store, context, dockerfile, name)
        with under_way(self.cache / "building", self._gate, self._sweep):
            process.run(argv, what=what, cancelled=self.cancelled, on_line=on_line)

    def _sweep(self) -> None:
        """A build that is killed leaves the container it worked in, and that one's mount."""
        ask = self.commands.working(self.store)
        if left := process.answer(ask).split() if ask else []:
            process.succeeds(self.commands.discard(self.store, left))

    def _gate(self) -> AbstractContextManager[None]:
        return _locked(self.cache, "building", threading.Event())

    def pull(self, reference: str, what: str) -> None:
        process.run(
            self.commands.pull(self.store, reference), what=what, cancelled=self.cancelled, timeout=600
        )

    def save(self, name: str, archive: Path) -> None:
        """Write the image as a docker-archive."""
        argv = self.commands.save(self.store, name, archive)
        process.run(argv, what=f"saving image {name}", cancelled=self.cancelled)

    def remove(self, name: str) -> None:
        """Let go of an image and of the steps that only it needed; no error when it is not there."""
        process.succeeds(self.commands.remove(self.store, [name]))

    @contextmanager
    def alone(self, key: str) -> Iterator[None]:
        """Only one thread of one process at a time is in here for a key."""
        with _locked(self.cache, key, self.cancelled):
            yield


@contextmanager
def _locked(cache: Path, key: str, cancelled: threading.Event) -> Iterator[None]:
    folder = cache / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / key) as lock:
        while not lock.try_acquire():
            if cancelled.wait(0.2):
                raise Cancelled(f"waiting for another build of {key}: interrupted")
        yield


def cache_folder() -> Path:
    """Where everything is kept that may be made again: stores, compressed layers, locks."""
    return platformdirs.user_cache_path("cloudmatrix") / "containers"


def open_builder(cancelled: threading.Event, cache: Path | None = None) -> Builder:
    """The first of buildah, podman and docker that works here; UserError when there is none."""
    cache = cache or cache_folder()
    present = [(name, commands) for name, commands in PROGRAMS if shutil.which(name)]
    with _choice:
        for name, commands in present:
            store = _working_store(name, commands, cache)
            if store is not None:
                return Builder(commands, store, cache, cancelled)
    found = f"{', '.join(name for name, _ in present)} does not work here" if present else "none is installed"
    raise UserError(
        f"building an image needs buildah, podman or docker; {found}; try: apt-get install buildah"
    )


def _working_store(name: str, commands: Commands, cache: Path) -> Store | None:
    """The driver is tried once; each has a folder of its own, so a change of mind mixes nothing up."""
    cache.mkdir(parents=True, exist_ok=True)
    # Each cache has its own: two stores with one run-time folder would count each other's mounts.
    run = _runtime_folder() / hashlib.sha256(os.fsencode(cache)).hexdigest()[:12]
    note = cache / f"driver-{name}"
    known = note.read_text().strip() if note.is_file() else ""
    own_mounts = _is_root() and process.succeeds([*OWN_MOUNTS, "true"])
    for driver in (known,) if known in DRIVERS else DRIVERS:
        store = Store(cache / f"store-{driver}", run / driver, driver, own_mounts)
        if known or process.succeeds(commands.info(store)):
            note.write_text(driver)
            return store
    return None


def _is_root() -> bool:
    return sys.platform != "win32" and os.getuid() == 0


def _runtime_folder() -> Path:
    """A folder of ours that is empty after a restart: what is mounted is noted in it."""
    if sys.platform == "win32":  # no user but ours may look into its temporary folder
        return Path(tempfile.gettempdir()) / "cloudmatrix" / "containers"
    user = os.getuid()
    places = (os.environ.get("XDG_RUNTIME_DIR"), f"/run/user/{user}", "/run" if user == 0 else None)
    parent = next((place for place in places if place and Path(place).is_dir()), None)
    folder = Path(parent) / "cloudmatrix" if parent else Path(tempfile.gettempdir()) / f"cloudmatrix-{user}"
    folder.mkdir(exist_ok=True, mode=0o700)
    if folder.stat().st_uid != user:
        raise UserError(f"{folder} belongs to another user; remove it or set XDG_RUNTIME_DIR")
    return folder / "containers"
