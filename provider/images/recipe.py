"""What a base image holds: one list of packages and one tree of settings, whatever the disk is made from.

Nothing here knows how the packages get onto the disk; that is the business of a source (packages.py).
"""

import hashlib
import io
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from cloudinit import installer

RELEASE = "trixie"
RELEASES = ("trixie",)
DISK_GIB = 8
DISK, KERNEL, INITRD = "disk.qcow2", "vmlinuz", "initrd"

_HERE = Path(__file__).parent
TREE = _HERE / "tree"
PREPARE = _HERE / "prepare.sh"
SEAL = _HERE / "seal.sh"
FINISH = _HERE / "finish.sh"
BOOTING = _HERE / "boot.sh"
HARVEST = _HERE / "harvest.sh"
EXCLUDE = _HERE / "exclude.txt"

BOOT = ("linux-image-cloud-amd64", "busybox-static", "kmod", "udev", "systemd-sysv", "systemd", "dbus")
BASE = (
    "apt", "ca-certificates", "cloud-init", "curl", "e2fsprogs", "iproute2", "iputils-ping", "less",
    "libnss-myhostname", "locales", "netbase", "netcat-openbsd", "nftables", "openssh-server", "openssl",
    "procps", "python3", "sudo", "tar", "gzip", "xz-utils", "udhcpc", "zstd",
)  # fmt: skip
"""udhcpc is the smallest of the DHCP clients that cloud-init demands; networkd is the one in use."""
CONTAINERS = ("docker.io", "docker-cli", "iptables", "pigz", "tini")
MANAGER = (
    "dnsmasq-base",
    "docker-registry",
    "prometheus-node-exporter",
    "squid",
    "tcc",
    "varnish",
    "varnish-modules",
)
PACKAGES: tuple[str, ...] = BOOT + BASE + CONTAINERS + MANAGER

KERNEL_PACKAGE = "linux-image-cloud-amd64"
NAMES: dict[tuple[str, str], dict[str, str]] = {
    ("debian", "bookworm"): {"docker-cli": ""},
    ("ubuntu", ""): {KERNEL_PACKAGE: "linux-image-virtual", "docker-cli": ""},
}
"""What a package is called elsewhere than in Debian trixie, "" for part of another; a release of "" is any.

Not run so far: bookworm, Ubuntu.
"""
SYSTEMS: tuple[tuple[Literal["debian", "ubuntu"], str], ...] = (
    ("debian", "trixie"),
    ("debian", "bookworm"),
    ("ubuntu", "noble"),
)
"""Distributions and releases for which there are names."""


def packages(distribution: str, release: str) -> tuple[str, ...]:
    """The list, by the names of a distribution's release."""
    names = {**NAMES.get((distribution, ""), {}), **NAMES.get((distribution, release), {})}
    return tuple(name for package in PACKAGES if (name := names.get(package, package)))


def kernel_package(distribution: str) -> str:
    return NAMES.get((distribution, ""), {}).get(KERNEL_PACKAGE, KERNEL_PACKAGE)


def exclusions() -> list[str]:
    """Path patterns, in dpkg's notation, that are never unpacked."""
    lines = (line.strip() for line in EXCLUDE.read_text().splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def settings() -> Iterator[tuple[str, bytes, int]]:
    """The files laid over the packages: path without leading slash, content, mode; sorted by path."""
    for path in sorted(TREE.rglob("*")):
        if path.is_file():
            name = path.relative_to(TREE).as_posix()
            yield name, path.read_bytes(), _mode(name)


def _mode(name: str) -> int:
    if name.startswith("etc/sudoers.d/"):
        return 0o440
    return 0o755 if name.startswith("usr/lib/cloudmatrix/") else 0o644


def overlay() -> bytes:
    """The settings as a tar file: root's, and the same bytes each time."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content, mode in settings():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), mode
            tar.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def digest(source: str = "packages") -> str:
    """SHA-256 (hex) of all that decides what an image of this kind of source holds, apart from its file."""
    total = hashlib.sha256()
    parts = ["\n".join(PACKAGES).encode(), str(DISK_GIB).encode()]
    parts += [script.read_bytes() for script in (EXCLUDE, PREPARE, SEAL, HARVEST, FINISH, BOOTING)]
    parts.append(repr(sorted(NAMES.items())).encode())
    parts += [f"{name} {mode:o}\n".encode() + content for name, content, mode in settings()]
    parts += [template.read_bytes() for template in installer.TEMPLATES if source == "iso"]
    for part in parts:
        total.update(hashlib.sha256(part).digest())
    return total.hexdigest()
