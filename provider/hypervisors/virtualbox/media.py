"""Disks: the base image as VirtualBox reads it, clones of it, and what is left of them.

A clone is a differencing disk whose parent is the base: made at once, whatever the base's size. VirtualBox
must know the base while a clone exists, and forgets it with the last one; its file is never deleted here.
"""

import os
import shutil
import subprocess
import time
import uuid as uuids
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from provider.errors import UserError
from provider.hypervisors.locks import lock
from provider.hypervisors.virtualbox.identity import inside
from provider.hypervisors.virtualbox.library import Medium, VirtualBox, VirtualBoxError
from provider.hypervisors.virtualbox.session import finish
from provider.images.lock import FileLock

BASE = "disk.vdi"
DISK = "disk.vdi"
GIB = 1024**3
QCOW2 = b"QFI\xfb"
NAMESPACE = uuids.UUID("b1d9f7c4-5a0e-5e0c-9b55-2f5a3e0a9b1d")
LOCK_DEADLINE = 1800.0
CONVERT_DEADLINE = 1800.0
POLL = 0.1


@contextmanager
def base_lock(image: Path) -> Iterator[None]:
    """For what must not happen to a base twice at once, in this process or another."""
    with lock(str(image)), FileLock(image.with_name(f"{BASE}.lock")) as file:
        end = time.monotonic() + LOCK_DEADLINE
        while not file.try_acquire():
            if time.monotonic() > end:
                raise UserError(f"base image {image}: another run has used it for {LOCK_DEADLINE:.0f} s")
            time.sleep(POLL)
        yield


def base_path(image: Path) -> Path:
    return image.with_name(BASE)


def open_base(virtualbox: VirtualBox, image: Path) -> Medium:
    """The base as a medium, converted first unless it has been. Call it with the base's lock held.

    UserError: the image is missing or cannot be read.
    """
    if not base_path(image).exists():
        _convert(virtualbox, image)
    base = virtualbox.open_medium(str(base_path(image)))
    if base.refresh_state() == "Inaccessible":
        raise UserError(f"base image {base.location}: {base.last_access_error}\ndestroy the VMs made from it")
    return base


def _convert(virtualbox: VirtualBox, image: Path) -> None:
    """The base from the cache's qcow2, whole or not at all, and never written to afterwards."""
    for stale in image.parent.glob(".base-*.vdi"):
        with suppress(OSError):
            stale.unlink()
    fresh = image.with_name(f".base-{uuids.uuid4().hex[:8]}.vdi")
    try:
        _copy(virtualbox, image, fresh)
        target = virtualbox.open_medium(str(fresh), access="ReadWrite")
        target.set_image_id(base_uuid(image))
        target.refresh_state()
        target.close()
        fresh.chmod(0o444)
        fresh.replace(base_path(image))
    finally:
        with suppress(OSError):
            fresh.unlink(missing_ok=True)


def _copy(virtualbox: VirtualBox, image: Path, target: Path) -> None:
    """By VirtualBox itself, which reads qcow2 as qemu-img convert writes it; else by qemu-img."""
    with image.open("rb") as stream:
        # What VirtualBox does not know it takes for raw content.
        if stream.read(4) != QCOW2:
            raise UserError(_unreadable(image, "it is not in qcow2 format"))
    try:
        source = virtualbox.open_medium(str(image))
        try:
            medium = virtualbox.create_medium(str(target))
            finish(source.clone_to_base(medium), CONVERT_DEADLINE)
            medium.close()
        finally:
            source.close()
    except VirtualBoxError as error:
        target.unlink(missing_ok=True)
        argv = ["qemu-img", "convert", "-O", "vdi", str(image), str(target)]
        if shutil.which(argv[0]) is None:
            raise UserError(_unreadable(image, f"{error}; qemu-img, which may, is not installed")) from error
        done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=CONVERT_DEADLINE)
        if done.returncode:
            raise UserError(_unreadable(image, done.stderr.strip()[-1000:])) from error


def _unreadable(image: Path, cause: str) -> str:
    return f"base image {image} is not a disk that VirtualBox can use; remove it and run up again\n{cause}"


def base_uuid(image: Path) -> str:
    """The same for the same file: a base removed by hand and converted again fits the clones made before."""
    found = image.stat()
    return str(uuids.uuid5(NAMESPACE, f"{image}\n{found.st_size}\n{found.st_mtime_ns}"))


def clone(virtualbox: VirtualBox, base: Medium, folder: Path, *, first: bool) -> Medium:
    """A differencing disk in the machine's folder; what a killed run left there goes before.

    `first`: VirtualBox has never known a disk in this folder, unless there is one.
    """
    disk = folder / DISK
    if not first or disk.exists():
        # Two media in one place are no error to VirtualBox, but neither is of use.
        forget_within(virtualbox, folder, DISK)
        disk.unlink(missing_ok=True)
    target = virtualbox.create_medium(str(disk))
    finish(base.create_diff_storage(target))
    return target


def grow(name: str, disk: Medium, gibibytes: int) -> None:
    """UserError: it would have to shrink."""
    now, wanted = disk.logical_size, gibibytes * GIB
    if wanted < now:
        raise UserError(shrinking(name, gibibytes, now))
    if wanted > now:
        finish(disk.resize(wanted))
        disk.refresh_state()


def shrinking(name: str, wanted: int, present: int) -> str:
    need = -(-present // GIB)
    return f'disk: got {wanted} GiB; need at least {need}, which VM "{name}" has already; try {need}'


def close_unused(virtualbox: VirtualBox, image: Path) -> None:
    """Let VirtualBox forget the base when no machine of any stack has a clone of it."""
    wanted = base_path(image)
    for base in virtualbox.hard_disks:
        with suppress(VirtualBoxError):
            if _same(base, wanted) and not base.children and not base.machine_ids:
                base.close()


def _same(medium: Medium, path: Path) -> bool:
    return os.path.normcase(os.path.realpath(medium.location)) == os.path.normcase(os.path.realpath(path))


def forget_within(virtualbox: VirtualBox, folder: Path, name: str = "") -> None:
    """Close all media, or those of a file name, that lie in the folder; children first."""
    for medium in _deepest_first(virtualbox.hard_disks + virtualbox.dvd_images):
        with suppress(VirtualBoxError):
            place = Path(medium.location)
            if inside(place, folder) and name in ("", place.name):
                medium.close()


def forget_gone(virtualbox: VirtualBox, folder: Path) -> None:
    """Close images whose files are gone: a running machine keeps hold of what was taken out of its drive."""
    for medium in virtualbox.dvd_images:
        with suppress(VirtualBoxError):
            place = Path(medium.location)
            if inside(place, folder) and not place.exists():
                medium.close()


def within(virtualbox: VirtualBox, folder: Path) -> list[str]:
    """Locations of the media that VirtualBox knows in the folder."""
    found = []
    for medium in _deepest_first(virtualbox.hard_disks + virtualbox.dvd_images):
        # Those of other machines may go away while we look.
        with suppress(VirtualBoxError):
            place = medium.location
            found += [place] if inside(Path(place), folder) else []
    return found


def _deepest_first(media: Iterable[Medium]) -> Iterator[Medium]:
    for medium in media:
        children: list[Medium] = []
        with suppress(VirtualBoxError):
            children = medium.children
        yield from _deepest_first(children)
        yield medium
