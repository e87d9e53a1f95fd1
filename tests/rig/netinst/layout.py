"""What a netinst CD has beside its packages: boot menus, texts, marks in /.disk."""

import hashlib
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.rig.netinst.udebs import REQUESTED

NETBOOT = "usr/lib/debian-installer/images/13/amd64/text/debian-installer/amd64"
_README = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{info}</title></head><body>
<h1>{info}</h1>
<p>Made by a test from Debian's own packages, in the layout of a network installation CD. This is not an
official image of Debian.</p>
{paragraphs}
</body></html>
"""
_PARAGRAPH = (
    "<p>Part {number}: the folders are dists and pool (packages), install.amd (the installer's kernel and"
    " initrd), isolinux and boot (what starts them), doc (texts) and .disk (marks for the installer).</p>"
)


def boot_menus(root: Path, netboot: Path) -> None:
    """isolinux and GRUB, each with the installer's own menus, the paths being those of a CD."""
    isolinux, grub = root / "isolinux", root / "boot/grub"
    isolinux.mkdir(parents=True)
    for path in (netboot / "boot-screens").iterdir():
        content = path.read_bytes()
        if path.suffix == ".cfg":
            content = _on_cd(content.decode()).encode()
        (isolinux / path.name).write_bytes(content)
    (isolinux / "syslinux.cfg").rename(isolinux / "isolinux.cfg")
    grub.mkdir(parents=True)
    (grub / "grub.cfg").write_text(_on_cd((netboot / "grub/grub.cfg").read_text()))
    shutil.copy(netboot / "grub/font.pf2", grub / "font.pf2")
    shutil.copytree(netboot / "grub/x86_64-efi", grub / "x86_64-efi")


def _on_cd(config: str) -> str:
    config = re.sub(r"/?debian-installer/amd64/boot-screens/", "", config)
    config = re.sub(r"/?debian-installer/amd64/linux", "/install.amd/vmlinuz", config)
    return re.sub(r"/?debian-installer/amd64/initrd", "/install.amd/initrd", config)


def efi_image(target: Path, programs: Mapping[str, Path], scratch: Path) -> None:
    """A FAT file system with `programs` by their names in /EFI/boot."""
    size = sum(path.stat().st_size for path in programs.values()) // 1024 + 512
    with target.open("wb") as image:
        image.truncate(size * 1024)
    _mtools(scratch, "mformat", "-i", target, "-N", "0", "::")
    _mtools(scratch, "mmd", "-i", target, "::/EFI", "::/EFI/boot")
    for name, path in programs.items():
        _mtools(scratch, "mcopy", "-i", target, path, f"::/EFI/boot/{name}")


def _mtools(scratch: Path, *argv: str | Path) -> None:
    subprocess.run(
        argv, cwd=scratch, check=True, capture_output=True, env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"}
    )


def marks(root: Path, version: str, label: str) -> None:
    """/.disk, the texts, /debian. Those of a netinst: the base system is on the CD, the rest is not."""
    info = f'Debian GNU/Linux {version} "Trixie" - Unofficial amd64 NETINST with firmware, made by a test'
    texts = {
        ".disk/info": info,
        ".disk/base_installable": "",
        ".disk/base_components": "main\n",
        ".disk/cd_type": "not_complete\n",
        ".disk/mkisofs": f"xorriso -as mkisofs -r -V '{label}'\n",
        ".disk/udeb_include": "".join(f"{name}\n" for name in REQUESTED),
        "README.html": _README.format(info=info, paragraphs=paragraphs()),
        "README.txt": f"{info}\n",
        "doc/README": "The manual of the installer is in the package installation-guide-amd64.\n",
    }
    for name, text in texts.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    (root / "debian").symlink_to(".")


def paragraphs() -> str:
    return "\n".join(_PARAGRAPH.format(number=number) for number in range(1, 19))


def sums(root: Path) -> None:
    """md5sum.txt, for every file but itself and what the boot loader's writing changes."""
    lines = []
    for path in sorted(path for path in root.rglob("*") if path.is_file() and not path.is_symlink()):
        name = path.relative_to(root)
        if name.as_posix() != "isolinux/isolinux.bin":
            lines.append(f"{hashlib.md5(path.read_bytes()).hexdigest()}  ./{name}\n")
    (root / "md5sum.txt").write_text("".join(lines))
