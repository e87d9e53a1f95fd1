"""Packages of the installer. What the mirror lists but does not have is made from the ordinary packages."""

import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.rig.netinst.archive import Archive
from tests.rig.netinst.kernel import CARDS, FILE_SYSTEMS, Modules

LOADED = (
    *("netcfg", "ethdetect", "choose-mirror", "apt-cdrom-setup", "apt-mirror-setup", "apt-setup-udeb"),
    *("bootstrap-base", "base-installer", "disk-detect", "user-setup-udeb", "clock-setup", "tzsetup-udeb"),
    *("partman-base", "partman-auto", "partman-target", "partman-partitioning", "partman-ext3"),
    *("partman-basicfilesystems", "partman-basicmethods", "grub-installer", "finish-install", "pkgsel"),
)
"""What an installation to one disk loads from the CD; a real netinst has the other file systems too."""
REQUESTED = ("netcfg", "ethdetect")
"""/.disk/udeb_include: nothing else asks for them before there is a network."""
START = (*REQUESTED, "user-setup-udeb")
"""As far as the network, and the first question after it."""
NTFS = "ntfs-3g-udeb"


@dataclass(frozen=True)
class Source:
    """Files (patterns) of ordinary packages that make up one of the installer's."""

    debs: tuple[str, ...]
    files: tuple[str, ...]


PROGRAMS = {
    "e2fsprogs-udeb": Source(
        ("e2fsprogs", "libext2fs2t64", "libcom-err2"),
        (
            *("usr/sbin/mke2fs", "usr/sbin/mkfs.ext?", "usr/sbin/e2fsck", "usr/sbin/fsck.ext?"),
            *("usr/sbin/tune2fs", "usr/sbin/resize2fs", "etc/mke2fs.conf"),
            "usr/lib/x86_64-linux-gnu/lib*.so.*",
        ),
    ),
    NTFS: Source(
        ("ntfs-3g", "libntfs-3g89t64"),
        ("usr/sbin/ntfsresize", "usr/lib/x86_64-linux-gnu/lib*.so.*"),
    ),
}


def drivers(abi: str) -> dict[str, tuple[str, ...]]:
    return {f"nic-modules-{abi}-di": CARDS, f"ext4-modules-{abi}-di": FILE_SYSTEMS}


def keep_kernel(index: dict[str, dict[str, str]], abi: str) -> None:
    """Let the index name the packages of this kernel and of no other, or what asks for any kernel's drivers
    would get those. Where it is of the point release before, they take the fields of that one's: they are
    made here of the ordinary package."""
    kernel = "kernel-image-"
    images = [name for name in index if name.startswith(kernel) and name.endswith("-di")]
    known = [name.removeprefix(kernel).removesuffix("-di") for name in images]
    source = abi if abi in known else known[0]
    for name, fields in list(index.items()):
        if any(other in name for other in known):
            del index[name]
        if source in name:
            renamed = {field: value.replace(source, abi) for field, value in fields.items()}
            index[renamed["Package"]] = renamed


def simplify(index: dict[str, dict[str, str]], abi: str) -> None:
    """Of what is made here, let the index say what it depends on: less than Debian's, which hold more."""
    for name in drivers(abi):
        index[name]["Depends"] = f"kernel-image-{abi}-di"
    index[NTFS]["Depends"] = "libc6-udeb"


def from_programs(archive: Archive, name: str, scratch: Path) -> Path:
    """The installer's package `name`, made of the ordinary ones."""
    source, tree, files = PROGRAMS[name], scratch / name, scratch / f"{name}.files"
    for deb in archive.fetch((archive.debs[deb] for deb in source.debs), scratch):
        subprocess.run(["dpkg-deb", "-x", deb, tree], check=True)
    for pattern in source.files:
        for path in tree.glob(pattern):
            target = files / path.relative_to(tree)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
            target.chmod(path.stat().st_mode & 0o777)
    return packed(archive.udebs[name], files, scratch)


def from_modules(fields: Mapping[str, str], chosen: Mapping[str, bytes], abi: str, scratch: Path) -> Path:
    """The kernel's package of some drivers; depmod runs when it has been loaded."""
    files = scratch / f"{fields['Package']}.files"
    for path, content in chosen.items():
        (files / path).parent.mkdir(parents=True, exist_ok=True)
        (files / path).write_bytes(content)
    script = f"#!/bin/sh\ndepmod -a {abi} || true\n"
    return packed(fields, files, scratch, script)


def packed(fields: Mapping[str, str], files: Path, scratch: Path, postinst: str = "") -> Path:
    """A package with the index's own fields, those of its file left out."""
    kept = {
        name: value
        for name, value in fields.items()
        if name not in ("Filename", "Size", "MD5sum", "SHA256", "Description-md5")
    }
    control = files / "DEBIAN"
    control.mkdir(parents=True)
    (control / "control").write_text("".join(f"{name}: {value}\n" for name, value in kept.items()))
    if postinst:
        (control / "postinst").write_text(postinst)
        (control / "postinst").chmod(0o755)
    target = scratch / fields["Filename"].rpartition("/")[2]
    # As Debian's: not zstd, nor a multithreaded xz, which udpkg's tar would have to know.
    argv = ["dpkg-deb", "--root-owner-group", "-Zxz", "-z1", "-b", str(files), str(target)]
    subprocess.run(argv, check=True, capture_output=True)
    return target


def made(archive: Archive, modules: Modules, abi: str, name: str) -> Path:
    """One that the mirror lacks. KeyError for a name that nothing here knows how to make."""
    scratch = Path(tempfile.mkdtemp(dir=archive.scratch))
    if name in PROGRAMS:
        return from_programs(archive, name, scratch)
    return from_modules(archive.udebs[name], modules.chosen(drivers(abi)[name]), abi, scratch)
