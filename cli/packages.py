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
    same thing came another way). `daemons` are the units that its installation would start. What is not
    `everywhere` is part of another package in some releases."""

    name: str
    proof: str
    reason: str
    daemons: tuple[str, ...] = ()
    everywhere: bool = True


QEMU = (
    Package("qemu-system-x86", "qemu-system-x86_64", "runs the machines"),
    Package("qemu-utils", "qemu-img", "makes and clones their disks"),
)

COMMON = (
    Package("mmdebstrap", "mmdebstrap", "makes the base image's files from Debian packages"),
    Package(
        "debian-archive-keyring",
        "/usr/share/keyrings/debian-archive-keyring.gpg",
        "proves that those packages are Debian's",
    ),
    Package("uidmap", "newuidmap", "lets a user who is not root make them"),
    Package("e2fsprogs", "mke2fs", "makes the base image's file system"),
    Package("grub-common", "grub-mkimage", "makes the base image boot"),
    Package("grub-pc-bin", "/usr/lib/grub/i386-pc/boot.img", "makes the base image boot"),
    Package("busybox-static", "busybox", "the small system that mounts the disk at boot"),
    Package("buildah", "buildah", "builds the applications' images"),
    Package("crun", "crun", "runs the steps of such a build"),
    Package("openssh-client", "ssh", "./matrix ssh"),
)

TESTS = (
    Package("varnish", "varnishd", "the router", ("varnish.service", "varnishncsa.service")),
    Package(
        "varnish-modules",
        "/usr/lib/x86_64-linux-gnu/varnish/vmods/libvmod_header.so",
        "the router, which rewrites every cookie",
    ),
    Package("tcc", "tcc", "compiles the router's VCL as the base image does"),
    Package("squid", "squid", "the egress proxy", ("squid.service",)),
    Package("dnsmasq-base", "dnsmasq", "DHCP and DNS"),
    Package("docker-registry", "docker-registry", "the registry", ("docker-registry.service",)),
    Package("docker.io", "dockerd", "instances of applications", ("docker.service", "containerd.service")),
    Package("docker-cli", "docker", "instances of applications", everywhere=False),
    Package(
        "prometheus-node-exporter",
        "prometheus-node-exporter",
        "figures of a node",
        ("prometheus-node-exporter.service",),
    ),
    Package("openssh-server", "sshd", "everything that goes over SSH", ("ssh.service",)),
    Package("nftables", "nft", "the firewall of the machines"),
    Package("iptables", "iptables", "the firewall that Docker makes"),
    Package("iproute2", "ip", "networks of namespaces"),
    Package("util-linux", "unshare", "networks of namespaces"),
    Package("netcat-openbsd", "nc", "small servers"),
    Package("curl", "curl", "clients"),
    Package("openssl", "openssl", "what certificates say to others"),
    Package("binutils", "as", "assembles the KVM probe and the tiny guest's boot sector"),
    Package("xorriso", "xorriso", "makes installer ISOs"),
    Package("mtools", "mformat", "makes the part of such an ISO that UEFI reads"),
    Package("kmod", "depmod", "indexes the drivers of such an ISO's kernel"),
    Package("git", "git", "copies the project as a clone would be"),
    Package("isolinux", "/usr/lib/ISOLINUX/isolinux.bin", "boots such an image by BIOS"),
    Package("syslinux-common", "/usr/lib/syslinux/modules/bios/ldlinux.c32", "boots such an image by BIOS"),
    Package("grub-efi-amd64-bin", "/usr/lib/grub/x86_64-efi/normal.mod", "boots such an image by UEFI"),
    Package("ovmf", "/usr/share/OVMF/OVMF_CODE_4M.fd", "the UEFI of a machine that boots it"),
)
"""What `./matrix test` needs besides: the reason is what the tests run it for."""


def found(proof: str) -> bool:
    """Whether a program or a file is there."""
    if proof.startswith("/"):
        return Path(proof).exists()
    return bool(shutil.which(proof) or shutil.which(proof, path=SYSTEM_FOLDERS))


def missing(wanted: Iterable[Package], there: Callable[[str], bool] = found) -> tuple[Package, ...]:
    return tuple(package for package in wanted if not there(package.proof))


def needed(hypervisor: str, source: str = "packages") -> tuple[Package, ...]:
    """What `up` needs with this hypervisor and this source of the base image, VirtualBox itself left out."""
    # An installer or cloud image is started once in QEMU, whatever the machines run on.
    if hypervisor == "qemu" or source != "packages":
        return (*QEMU, *COMMON)
    return (*COMMON, QEMU[1])
