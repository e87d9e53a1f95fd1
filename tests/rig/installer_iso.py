"""Small ISO images laid out as the distributions' installers are, with the files that decide something."""

import io
from pathlib import Path

import pycdlib

DEBIAN_INFO = 'Debian GNU/Linux 13.1.0 "Trixie" - Official amd64 NETINST with firmware 20250906-10:22'
UBUNTU_INFO = 'Ubuntu-Server 24.04.3 LTS "Noble Numbat" - Release amd64 (20250805.1)'

UBUNTU_GRUB = """\
set timeout=30

loadfont unicode

set menu_color_normal=white/black
set menu_color_highlight=black/light-gray

menuentry "Try or Install Ubuntu Server" {
	set gfxpayload=keep
	linux	/casper/vmlinuz  ---
	initrd	/casper/initrd
}
menuentry "Ubuntu Server with the HWE kernel" {
	set gfxpayload=keep
	linux	/casper/hwe-vmlinuz  ---
	initrd	/casper/hwe-initrd
}
"""
UBUNTU_LOOPBACK = """\
menuentry "Try or Install Ubuntu Server" {
	set gfxpayload=keep
	linux	/casper/vmlinuz  iso-scan/filename=${iso_path} ---
	initrd	/casper/initrd
}
"""


def debian_files(info: str = DEBIAN_INFO, release: str = "trixie") -> dict[str, bytes]:
    """The files of a netinst ISO by path."""
    return {
        "/.disk/info": info.encode(),
        f"/dists/{release}/Release": f"Origin: Debian\nSuite: stable\nCodename: {release}\n".encode(),
        "/install.amd/vmlinuz": b"kernel",
        "/install.amd/initrd.gz": b"initrd",
        "/isolinux/isolinux.cfg": b"# D-I config version 2.0\ninclude menu.cfg\ndefault vesamenu.c32\n",
        "/boot/grub/grub.cfg": b"menuentry 'Graphical install' {}\n" * 100,
        "/README.html": b"<html>" + b"." * 4341,
        "/README.txt": b"." * 900,
    }


def ubuntu_files(info: str = UBUNTU_INFO) -> dict[str, bytes]:
    """The files of a live-server ISO by path."""
    return {
        "/.disk/info": info.encode(),
        "/casper/vmlinuz": b"kernel",
        "/casper/initrd": b"initrd",
        "/boot/grub/grub.cfg": UBUNTU_GRUB.encode(),
        "/boot/grub/loopback.cfg": UBUNTU_LOOPBACK.encode(),
        "/md5sum.txt": b"0" * 34,
    }


def write_iso(target: Path, files: dict[str, bytes], volume: str = "INSTALLER") -> Path:
    """An ISO with Rock Ridge and Joliet names, as the distributions make theirs; it does not boot."""
    image = pycdlib.PyCdlib()
    image.new(interchange_level=3, joliet=3, rock_ridge="1.09", vol_ident=volume)
    plain: dict[str, str] = {"": ""}
    for number, path in enumerate(sorted(files)):
        for folder in reversed(Path(path).parents[:-1]):
            _folder(image, plain, folder)
        parent = str(Path(path).parent).rstrip("/")
        image.add_fp(
            io.BytesIO(files[path]),
            len(files[path]),
            f"{plain[parent]}/F{number}.;1",
            rr_name=Path(path).name,
            joliet_path=path,
        )
    image.write(str(target))
    image.close()
    return target


def _folder(image: pycdlib.PyCdlib, plain: dict[str, str], folder: Path) -> None:
    name, parent = str(folder), str(folder.parent).rstrip("/")
    if name not in plain:
        plain[name] = f"{plain[parent]}/D{len(plain)}"
        image.add_directory(plain[name], rr_name=folder.name, joliet_path=name)


def contents(iso: Path, path: str) -> bytes:
    """A file of an ISO by each of its two names, which must agree."""
    image = pycdlib.PyCdlib()
    image.open(str(iso))
    found = []
    for view in ("rr_path", "joliet_path"):
        buffer = io.BytesIO()
        image.get_file_from_iso_fp(buffer, **{view: path})
        found.append(buffer.getvalue())
    image.close()
    assert found[0] == found[1]
    return found[0]
