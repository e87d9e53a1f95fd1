"""A netinst ISO of Debian trixie for amd64, with a real installer on it.

`build()` makes it, once, from packages of this machine's mirror, and keeps it in the user's cache. Some of
what Debian has on its CDs (the installer's initrd for CDs, packages of the installer) is not among the
packages of a mirror, or is missing there: it is made from what is. So the installer finds the CD, loads its
components from it, installs the base system from it and the rest from a mirror.
"""

import hashlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

import platformdirs

from tests.rig.netinst import cpio, initrd, layout, pool, udebs
from tests.rig.netinst.archive import Archive, Missing, closure, fields
from tests.rig.netinst.kernel import CDROM, Modules

HERE = Path(__file__).parent
RELEASE = "trixie"
NETBOOT = "debian-installer-13-netboot-amd64"
BOOT = ("isolinux", "grub-efi-amd64-signed", "shim-signed")
SYSTEM = (
    *("linux-image-amd64", "initramfs-tools", "busybox", "zstd", "grub-pc", "console-setup", "locales"),
    *("keyboard-configuration", "sudo", "ca-certificates", "pciutils", "eject"),
)
"""What the installer itself puts on a system beside the base: kernel, boot loader, keyboard."""
PROGRAMS = ("xorriso", "mformat", "dpkg-deb")


def build(whole: bool = True) -> Path:
    """The ISO, made at the first call; not `whole`, it comes as far as the network, and is made sooner.

    Missing says what is not there.
    """
    missing = [program for program in PROGRAMS if not shutil.which(program)]
    if missing:
        raise Missing(f"not installed: {', '.join(missing)}")
    kind = "whole" if whole else "start"
    target = platformdirs.user_cache_path("cloudmatrix") / "tests" / f"netinst-{kind}-{_digest()}.iso"
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
            made = _make(Path(scratch), whole)
            for older in target.parent.glob(f"netinst-{kind}-*.iso"):
                older.unlink()
            made.replace(target)
    return target


def _digest() -> str:
    total = hashlib.sha256(b"".join(path.read_bytes() for path in sorted(HERE.glob("*.py"))))
    return total.hexdigest()[:12]


def _make(scratch: Path, whole: bool) -> Path:
    archive, root = Archive(RELEASE, scratch), scratch / "cd"
    netboot = _netboot(archive)
    entries = initrd.unpacked(netboot / "initrd.gz")
    there = initrd.installed(entries)
    abi = next(name for name in there if name.startswith("kernel-image-"))
    abi = abi.removeprefix("kernel-image-").removesuffix("-di")
    udebs.keep_kernel(archive.udebs, abi)
    modules = Modules(archive.fetch([archive.debs[f"linux-image-{abi}"]], scratch)[0])
    _installer(root, netboot, archive, entries, modules, abi)
    system = (*_base(archive), *SYSTEM) if whole else ()
    loaded = udebs.LOADED if whole else udebs.START
    _packages(root, archive, there, modules, abi, closure(system, archive.debs), loaded)
    layout.boot_menus(root, netboot)
    hybrid = _boot(root, archive)
    version = fields(archive.release)["Version"]
    label = f"Debian {version} amd64 n"
    layout.marks(root, version, label)
    layout.sums(root)
    return _iso(root, hybrid, label)


def _netboot(archive: Archive) -> Path:
    tree = _tree(archive, NETBOOT)
    return tree / layout.NETBOOT


def _tree(archive: Archive, *names: str) -> Path:
    tree = Path(tempfile.mkdtemp(dir=archive.scratch))
    for deb in archive.fetch((archive.debs[name] for name in names), archive.scratch):
        subprocess.run(["dpkg-deb", "-x", deb, tree], check=True)
    return tree


def _installer(
    root: Path, netboot: Path, archive: Archive, entries: list[cpio.Entry], modules: Modules, abi: str
) -> None:
    def udebs_of(names: Iterable[str]) -> list[Path]:
        return archive.fetch((archive.udebs[name] for name in names), archive.scratch / "initrd")

    target = root / "install.amd"
    target.mkdir(parents=True)
    shutil.copy(netboot / "linux", target / "vmlinuz")
    kernel = [archive.udebs[f"{part}-modules-{abi}-di"] for part in initrd.DRIVERS]
    drivers = modules.indexed(modules.chosen(CDROM))
    removed, added = udebs_of(initrd.REMOVED), udebs_of(initrd.ADDED)
    made = initrd.for_cdrom(entries, removed, added, drivers, kernel)
    (target / "initrd.gz").write_bytes(made)


def _base(archive: Archive) -> list[str]:
    return [name for name, each in archive.debs.items() if each.get("Priority") in ("required", "important")]


def _packages(
    root: Path,
    archive: Archive,
    there: dict[str, dict[str, str]],
    modules: Modules,
    abi: str,
    system: Iterable[str],
    roots: Iterable[str],
) -> None:
    udebs.simplify(archive.udebs, abi)
    in_initrd = {name for name in there if name not in initrd.REMOVED and not name.startswith("nic-")}
    provided = {word.strip() for name in in_initrd for word in there[name].get("Provides", "").split(",")}
    have = {*in_initrd, *provided, *initrd.ADDED}
    loaded = closure([*roots, *udebs.drivers(abi)], archive.udebs, have)
    ready = [name for name in loaded if name not in udebs.drivers(abi) and name not in udebs.PROGRAMS]
    files = archive.fetch((archive.udebs[name] for name in ready), archive.scratch / "udebs")
    files += [udebs.made(archive, modules, abi, name) for name in loaded if name not in ready]
    debs = archive.fetch((archive.debs[name] for name in system), archive.scratch / "debs")
    pool.add(root, debs, files, RELEASE, archive.release)


def _boot(root: Path, archive: Archive) -> Path:
    """Put the boot loaders' programs in place; the file that makes the ISO boot as a disk too."""
    tree = _tree(archive, *BOOT)
    shutil.copy(tree / "usr/lib/ISOLINUX/isolinux.bin", root / "isolinux/isolinux.bin")
    programs = {
        "bootx64.efi": tree / "usr/lib/shim/shimx64.efi.signed",
        "grubx64.efi": tree / "usr/lib/grub/x86_64-efi-signed/gcdx64.efi.signed",
    }
    layout.efi_image(root / "boot/grub/efi.img", programs, archive.scratch)
    (root / "EFI/boot").mkdir(parents=True)
    for name, path in programs.items():
        shutil.copy(path, root / "EFI/boot" / name)
    return tree / "usr/lib/ISOLINUX/isohdpfx.bin"


def _iso(root: Path, hybrid: Path, label: str) -> Path:
    target = root.parent / "netinst.iso"
    argv = [
        *("xorriso", "-as", "mkisofs", "-quiet", "-r", "-V", label, "-o", str(target), "-J", "-joliet-long"),
        *("-isohybrid-mbr", str(hybrid), "-b", "isolinux/isolinux.bin", "-c", "isolinux/boot.cat"),
        *("-boot-load-size", "4", "-boot-info-table", "-no-emul-boot", "-eltorito-alt-boot"),
        *("-e", "boot/grub/efi.img", "-no-emul-boot", "-isohybrid-gpt-basdat", "-isohybrid-apm-hfsplus"),
        str(root),
    ]
    done = subprocess.run(argv, capture_output=True, text=True)
    if done.returncode:
        raise Missing(f"xorriso: {done.stderr.strip()[-600:]}")
    return target


if __name__ == "__main__":
    print(build(whole="start" not in sys.argv[1:]))
