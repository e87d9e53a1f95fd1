"""ISO images that boot as the distributions' do (BIOS and UEFI, CD and stick), to a kernel that tells on the
serial port how it was started.

Debian's layout: isolinux, and GRUB in an EFI image among the files. Ubuntu's: GRUB for both, the EFI image in
a partition behind the files. The kernel is the tiny guest's, the initial RAM disk says what it finds.
"""

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from provider.images.iso import cpio
from tests.rig.installer_iso import debian_files, ubuntu_files
from tests.rig.tinyguest.build import Missing, build

NEEDED = {
    "xorriso": "xorriso",
    "mformat": "mtools",
    "grub-mkimage": "grub-common",
    "busybox": "busybox-static",
    "/usr/lib/ISOLINUX/isolinux.bin": "isolinux",
    "/usr/lib/syslinux/modules/bios/ldlinux.c32": "syslinux-common",
    "/usr/lib/grub/i386-pc/boot_hybrid.img": "grub-pc-bin",
    "/usr/lib/grub/x86_64-efi/normal.mod": "grub-efi-amd64-bin",
}
MODULES = ("iso9660", "part_gpt", "part_msdos", "fat", "search", "normal", "configfile", "linux", "all_video")
FIND_ROOT = (
    "search --file --set=root /.disk/info\nset prefix=($root)/boot/grub\nconfigfile $prefix/grub.cfg\n"
)

INIT = """\
#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc
echo "command line: $(/bin/busybox cat /proc/cmdline)"
[ ! -f /preseed.cfg ] || echo "preseed: $(/bin/busybox sha256sum </preseed.cfg)"
/bin/busybox ls -l /usr/lib/finish-install.d 2>/dev/null
echo "the end"
/bin/busybox poweroff -f
"""


def need() -> None:
    """Skip the test where something to make these images with is missing."""
    missing = {
        package
        for proof, package in NEEDED.items()
        if not (Path(proof).exists() if proof.startswith("/") else shutil.which(proof))
    }
    if missing:
        pytest.skip(f"not installed: {', '.join(sorted(missing))}")


def kernel() -> bytes:
    try:
        return (build() / "vmlinuz").read_bytes()
    except Missing as error:
        pytest.skip(f"the tiny guest cannot be made: {error}")


def initrd() -> bytes:
    busybox = Path(shutil.which("busybox") or "").read_bytes()
    return cpio.archive(
        {
            "init": cpio.Member(INIT.encode(), 0o755),
            "bin/busybox": cpio.Member(busybox, 0o755),
            "proc/.keep": cpio.Member(b""),
            "dev/.keep": cpio.Member(b""),
        }
    )


def debian_iso(folder: Path, target: Path) -> Path:
    tree = folder / "debian"
    _lay(tree, debian_files() | {"/install.amd/vmlinuz": kernel(), "/install.amd/initrd.gz": initrd()})
    isolinux = Path("/usr/lib/ISOLINUX")
    shutil.copy(isolinux / "isolinux.bin", tree / "isolinux")
    shutil.copy("/usr/lib/syslinux/modules/bios/ldlinux.c32", tree / "isolinux")
    shutil.copy(efi_image(folder), tree / "boot/grub/efi.img")
    _mkisofs(
        *("-V", "Debian 13.1.0 amd64 n", "-J", "-isohybrid-mbr", isolinux / "isohdpfx.bin"),
        *("-b", "isolinux/isolinux.bin", "-c", "isolinux/boot.cat"),
        *("-boot-load-size", "4", "-boot-info-table", "-no-emul-boot"),
        *("-eltorito-alt-boot", "-e", "boot/grub/efi.img", "-no-emul-boot", "-isohybrid-gpt-basdat"),
        *("-o", target, tree),
    )
    return target


def ubuntu_iso(folder: Path, target: Path) -> Path:
    tree = folder / "ubuntu"
    _lay(tree, ubuntu_files() | {"/casper/vmlinuz": kernel(), "/casper/initrd": initrd()})
    core = tree / "boot/grub/i386-pc/eltorito.img"
    core.parent.mkdir()
    _core("i386-pc-eltorito", core, folder, "biosdisk")
    _mkisofs(
        *("-V", "Ubuntu-Server 24.04.3 LTS amd64", "-J", "-joliet-long"),
        *("--grub2-mbr", "/usr/lib/grub/i386-pc/boot_hybrid.img", "--protective-msdos-label"),
        *("-partition_offset", "16", "--mbr-force-bootable"),
        *("-append_partition", "2", "28732ac11ff8d211ba4b00a0c93ec93b", efi_image(folder)),
        *("-appended_part_as_gpt", "-iso_mbr_part_type", "a2a0d0ebe5b9334487c068b6b72699c7"),
        *("-c", "boot.catalog", "-b", "boot/grub/i386-pc/eltorito.img", "-no-emul-boot"),
        *("-boot-load-size", "4", "-boot-info-table", "--grub2-boot-info"),
        *("-eltorito-alt-boot", "-e", "--interval:appended_partition_2:::", "-no-emul-boot"),
        *("-o", target, tree),
    )
    return target


def efi_image(folder: Path) -> Path:
    """A FAT file system with GRUB for UEFI, which goes on with the grub.cfg among the ISO's files."""
    program, image = folder / "bootx64.efi", folder / "efi.img"
    if not image.exists():
        _core("x86_64-efi", program, folder)
        with image.open("wb") as stream:
            stream.truncate(4 << 20)
        _run("mformat", "-i", image, "::")
        _run("mmd", "-i", image, "::/EFI", "::/EFI/BOOT")
        _run("mcopy", "-i", image, program, "::/EFI/BOOT/BOOTX64.EFI")
    return image


def _core(form: str, target: Path, folder: Path, *more: str) -> None:
    early = folder / "early.cfg"
    early.write_text(FIND_ROOT)
    _run("grub-mkimage", "-O", form, "-o", target, "-p", "/boot/grub", "-c", early, *MODULES, *more)


def _lay(tree: Path, files: Mapping[str, bytes]) -> None:
    for path, content in files.items():
        target = tree / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)


def _mkisofs(*words: str | Path) -> None:
    _run("xorriso", "-as", "mkisofs", "-r", *words)


def _run(*argv: str | Path) -> str:
    done = subprocess.run([str(word) for word in argv], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout
