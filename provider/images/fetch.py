"""The file a base image is made from, verified: fetched once into the cache, or the user's own.

`<cache>/downloads/<sha256>/<name>` appears by one rename after its sum was found right. What is on its way is
`<cache>/downloads/.part-<sha256>/file`, which the next run goes on with.
"""

import itertools
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import platformdirs

from provider.errors import Cancelled, UserError
from provider.images import checksums, web
from provider.images.download import Download, Patience, keep
from provider.images.lock import FileLock

PART = ".part-"
LOCK = ".lock-"


def downloads() -> Path:
    return platformdirs.user_cache_path("cloudmatrix") / "downloads"


def fetch(
    source: Mapping[str, Any],
    progress: Callable[[str], None],
    cancelled: threading.Event,
    *,
    root: Path | None = None,
    patience: Patience | None = None,
) -> Path:
    """The verified file of a source {url | path, sha256}. UserError says why it cannot be had."""
    sha256 = source["sha256"]
    if "path" in source:
        return _own(Path(source["path"]), sha256, progress, cancelled)
    shelf = Shelf(root or downloads(), source["url"], sha256, progress, cancelled, patience or Patience())
    return shelf.file()


def _own(path: Path, sha256: str, progress: Callable[[str], None], cancelled: threading.Event) -> Path:
    if not path.is_file():
        raise UserError(f"base image: {path} does not exist; check base.path")
    found = checksums.sha256_of(path, progress, cancelled)
    if found != sha256:
        raise UserError(
            f"base image: {path} has sha256 {found} ({path.stat().st_size} bytes), expected {sha256}; "
            "it is damaged or another file: get it anew, or correct base.sha256"
        )
    return path


@dataclass(frozen=True)
class Shelf:
    """The place of one content in the cache, and the address from which it comes."""

    root: Path
    address: str
    sha256: str
    progress: Callable[[str], None]
    cancelled: threading.Event
    patience: Patience

    @property
    def name(self) -> str:
        return web.file_name(self.address)

    @property
    def folder(self) -> Path:
        return self.root / self.sha256

    def file(self) -> Path:
        """The file, fetched when it is not there; one process fetches, the others wait for it."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(
                f"base image: {self.root} cannot be made: {error.strerror}; check its rights"
            ) from None
        with FileLock(self.root / f"{LOCK}{self.sha256}") as lock:
            self._await(lock)
            return self._there() or self._fetched()

    def _await(self, lock: FileLock) -> None:
        if lock.try_acquire():
            return
        self.progress(f"waiting for another process that fetches {self.name}")
        while not lock.try_acquire():
            if self.cancelled.wait(0.2):
                raise Cancelled(f"{self.name}: stopped waiting for another process that fetches it")

    def _there(self) -> Path | None:
        """The good file of an earlier run, whatever it is called; a damaged one is set aside."""
        for path in sorted(self.folder.glob("[!.]*")):
            found = checksums.sha256_of(path, self.progress, self.cancelled)
            if found == self.sha256:
                return path
            aside = _aside(path)
            path.rename(aside)
            self.progress(
                f"{path} is damaged: expected sha256 {self.sha256}, got {found} "
                f"({aside.stat().st_size} bytes); set aside as {aside.name}, fetching it again"
            )
        return None

    def _fetched(self) -> Path:
        folder = self.root / f"{PART}{self.sha256}"
        folder.mkdir(exist_ok=True)
        part = folder / "file"
        download = Download(self.address, part, self.progress, self.cancelled, self.patience)
        try:
            if download.run() and not self._right(part):
                # Parts of two different files: begin anew before anybody is blamed.
                self.progress(f"what was kept of {self.name} does not fit; fetching it anew")
                download.forget()
                download.run()
            if not self._right(part):
                raise self._wrong(download)
            target = self.folder / self.name
            keep(part, target)
            download.forget()
            return target
        finally:
            with suppress(OSError):
                folder.rmdir()  # stays with a part that the next run goes on with

    def _right(self, part: Path) -> bool:
        return checksums.sha256_of(part, self.progress, self.cancelled) == self.sha256

    def _wrong(self, download: Download) -> UserError:
        """Another file than was asked for; kept by its own sum, so that a mistyped one costs no download."""
        part = download.part
        found, size = checksums.sha256_of(part, lambda _: None, self.cancelled), part.stat().st_size
        said = f"{size} bytes, as the server told" if download.size == size else f"{size} bytes"
        begun = f"base image: {self.address}: expected sha256 {self.sha256}, got {found} ({said}); "
        if what := _rubbish(part):
            download.forget()
            return UserError(begun + f"it is {what}, not an image, and was removed; check base.url")
        target = self.root / found / self.name
        keep(part, target)
        download.forget()
        return UserError(
            begun + f"it was kept as {target}: if it is the right file, set base.sha256 to its sum; "
            "if not, check base.url (./matrix cache prune removes it)"
        )


def _aside(path: Path) -> Path:
    for number in itertools.count(1):
        aside = path.with_name(f".damaged-{number}-{path.name}")
        if not aside.exists():
            return aside
    raise AssertionError("unreachable")


def _rubbish(path: Path) -> str:
    """What a file is that nobody can have meant, or ""."""
    with path.open("rb") as file:
        head = file.read(512).lstrip().lower()
    if not head:
        return "empty"
    return "a page" if head.startswith((b"<!doctype html", b"<html", b"<?xml")) else ""
