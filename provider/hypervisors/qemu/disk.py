"""Disks by qemu-img: linked clones, their size, growth."""

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path

from provider.errors import UserError
from provider.hypervisors.qemu import argv

GIB = 1024**3


def clone(name: str, image: Path, folder: Path, gibibytes: int) -> None:
    """Make the machine's disk unless it is there. UserError: smaller than the image, or no usable image."""
    disk = folder / argv.DISK
    if disk.exists():
        return
    base = size(image)
    if base is None:
        raise UserError(f"base image {image} is not a usable disk; remove it and run up again")
    if gibibytes * GIB < base:
        raise UserError(shrinking(name, gibibytes, base))
    # Under another name first: a disk that is there is whole.
    fresh = f"{argv.DISK}.new"
    _run(argv.clone(image.absolute(), fresh, gibibytes), folder)
    (folder / fresh).rename(disk)


def grow(name: str, folder: Path, gibibytes: int) -> None:
    """Make a machine's disk larger. UserError: it would have to shrink, or it is unusable."""
    now = size(folder / argv.DISK)
    if now is None:
        raise UserError(f'VM "{name}": its disk is unusable; the machine must be replaced')
    if gibibytes * GIB < now:
        raise UserError(shrinking(name, gibibytes, now))
    if gibibytes * GIB > now:
        _run(argv.grow(argv.DISK, gibibytes), folder)


def size(disk: Path) -> int | None:
    """Bytes that the guest sees, or None when the disk cannot be opened."""
    done = subprocess.run(argv.information(disk), capture_output=True, text=True)
    return int(json.loads(done.stdout)["virtual-size"]) if done.returncode == 0 else None


def shrinking(name: str, wanted: int, present: int) -> str:
    need = -(-present // GIB)
    return f'disk: got {wanted} GiB; need at least {need}, which VM "{name}" has already; try {need}'


def _run(words: Sequence[str], folder: Path) -> None:
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise UserError(f"{words[0]} {words[1]} failed in {folder}\n{done.stderr.strip()[-1000:]}")
