"""The user's cache of base images: one folder an image, named by what it was made from.

`<root>/<id>/` appears by one rename when it is complete, so what is there is whole; a build that ended
half way leaves `<root>/.build-<id>.*`, which the next build of the same image removes. The lock is the
kernel's, so it ends with its holder however that ends.
"""

import contextlib
import hashlib
import itertools
import json
import os
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import platformdirs

from provider.errors import Cancelled, UserError
from provider.images.lock import FileLock
from provider.images.remove import remove

MANIFEST = "manifest.json"
Build = Callable[[Path, int], None]
"""Fills the given folder. The number is a descriptor of the lock: hand it to child processes, so that a
child that outlives this process is waited for by the next build."""


def default_root() -> Path:
    return platformdirs.user_cache_path("cloudmatrix") / "images"


def identify(spec: Mapping[str, Any]) -> str:
    """The image's id: SHA-256 (hex) of its spec, whatever the order of keys."""
    return hashlib.sha256(json.dumps(spec, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


@dataclass(frozen=True)
class Stored:
    """One file of an image as it was when it was last found right; mtime is nanoseconds."""

    sha256: str
    size: int
    mtime: int


@dataclass(frozen=True)
class Image:
    """A complete image. `spec` is what its id was computed from; disk_size is GiB."""

    folder: Path
    spec: Mapping[str, Any]
    disk_size: int
    files: Mapping[str, Stored]

    @property
    def identifier(self) -> str:
        return self.folder.name

    @property
    def disk(self) -> Path:
        return self.folder / "disk.qcow2"

    @property
    def sha256(self) -> str:
        return self.files["disk.qcow2"].sha256


class Unreadable(Exception):
    """An image's manifest is damaged."""


class Cache:
    """Images under `root`; safe for any number of threads and processes."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def find(self, identifier: str) -> Image | None:
        """The image, or None. A damaged one is set aside; UserError says which file and how it differs."""
        folder = self.root / identifier
        if not (folder / MANIFEST).is_file():
            return None
        try:
            image = _read(folder)
        except FileNotFoundError:  # pruned just now
            return None
        except Unreadable as error:
            damage = [str(error)]
        else:
            damage = [
                text for name, stored in image.files.items() if (text := _damage(folder / name, stored))
            ]
        if damage:
            aside = self._set_aside(folder)
            raise UserError(
                f"base image {identifier[:12]} in {self.root} is damaged: {'; '.join(damage)}; "
                f"it was set aside as {aside.name}; run again to make it anew, and remove that folder"
            )
        return self._remember(image)

    def ensure(
        self,
        spec: Mapping[str, Any],
        disk_size: int,
        build: Build,
        progress: Callable[[str], None],
        cancelled: threading.Event,
    ) -> Image:
        """The image of `spec`, built when it is not there; one builds, the others wait for it."""
        identifier = identify(spec)
        if (image := self.find(identifier)) is not None:
            return image
        self.root.mkdir(parents=True, exist_ok=True)
        with FileLock(self.root / f".lock-{identifier}") as lock:
            self._await(lock, progress, cancelled)
            self._sweep(identifier)
            if (image := self.find(identifier)) is not None:
                return image
            return self._build(identifier, spec, disk_size, lambda folder: build(folder, lock.fileno()))

    def images(self) -> Iterator[Image]:
        """Every complete image, unchecked; without those whose manifest is damaged."""
        for manifest in sorted(self.root.glob(f"[0-9a-f]*/{MANIFEST}")):
            with contextlib.suppress(FileNotFoundError, Unreadable):  # pruned just now, or damaged
                yield _read(manifest.parent)

    def _build(
        self, identifier: str, spec: Mapping[str, Any], disk_size: int, fill: Callable[[Path], None]
    ) -> Image:
        work = Path(tempfile.mkdtemp(prefix=f".build-{identifier}.", dir=self.root))
        try:
            work.chmod(0o755)
            fill(work)
            files = {path.name: _stored(path) for path in sorted(work.iterdir()) if path.is_file()}
            for name in files:
                (work / name).chmod(0o444)
            _write(Image(work, spec, disk_size, files))
            return _read(work.rename(self.root / identifier))
        except BaseException:
            remove(work)
            raise

    def _remember(self, image: Image) -> Image:
        """Files proved right by their sums get their new times into the manifest: the next look is quick."""
        files = {
            name: replace(stored, mtime=(image.folder / name).stat().st_mtime_ns)
            for name, stored in image.files.items()
        }
        if files == image.files:
            return image
        current = replace(image, files=files)
        with contextlib.suppress(OSError):  # a cache that cannot be written still serves
            _write(current)
        return current

    def _await(self, lock: FileLock, progress: Callable[[str], None], cancelled: threading.Event) -> None:
        if lock.try_acquire():
            return
        progress("waiting for another process that makes this image")
        while not lock.try_acquire():
            if cancelled.wait(0.2):
                raise Cancelled("base image: stopped waiting for another process that makes it")

    def _sweep(self, held: str) -> None:
        """Remove what interrupted builds left: of the image held by us, and of those nobody builds."""
        for folder in self.root.glob(".build-*"):
            identifier = folder.name.removeprefix(".build-").partition(".")[0]
            if identifier == held:
                remove(folder)
                continue
            with FileLock(self.root / f".lock-{identifier}") as lock:
                if lock.try_acquire():
                    remove(folder)

    def _set_aside(self, folder: Path) -> Path:
        for number in itertools.count(1):
            aside = folder.with_name(f".damaged-{folder.name[:12]}-{number}")
            if not aside.exists():
                return folder.rename(aside)
        raise AssertionError("unreachable")


def _stored(path: Path) -> Stored:
    facts = path.stat()
    with path.open("rb") as file:
        return Stored(hashlib.file_digest(file, "sha256").hexdigest(), facts.st_size, facts.st_mtime_ns)


def _damage(path: Path, expected: Stored) -> str:
    """How a file differs from what was stored, or "". Its content is read only when size or time differ."""
    if not path.is_file():
        return f"{path.name} is missing"
    facts = path.stat()
    if (facts.st_size, facts.st_mtime_ns) == (expected.size, expected.mtime):
        return ""
    found = _stored(path)
    if found.sha256 == expected.sha256:
        return ""
    return (
        f"{path.name}: expected sha256 {expected.sha256} ({expected.size} bytes), "
        f"got {found.sha256} ({found.size} bytes)"
    )


def _read(folder: Path) -> Image:
    """FileNotFoundError: there is none; Unreadable: it is damaged."""
    text = (folder / MANIFEST).read_text(errors="replace")
    try:
        document = json.loads(text)
        files = {name: Stored(**fields) for name, fields in document["files"].items()}
        return Image(folder, document["spec"], document["disk_size"], files)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise Unreadable(f"{MANIFEST} cannot be read") from None


def _write(image: Image) -> None:
    """Replace the manifest in one step, on disk before it counts."""
    document = {
        "spec": image.spec,
        "disk_size": image.disk_size,
        "files": {name: asdict(stored) for name, stored in image.files.items()},
    }
    with tempfile.NamedTemporaryFile("w", dir=image.folder, prefix=".manifest-", delete=False) as file:
        json.dump(document, file, indent=2)
        file.flush()
        os.fsync(file.fileno())
    Path(file.name).chmod(0o644)
    Path(file.name).replace(image.folder / MANIFEST)
