"""Every Debian package that this computer needs beside Python, and what for."""

import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

SYSTEM_FOLDERS = "/usr/local/sbin:/usr/sbin:/sbin"
"""Programs of administrators are not on a user's PATH, but we may start them."""


@dataclass(frozen=True)
class Package:
    """`proof` is a program, or the absolute path of a file, that is there when the package is (or when the
    same thing came another way). `daemon` is the unit that its installation would start."""

    name: str
    proof: str
    reason: str
    daemon: str | None = None


QEMU = (
    Package("qemu-system-x86", "qemu-system-x86_64", "runs the machines"),
    Package("qemu-utils", "qemu-img", "makes and clones their disks"),
    Package("vde-switch", "vde_switch", "the private network between machines"),
)

COMMON = (
    Package("mmdebstrap", "mmdebstrap", "makes the base image's files from Debian packages"),
    Package(
        "debian-archive-keyring",
        "/usr/share/keyrings/debian-archive-keyring.gpg",
        "proves that those packages are Debian's",
    ),
    Package("e2fsprogs", "mke2fs", "makes the base image's file system"),
    Package("grub-common", "grub-mkimage", "makes the base image boot"),
    Package("grub-pc-bin", "/usr/lib/grub/i386-pc/boot.img", "makes the base image boot"),
    Package("busybox-static", "busybox", "the small system that mounts the disk at boot"),
    Package("buildah", "buildah", "builds the applications' images"),
    Package("crun", "crun", "runs the steps of such a build"),
    Package("openssh-client", "ssh", "./matrix ssh"),
)

TESTS = (
    Package("varnish", "varnishd", "the router's tests", daemon="varnish.service"),
    Package("squid", "squid", "the egress proxy's tests", daemon="squid.service"),
    Package("dnsmasq-base", "dnsmasq", "the tests of DHCP and DNS"),
    Package("docker-registry", "docker-registry", "the registry's tests", daemon="docker-registry.service"),
    Package("openssh-server", "sshd", "the tests of everything that goes over SSH", daemon="ssh.service"),
    Package("skopeo", "skopeo", "makes the archives that tests push"),
    Package("iproute2", "ip", "the tests' network namespaces"),
    Package("netcat-openbsd", "nc", "the tests' small servers"),
    Package("util-linux", "unshare", "the tests' network namespaces"),
)


def found(proof: str) -> bool:
    """Whether a program or a file is there."""
    if proof.startswith("/"):
        return Path(proof).exists()
    return bool(shutil.which(proof) or shutil.which(proof, path=SYSTEM_FOLDERS))


def missing(wanted: Iterable[Package], there: Callable[[str], bool] = found) -> tuple[Package, ...]:
    return tuple(package for package in wanted if not there(package.proof))


def needed(hypervisor: str) -> tuple[Package, ...]:
    """What `up` needs with this hypervisor, without its own installation for VirtualBox."""
    return (*QEMU, *COMMON) if hypervisor == "qemu" else (*COMMON, QEMU[1])
