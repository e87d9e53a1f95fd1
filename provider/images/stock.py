"""What lies in the cache, what of it is in use, and the removal of the rest.

An image is kept while a stack's note of it counts (usage.py), while a machine's disk of a project known here
builds on it, and while a process has it open. A download is kept while an image that was made
from it is. Nothing is removed that is being made or fetched: whoever does that holds its lock.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from provider.images import fetch, recipe
from provider.images.cache import Cache, Image
from provider.images.dependents import Dependents, look
from provider.images.lock import FileLock
from provider.images.remove import remove
from provider.images.usage import Usage, User

IMAGE, LEFTOVER, DOWNLOAD, PART, CONTAINERS = "image", "leftover", "download", "part", "containers"


@dataclass(frozen=True)
class Item:
    """One thing in the cache. `size` is bytes on the disk, `time` seconds since 1970, `users` those who want
    it; `kept` says why it cannot be pruned, "" when it can."""

    kind: str
    path: Path
    name: str
    origin: str
    size: int
    time: float
    users: tuple[str, ...] = ()
    kept: str = ""


class Stock:
    """The cache in a folder, as it is seen from a project."""

    def __init__(self, root: Path, project: Path) -> None:
        self._images = root / "images"
        self._downloads = root / "downloads"
        self._containers = root / "containers"
        self._cache = Cache(self._images)
        self._usage = Usage(self._images)
        self._project = project

    def items(self) -> list[Item]:
        """Everything, in the order in which it is shown."""
        dependents = look({*self._usage.projects(), self._project.resolve()})
        images = [self._image(image, dependents) for image in self._cache.images()]
        wanted = self._wanted(images)
        return [
            *images,
            *self._leftovers(dependents),
            *self._fetched(wanted),
            *self._parts(),
            *self._container_images(),
        ]

    def prune(self, paths: Iterable[Path]) -> Iterator[Item]:
        """Remove of these what is unused still; each item as it was removed, or with why it was kept."""
        remover: Mapping[str, Callable[[Item], str]] = {
            IMAGE: self._prune_image,
            LEFTOVER: self._prune_leftover,
            DOWNLOAD: self._prune_download,
            PART: self._prune_download,
        }
        chosen = set(paths)
        for item in self.items():
            if item.path in chosen:
                try:
                    kept = item.kept or remover[item.kind](item)
                except OSError as error:
                    kept = f"it cannot be removed: {error.strerror}"
                yield replace(item, kept=kept)

    def _image(self, image: Image, dependents: Dependents) -> Item:
        users = tuple(_named(user) for user in self._usage.users(image.identifier))
        kept = f"used by {users[0]}" if users else dependents.of(image.folder)
        return Item(
            IMAGE,
            image.folder,
            image.identifier[:12],
            self._origin(image.spec),
            _size(image.folder),
            image.files[recipe.DISK].mtime / 1e9,
            users,
            kept,
        )

    def _origin(self, spec: Mapping[str, Any]) -> str:
        older = "" if spec.get("recipe") == recipe.digest() else ", outdated"
        if "sha256" not in spec:
            return f"{spec.get('from', '?')} {spec.get('release', '')}".strip() + older
        names = sorted(path.name for path in (self._downloads / spec["sha256"]).glob("[!.]*"))
        return f"{spec['from']} {names[0] if names else spec['sha256'][:12]}{older}"

    def _wanted(self, images: list[Item]) -> Mapping[str, tuple[str, ...]]:
        """Sum of a file -> who uses the images made from it."""
        found: dict[str, tuple[str, ...]] = {}
        by_folder = {image.folder: image for image in self._cache.images()}
        for item in images:
            image = by_folder.get(item.path)
            if image and item.kept and "sha256" in image.spec:
                found[image.spec["sha256"]] = (*found.get(image.spec["sha256"], ()), *item.users)
        return found

    def _leftovers(self, dependents: Dependents) -> Iterator[Item]:
        """Folders of builds, under way or interrupted, and images that were set aside."""
        for folder in sorted(self._images.glob(".build-*")):
            identifier = folder.name.removeprefix(".build-").partition(".")[0]
            busy = self._locked(self._images, identifier)
            origin, kept = ("being made", "it is being made") if busy else ("interrupted", "")
            yield _item(LEFTOVER, folder, identifier[:12], origin, kept=kept)
        for pattern, origin in ((".damaged-*", "damaged"), (".pruned-*", "half removed")):
            for folder in sorted(self._images.glob(pattern)):
                kept = dependents.of(folder)
                yield _item(LEFTOVER, folder, folder.name.split("-")[1], origin, kept=kept)
        whole = {image.folder for image in self._cache.images()}
        for folder in sorted(set(self._images.glob("[0-9a-f]*/")) - whole):
            yield _item(LEFTOVER, folder, folder.name[:12], "damaged", kept=dependents.of(folder))

    def _fetched(self, wanted: Mapping[str, tuple[str, ...]]) -> Iterator[Item]:
        for folder in sorted(self._downloads.glob("[0-9a-f]*")):
            names = sorted(path.name for path in folder.glob("[!.]*"))
            users = tuple(dict.fromkeys(wanted.get(folder.name, ())))
            kept = "its image is in use" if folder.name in wanted else ""
            if self._locked(self._downloads, folder.name):
                kept = "it is being fetched or checked"
            name = names[0] if names else folder.name[:12]
            yield _item(DOWNLOAD, folder, name, f"sha256 {folder.name[:12]}", users, kept)

    def _parts(self) -> Iterator[Item]:
        for folder in sorted(self._downloads.glob(f"{fetch.PART}*")):
            sha256 = folder.name.removeprefix(fetch.PART)
            busy = self._locked(self._downloads, sha256)
            yield _item(
                PART, folder, sha256[:12], "part of a file", kept="it is being fetched" if busy else ""
            )

    def _container_images(self) -> Iterator[Item]:
        if self._containers.is_dir():
            kept = "base images of containers, for every build"
            yield _item(CONTAINERS, self._containers, "containers", "container images", kept=kept)

    def _prune_image(self, item: Item) -> str:
        """Why it was kept after all. In one step it is an image no more; then its files go."""
        identifier = item.path.name
        with self._usage.held(), FileLock(self._images / f".lock-{identifier}") as lock:
            if not lock.try_acquire():
                return "another process looks at it"
            if users := self._usage.users(identifier):
                return f"used by {_named(users[0])}"
            aside = self._images / f".pruned-{identifier[:12]}-{os.getpid()}"
            item.path.rename(aside)
            self._usage.forget(identifier)
        return _removed(aside)

    def _prune_leftover(self, item: Item) -> str:
        if not item.path.name.startswith(".build-"):
            return _removed(item.path)
        identifier = item.path.name.removeprefix(".build-").partition(".")[0]
        with FileLock(self._images / f".lock-{identifier}") as lock:
            return _removed(item.path) if lock.try_acquire() else "it is being made"

    def _prune_download(self, item: Item) -> str:
        sha256 = item.path.name.removeprefix(fetch.PART)
        with FileLock(self._downloads / f"{fetch.LOCK}{sha256}") as lock:
            if not lock.try_acquire():
                return "it is being fetched or checked"
            for folder in self._images.glob(".build-*"):
                if self._locked(self._images, folder.name.removeprefix(".build-").partition(".")[0]):
                    return "an image is being made, perhaps from it"
            return _removed(item.path)

    def _locked(self, folder: Path, key: str) -> bool:
        with FileLock(folder / f".lock-{key}") as lock:
            return not lock.try_acquire()


def _removed(folder: Path) -> str:
    remove(folder)
    return f"{folder} cannot be removed; remove it by hand" if folder.exists() else ""


def _named(user: User) -> str:
    return f"{user.stack} in {user.project}"


def _item(kind: str, path: Path, name: str, origin: str, users: tuple[str, ...] = (), kept: str = "") -> Item:
    return Item(kind, path, name, origin, _size(path), path.stat().st_mtime, users, kept)


def _size(folder: Path) -> int:
    """Bytes that the folder's files take on the disk, where the system tells that."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                facts = os.lstat(Path(parent, name))
                blocks: int | None = getattr(facts, "st_blocks", None)
                total += facts.st_size if blocks is None else blocks * 512
    return total
