"""A bootable disk from a folder tree, without a loop device: MBR, GRUB for BIOS and one ext4 partition.

The parts are pure (bytes and argv); `assemble` and `convert` are the effects.
"""

import struct
import subprocess
from pathlib import Path

from provider.errors import UserError

SECTOR = 512
FIRST_SECTOR = 2048
GIB = 1 << 30
LABEL = "root"
GRUB_MODULES = ("biosdisk", "part_msdos", "ext2", "normal", "linux", "configfile", "boot", "serial")
FEATURES = (
    "none,has_journal,ext_attr,resize_inode,dir_index,filetype,extent,64bit,flex_bg,sparse_super,"
    "large_file,huge_file,dir_nlink,extra_isize,metadata_csum"
)
"""Named one by one: the host's defaults differ by release, and its GRUB may not know its newest."""


def partition_table(total_bytes: int, boot_code: bytes) -> bytes:
    """The first sector: boot code and one bootable Linux partition from sector 2048 to the end."""
    sectors = total_bytes // SECTOR - FIRST_SECTOR
    if not 0 < sectors < 1 << 32:
        raise ValueError(f"a disk of {total_bytes} bytes does not fit an MBR partition table")
    if len(boot_code) < 440:
        raise ValueError(f"boot code of {len(boot_code)} bytes, expected 440 at least")
    # Cylinder, head and sector are beyond what CHS can say: the agreed "use the sector numbers" filler.
    entry = struct.pack("<B3sB3sII", 0x80, b"\xfe\xff\xff", 0x83, b"\xfe\xff\xff", FIRST_SECTOR, sectors)
    return boot_code[:440] + struct.pack("<IH", 0x4D415452, 0) + entry + bytes(48) + b"\x55\xaa"


def core_image_argv(output: Path, prefix: str = "(hd0,msdos1)/boot/grub") -> list[str]:
    return ["grub-mkimage", "-O", "i386-pc", "-o", str(output), "-p", prefix, *GRUB_MODULES]


def filesystem_argv(tree: str, disk: str, total_bytes: int) -> list[str]:
    """mke2fs filling the partition inside `disk` with `tree`; the disk must be zeroes before."""
    offset = FIRST_SECTOR * SECTOR
    options = f"offset={offset},assume_storage_prezeroed=1,lazy_itable_init=0"
    size = f"{(total_bytes - offset) // 1024}k"
    return [
        *("mke2fs", "-q", "-F", "-t", "ext4", "-O", FEATURES, "-m", "0", "-L", LABEL),
        *("-E", options, "-d", tree, disk, size),
    ]


def convert_argv(raw: Path, qcow2: Path) -> list[str]:
    return ["qemu-img", "convert", "-f", "raw", "-O", "qcow2", str(raw), str(qcow2)]


def make_bootable(raw: Path, grub: Path) -> None:
    """Write the MBR and GRUB before the partition of `raw`; `grub` is the folder with boot.img."""
    core = raw.with_name("core.img")
    run(core_image_argv(core))
    code = core.read_bytes()
    room = (FIRST_SECTOR - 1) * SECTOR
    if len(code) > room:
        raise UserError(
            f"GRUB's core image has {len(code)} bytes; there is room for {room} before the partition"
        )
    with raw.open("r+b") as disk:
        disk.write(partition_table(raw.stat().st_size, (grub / "boot.img").read_bytes()))
        disk.write(code)
    core.unlink()


def run(argv: list[str]) -> None:
    """Run a tool of this machine; UserError with the end of what it said when it fails."""
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        tail = "\n".join((done.stderr or done.stdout).strip().splitlines()[-5:])
        raise UserError(f"base image: {argv[0]} ended with {done.returncode}:\n{tail}")
