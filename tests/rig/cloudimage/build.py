"""A cloud image in the layout of Debian's generic ones: GPT, root as partition 1 behind a BIOS boot partition
(14) and an EFI system partition (15), cloud-init, netplan, an SSH server, an initial RAM disk.

`build()` makes it once, as qcow2, by the machine's own mirror. Its packages are fewer than the real one's.
"""

import hashlib
import os
import shlex
import struct
import subprocess
import tempfile
import uuid
import zlib
from pathlib import Path

import platformdirs
import pytest

from provider.errors import UserError
from provider.images import apt, disk, packages, recipe
from provider.images.requirements import check_keyring, check_tools
from provider.mirrors import machine_mirror, offered

PACKAGES = (
    "linux-image-cloud-amd64", "initramfs-tools", "systemd-sysv", "dbus", "udev", "cloud-init", "netplan.io",
    "cloud-guest-utils", "fdisk", "e2fsprogs", "openssh-server", "sudo", "iproute2", "systemd-resolved",
    "apparmor", "unattended-upgrades", "python3", "ca-certificates", "locales",
)  # fmt: skip
SIZE = 3 * disk.GIB
BOOT_START, EFI_START, ROOT_START = 2048, 8192, 262144
LINUX = uuid.UUID("4f68bce3-e8cd-4db1-96e7-fbcaf984b709")
BIOS = uuid.UUID("21686148-6449-6e6f-744e-656564454649")
EFI = uuid.UUID("c12a7328-f81f-11d2-ba4b-00a0c93ec93b")
GRUB_CFG = """serial --unit=0 --speed=115200
linux /vmlinuz root=PARTUUID={root} ro console=tty0 console=ttyS0,115200
initrd /initrd.img
boot
"""
CUSTOMIZE = """set -eu
mkdir -p "$1/etc/netplan" "$1/boot/grub"
printf '%s' "$GRUB_CFG" >"$1/boot/grub/grub.cfg"
echo 'PARTUUID=$ROOT / ext4 rw,discard,errors=remount-ro,x-systemd.growfs 0 1' >"$1/etc/fstab"
echo 'datasource_list: [NoCloud, ConfigDrive, None]' >"$1/etc/cloud/cloud.cfg.d/01_debian_cloud.cfg"
chroot "$1" systemctl enable systemd-networkd.service
ln -sf /run/systemd/resolve/stub-resolv.conf "$1/etc/resolv.conf"
mkdir -p "$1/mnt"
mount --bind "$1" "$1/mnt"
trap 'umount -R "$1/mnt"' EXIT
mount -t tmpfs none "$1/mnt/tmp"
"""


def build() -> Path:
    """The image; skips the test where it cannot be made."""
    digest = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:12]
    target = platformdirs.user_cache_path("cloudmatrix") / "tests" / f"cloudimage-{digest}.qcow2"
    if target.exists():
        return target
    if os.geteuid() != 0:
        pytest.skip("the test's cloud image is made by root")
    try:
        check_tools()
        mirror = offered(machine_mirror(), recipe.RELEASE)
        keyring = check_keyring(recipe.RELEASE)
    except UserError as error:
        pytest.skip(str(error))
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        raw = Path(scratch) / "disk.raw"
        root = uuid.uuid4()
        _fill(raw, root, apt.source_lines(mirror, recipe.RELEASE, str(keyring)))
        _boot(raw, root)
        disk.run(disk.convert_argv(raw, Path(scratch) / "disk.qcow2"))
        (Path(scratch) / "disk.qcow2").rename(target)
    return target


def _fill(raw: Path, root: uuid.UUID, sources: list[str]) -> None:
    with raw.open("wb") as file:
        file.truncate(SIZE)
    kibibytes = (SIZE - (ROOT_START + 34) * disk.SECTOR) // 1024
    fill = [
        *("mke2fs", "-q", "-F", "-t", "ext4", "-L", "cloudroot"),
        *("-E", f"offset={ROOT_START * disk.SECTOR},lazy_itable_init=0", "-d", "TREE"),
        *(str(raw), f"{kibibytes}k"),
    ]
    script = CUSTOMIZE.replace("$ROOT", str(root)) + shlex.join(fill).replace("TREE", '"$1/mnt"')
    hook = f'GRUB_CFG={shlex.quote(GRUB_CFG.format(root=root))} sh -c {shlex.quote(script)} hook "$1"'
    argv = [
        *packages.namespaces(0),
        *("mmdebstrap", "--mode=root", "--variant=minbase", "--format=null", "--architectures=amd64"),
        *(f"--include={','.join(PACKAGES)}", "--dpkgopt=force-unsafe-io"),
        *(f"--aptopt={option}" for option in apt.proxies()),
        *(f"--customize-hook={hook}", recipe.RELEASE, "/dev/null", *sources),
    ]
    done = subprocess.run(argv, capture_output=True, text=True, cwd=raw.parent)
    assert done.returncode == 0, done.stderr[-2000:]


def _boot(raw: Path, root: uuid.UUID) -> None:
    """The partition table, and GRUB in its partition as grub-install writes it."""
    core = raw.with_name("core.img")
    argv = disk.core_image_argv(core, "(hd0,gpt1)/boot/grub")
    disk.run([*argv, "part_gpt"])
    code = bytearray(core.read_bytes())
    struct.pack_into("<Q", code, 500, BOOT_START + 1)  # where the rest of itself is
    boot = bytearray((packages.GRUB / "boot.img").read_bytes()[:440])
    struct.pack_into("<Q", boot, 0x5C, BOOT_START)
    first, last = gpt(root)
    with raw.open("r+b") as file:
        file.write(bytes(boot))
        file.seek(440)
        file.write(first[440:])
        file.seek(BOOT_START * disk.SECTOR)
        file.write(code)
        file.seek(SIZE - len(last))
        file.write(last)


def gpt(root: uuid.UUID) -> tuple[bytes, bytes]:
    """The table at the disk's beginning, with its protective MBR, and its copy at the end."""
    sectors = SIZE // disk.SECTOR
    end = sectors - 34
    entries = bytearray(128 * 128)
    parts = {
        0: (LINUX, root, ROOT_START, end),
        13: (BIOS, uuid.uuid4(), BOOT_START, EFI_START - 1),
        14: (EFI, uuid.uuid4(), EFI_START, ROOT_START - 1),
    }
    for number, (kind, own, start, stop) in parts.items():
        struct.pack_into("<16s16sQQQ", entries, number * 128, kind.bytes_le, own.bytes_le, start, stop, 0)
    identity = uuid.uuid4().bytes_le

    def header(here: int, other: int, table: int) -> bytes:
        fields = (b"EFI PART", 0x10000, 92, 0, 0, here, other, 34, end, identity, table, 128, 128)
        text = struct.pack("<8sIIIIQQQQ16sQIII", *fields, zlib.crc32(entries))
        return (text[:16] + struct.pack("<I", zlib.crc32(text)) + text[20:]).ljust(disk.SECTOR, b"\0")

    protective = struct.pack("<B3sB3sII", 0, b"\0\x02\0", 0xEE, b"\xff\xff\xff", 1, sectors - 1)
    mbr = bytes(446) + protective + bytes(48) + b"\x55\xaa"
    first = mbr + header(1, sectors - 1, 2) + entries
    return first, bytes(entries) + header(sectors - 1, 1, sectors - 33)


if __name__ == "__main__":
    print(build())
