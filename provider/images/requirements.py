"""What the machine must offer before an image is made from packages; each lack is one UserError."""

import os
import shutil
from pathlib import Path

import psutil

from provider.errors import UserError

TOOLS = {
    "mmdebstrap": "mmdebstrap",
    "mke2fs": "e2fsprogs",
    "grub-mkimage": "grub-common",
    "qemu-img": "qemu-utils",
    "setpriv": "util-linux",
    "unshare": "util-linux",
}
GRUB_BOOT = Path("/usr/lib/grub/i386-pc/boot.img")
KEYRINGS = Path("/usr/share/keyrings")
SPACE = 4 << 30
"""Bytes: the tree, the disk as it is filled, and the packed disk, with some air."""


def check_tools(boot: Path = GRUB_BOOT) -> None:
    """Every missing tool at once, with the one command that brings them."""
    missing = {tool: package for tool, package in TOOLS.items() if find(tool) is None}
    if not boot.is_file():
        missing["GRUB's boot.img"] = "grub-pc-bin"
    if missing:
        packages = " ".join(dict.fromkeys(missing.values()))
        raise UserError(
            f"base image: {', '.join(missing)} not found; "
            f"run: apt-get install --no-install-recommends {packages}"
        )


def find(tool: str) -> str | None:
    """mke2fs and its like are in /sbin, which a user's PATH may lack."""
    return shutil.which(tool, path=os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin")


def check_user() -> None:
    """Root, or a user with subordinate ids: the packages' files need owners."""
    if os.geteuid() == 0:
        return
    user = psutil.Process().username()
    if find("newuidmap") is None:
        raise UserError(
            "base image: newuidmap not found, which a user other than root needs; "
            "run: apt-get install --no-install-recommends uidmap (or run as root)"
        )
    for path in (Path("/etc/subuid"), Path("/etc/subgid")):
        lines = path.read_text().splitlines() if path.is_file() else []
        if not any(line.split(":")[0] in (user, str(os.geteuid())) for line in lines):
            raise UserError(
                f"base image: {path} has no range for {user}; run as root: "
                f"usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {user}"
            )


def check_space(folder: Path, needed: int = SPACE) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise UserError(
            f"base image: {free / (1 << 30):.1f} GiB free in {folder.parent}; making it needs "
            f"{needed / (1 << 30):.1f} GiB; free some, or set XDG_CACHE_HOME to a folder with more room"
        )


def check_keyring(release: str, keyrings: Path = KEYRINGS) -> Path:
    """The file of Debian's archive keys, when it is new enough to know the release."""
    ring = next((path for path in sorted(keyrings.glob("debian-archive-keyring.*g*p*"))), None)
    if ring is not None and any(keyrings.glob(f"debian-archive-{release}-*")):
        return ring
    raise UserError(
        f"base image: the archive keys of Debian {release} are not in {keyrings}; "
        "run: apt-get install --no-install-recommends debian-archive-keyring "
        "(from this release's updates or backports when that is already the newest)"
    )
