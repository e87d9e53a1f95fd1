"""The two discs of an unattended installation: the edited copy of the ISO, and one with what goes with it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cloudinit.installer import (
    ARCHIVE,
    BEFORE_PARTITIONING,
    Answers,
    autoinstall,
    before_partitioning,
    finish_install,
    preseed,
)
from provider import seed
from provider.errors import UserError
from provider.images.iso import boot, cpio, edit
from provider.images.iso.reader import Iso, opened
from provider.images.iso.recognise import Installer

CARRIERS = ("/README.html", "/README.txt", "/README.mirrors.html", "/README.mirrors.txt", "/README.source")
"""Files of a Debian disc that nobody needs for an installation: the first that is long enough takes ours."""
DEBIAN_MENUS = ("/isolinux/isolinux.cfg", "/boot/grub/grub.cfg")
UBUNTU_MENUS = ("/boot/grub/grub.cfg", "/boot/grub/loopback.cfg")
HOOK = "usr/lib/finish-install.d/94zseal"
"""After all that the installer writes into the new system (94 and less), before it is unmounted (95)."""
GUEST_TOOLS = "usr/lib/finish-install.d/08hw-detect"
"""Where the installer adds the hypervisor's guest tools, microcode and an initial RAM disk, which the finish
would remove again: made to do nothing."""


@dataclass(frozen=True)
class Discs:
    """Paths of the discs, in the order in which the machine must have them."""

    installer: Path
    companion: Path


def prepare(iso: Path, installer: Installer, answers: Answers, bundle: bytes, folder: Path) -> Discs:
    """Write both discs into `folder`. UserError when the ISO has no room, or the disk has not."""
    discs = Discs(folder / "installer.iso", folder / "finish.iso")
    files: dict[str, str | bytes] = {ARCHIVE: bundle}
    with opened(iso) as image:
        if installer.distribution == "debian":
            changes = debian_changes(image, installer, answers, iso.name)
        else:
            changes = ubuntu_changes(image, iso.name)
            files |= {"user-data": autoinstall(answers), "meta-data": ""}
        edit.check(image, changes, iso.name)
    discs.companion.write_bytes(seed.iso(files))
    edit.edited_copy(iso, discs.installer, changes)
    return discs


def debian_changes(iso: Iso, installer: Installer, answers: Answers, name: str) -> Mapping[str, bytes]:
    """Menus that start the installer at once, and its answers as a second initial RAM disk."""
    extra = cpio.archive(
        {
            "preseed.cfg": cpio.Member(preseed(answers).encode()),
            BEFORE_PARTITIONING: cpio.Member(before_partitioning().encode(), 0o755),
            HOOK: cpio.Member(finish_install().encode(), 0o755),
            GUEST_TOOLS: cpio.Member(b"#!/bin/sh\n", 0o755),
        }
    )
    place = edit.carrier(iso, CARRIERS, len(extra), name)
    initrds = (installer.initrd, place)
    menus = {
        "/isolinux/isolinux.cfg": boot.isolinux(installer.kernel, initrds, boot.DEBIAN_WORDS),
        "/boot/grub/grub.cfg": boot.grub(installer.kernel, initrds, boot.DEBIAN_WORDS),
    }
    there = {path: menus[path] for path in DEBIAN_MENUS if iso.size(path) is not None}
    if not there:
        raise UserError(
            f"{name}: has no {' and no '.join(DEBIAN_MENUS)}; use the distribution's own, unchanged ISO"
        )
    return {**there, place: extra}


def ubuntu_changes(iso: Iso, name: str) -> Mapping[str, bytes]:
    """The menus with `autoinstall` on each kernel's line; loopback.cfg is for sticks that hold ISO files."""
    if iso.size(UBUNTU_MENUS[0]) is None:
        raise UserError(f"{name}: has no {UBUNTU_MENUS[0]}; use the distribution's own, unchanged ISO")
    there = [path for path in UBUNTU_MENUS if iso.size(path) is not None]
    return {path: boot.autoinstall(iso.text(path), f"{name}: {path}") for path in there}
