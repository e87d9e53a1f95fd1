"""Drivers of the installer's kernel, taken from the very same kernel's own package."""

import io
import lzma
import re
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from tests.rig.netinst.archive import Missing

CDROM = (
    *("ahci", "ata_piix", "ata_generic", "sd_mod", "sr_mod", "cdrom", "isofs", "nls_utf8", "loop"),
    *("virtio_blk", "virtio_scsi", "uas", "usb-storage", "xhci-pci", "ehci-pci", "uhci-hcd", "ohci-pci"),
    *(
        "vfat",
        "nls_cp437",
        "nls_ascii",
        "evdev",
        "psmouse",
        "hid-generic",
        "usbhid",
        "virtio-rng",
        "efivarfs",
    ),
    *("crc32c_generic", "crc32c-intel", "crct10dif-pclmul"),
)
"""In the initrd: all it takes to find a CD or a USB stick."""
CARDS = ("virtio_net", "e1000", "e1000e", "pcnet32", "8139cp", "vmxnet3")
FILE_SYSTEMS = ("ext4", "crc32c_generic", "crc32c-intel")
_DEPENDS = re.compile(rb"\0depends=([^\0]*)\0")
_SOFT = re.compile(rb"\0softdep=pre:([^\0]*)\0")
_INDEX = re.compile(r"\./usr/lib/modules/[^/]+/modules\.(order|builtin|builtin\.modinfo)")
_MODULE = re.compile(r"\./(usr/lib/modules/[^/]+/.*\.ko\.xz)")


class Modules:
    """Every driver of a linux-image package: path (without leading slash) and packed content."""

    def __init__(self, package: Path) -> None:
        self._found: dict[str, tuple[str, bytes]] = {}
        self._lists: dict[str, bytes] = {}
        unpack = subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(package)], stdout=subprocess.PIPE)
        assert unpack.stdout is not None
        with tarfile.open(fileobj=unpack.stdout, mode="r|") as tar:
            for member in tar:
                if match := _MODULE.fullmatch(member.name):
                    name = _plain(match[1].rpartition("/")[2].removesuffix(".ko.xz"))
                    self._found[name] = (match[1], _content(tar, member))
                elif _INDEX.fullmatch(member.name):
                    self._lists[member.name.removeprefix("./")] = _content(tar, member)
        if unpack.wait():
            raise Missing(f"{package.name} cannot be unpacked")

    def chosen(self, names: Iterable[str]) -> dict[str, bytes]:
        """The drivers and all they need, by path. A driver that is built in, or is not there, is left out."""
        chosen: dict[str, bytes] = {}
        todo = [_plain(name) for name in names]
        while todo:
            name = todo.pop()
            if name not in self._found or self._found[name][0] in chosen:
                continue
            path, packed = self._found[name]
            chosen[path] = packed
            todo += [_plain(word) for word in _needs(lzma.decompress(packed))]
        return chosen

    def indexed(self, drivers: Mapping[str, bytes]) -> dict[str, bytes]:
        """The drivers with the indexes that modprobe looks them up in, by path."""
        depmod = shutil.which("depmod", path="/usr/sbin:/sbin:/usr/bin:/bin")
        if not depmod:
            raise Missing("depmod is not installed (package kmod)")
        with tempfile.TemporaryDirectory() as scratch:
            root = Path(scratch)
            for path, content in {**drivers, **self._lists}.items():
                (root / path).parent.mkdir(parents=True, exist_ok=True)
                (root / path).write_bytes(content)
            (root / "lib").symlink_to("usr/lib")
            version = next((root / "usr/lib/modules").iterdir())
            subprocess.run([depmod, "-b", root, version.name], check=True)
            files = (path for path in version.rglob("*") if path.is_file())
            return {str(path.relative_to(root)): path.read_bytes() for path in files}


def _needs(module: bytes) -> list[str]:
    hard = [word for match in _DEPENDS.findall(module) for word in match.decode().split(",") if word]
    return hard + [word for match in _SOFT.findall(module) for word in match.decode().split()]


def _plain(name: str) -> str:
    return name.replace("-", "_")


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    return (tar.extractfile(member) or io.BytesIO()).read()
