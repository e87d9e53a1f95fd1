"""A cloud image's file: what it is, told from its content, and the one conversion to a disk of our own."""

import json
import subprocess
from pathlib import Path
from typing import Any

from provider.errors import UserError
from provider.images import disk, recipe

FORMATS = ("qcow2", "vmdk", "raw")
PACKED = {
    b"\xfd7zXZ\0": ("xz", "unxz"),
    b"\x1f\x8b": ("gzip", "gunzip"),
    b"\x28\xb5\x2f\xfd": ("zstd", "unzstd"),
    b"BZh": ("bzip2", "bunzip2"),
    b"PK\x03\x04": ("zip", "unzip"),
}
SIGNATURE = 510
"""Where a disk that a BIOS starts from has 55 aa."""


def information(file: Path) -> dict[str, Any]:
    """What qemu-img knows of the file; it guesses the format from the content."""
    argv = ["qemu-img", "info", "--output=json", f"file:{file.absolute()}"]
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        raise UserError(
            f"base image: {file} is damaged or not a disk image: "
            f"{done.stderr.strip().splitlines()[-1].removeprefix('qemu-img: ')}; "
            "check base.url and base.sha256"
        )
    known: dict[str, Any] = json.loads(done.stdout)
    return known


def judged(file: Path) -> str:
    """The format of the file. UserError: not one disk that stands by itself and fits."""
    with file.open("rb") as stream:
        head = stream.read(disk.SECTOR)
    for magic, (name, tool) in PACKED.items():
        if head.startswith(magic):
            raise UserError(
                f"base image: {file} is packed with {name}; "
                f"unpack it ({tool}) and set base.path to the result"
            )
    known = information(file)
    form = known["format"]
    if form not in FORMATS:
        raise UserError(f"base image: {file} is a disk in the format {form}; need {', '.join(FORMATS)}")
    if form == "raw" and head[SIGNATURE:] != b"\x55\xaa":
        raise _no_disk(file)
    if others := _others(known, file):
        raise UserError(f"base image: {file} is not whole: it needs {others}; convert it with qemu-img first")
    size = known["virtual-size"]
    if size > recipe.DISK_GIB * disk.GIB:
        raise UserError(
            f"base image: the disk in {file} has {size / disk.GIB:.1f} GiB; "
            f"need {recipe.DISK_GIB} GiB at most: "
            "take a smaller image of that distribution (machines grow theirs to what the stack's config says)"
        )
    return str(form)


def _no_disk(file: Path) -> UserError:
    return UserError(
        f"base image: {file} is not a disk image: neither qcow2 nor vmdk, nor a raw disk with a boot sector; "
        "for an installer's ISO set base.from to iso"
    )


def _others(known: dict[str, Any], file: Path) -> str:
    """Another file that the image refers to: it could be any file of this computer."""
    data = dict(known.get("format-specific", {}).get("data", {}))
    names = [known.get("backing-filename"), data.get("data-file")]
    names += [extent.get("filename") for extent in data.get("extents", ())]
    return next((name for name in names if name and Path(name.removeprefix("file:")) != file.absolute()), "")


def convert(file: Path, form: str, target: Path) -> None:
    """A raw disk of recipe.DISK_GIB, with holes, that holds what the image holds."""
    disk.run(["qemu-img", "convert", "-f", form, "-O", "raw", str(file), str(target)])
    disk.run(["qemu-img", "resize", "-q", "-f", "raw", str(target), f"{recipe.DISK_GIB}G"])
