"""The tiny guest's disk: a boot sector, a table, the kernel as it lies in memory, the initramfs. No file
system: what the BIOS reads in pieces of 32 KiB is in place at once, where a boot loader and a kernel that
unpacks itself would keep an interpreter busy for most of a minute."""

import gzip
import lzma
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.rig.tinyguest.programs import Missing, run

HERE = Path(__file__).parent
MIB = 1024 * 1024
DISK = 96 * MIB
SECTOR, PIECE = 512, 32 * 1024
FIRST = 2048
"""The kernel's first sector; before it are the boot sector and the table."""
TABLE = 0x7E00
"""Where boot.S puts the table."""
# What lasts longest at boot and serves nobody here is left out: tracing, tables for debugging, self-tests.
LEFT_OUT = (
    *("init_kprobe_trace", "trace_eval_init", "tracer_init_tracefs"),
    *("ftrace_check_for_weak_functions", "init_msg_buckets", "init_user_buckets", "userfaultfd_init"),
    *("slab_sysfs_init", "jent_mod_init", "crypto_kdf108_init", "load_system_certificate_list"),
)
TYPES = b"\x9f\xeb\x01\x00"
"""How the description of the kernel's types begins (.BTF). Reading them through takes ten seconds."""
COMMAND_LINE = (
    "console=ttyS0 quiet panic=-1 cryptomgr.notests mitigations=off nokaslr audit=0 apparmor=0 "
    f"init_on_alloc=0 rcupdate.rcu_expedited=1 random.trust_cpu=on initcall_blacklist={','.join(LEFT_OUT)}"
)


@dataclass(frozen=True)
class Kernel:
    """`image` lies at the physical address `address`, and starts at `entry` in PVH's way; `end` is the first
    byte behind all that it uses."""

    image: bytes
    address: int
    entry: int
    end: int


def write(raw: Path, scratch: Path, vmlinuz: bytes, initrd: bytes, programs: Path) -> None:
    """`programs` is the folder with lz4 and zstd."""
    kernel = flatten(unpacked(vmlinuz, programs))
    second = FIRST + _pieces(kernel.image) * PIECE // SECTOR
    address = (kernel.end + 8 * MIB) // MIB * MIB
    with raw.open("wb") as disk:
        disk.truncate(DISK)
        disk.write(_boot_sector(scratch))
        disk.write(_table(kernel, second, address, initrd))
        disk.seek(FIRST * SECTOR)
        disk.write(kernel.image)
        disk.seek(second * SECTOR)
        disk.write(initrd)


def _pieces(data: bytes) -> int:
    return -(-len(data) // PIECE)


def _boot_sector(scratch: Path) -> bytes:
    run("as", "--32", "-o", scratch / "boot.o", HERE / "boot.S")
    words = ("-m", "elf_i386", "-Ttext", "0x7c00", "--oformat", "binary")
    run("ld", *words, "-o", scratch / "boot.bin", scratch / "boot.o")
    return (scratch / "boot.bin").read_bytes()


def _table(kernel: Kernel, second: int, address: int, initrd: bytes) -> bytes:
    """PVH's hvm_start_info, its list of modules, the parts to read, the entry, the command line."""
    modules, line, memory_map = TABLE + 0x40, TABLE + 0x100, 0x6000
    table = bytearray(2 * SECTOR)
    struct.pack_into("<4I4Q2I", table, 0, 0x336EC578, 1, 0, 1, modules, line, 0, memory_map, 0, 0)
    struct.pack_into("<4Q", table, 0x40, address, len(initrd), 0, 0)
    struct.pack_into("<3I", table, 0x80, FIRST, _pieces(kernel.image), kernel.address)
    struct.pack_into("<3I", table, 0x8C, second, _pieces(initrd), address)
    struct.pack_into("<I", table, 0xA0, kernel.entry)
    words = COMMAND_LINE.encode() + b"\0"
    assert len(words) <= len(table) - 0x100
    table[0x100 : 0x100 + len(words)] = words
    return bytes(table)


def unpacked(vmlinuz: bytes, programs: Path) -> bytes:
    """The kernel inside a bzImage, an ELF file."""
    start = (vmlinuz[0x1F1] + 1) * SECTOR + struct.unpack_from("<I", vmlinuz, 0x248)[0]
    payload = vmlinuz[start : start + struct.unpack_from("<I", vmlinuz, 0x24C)[0]]
    if payload.startswith(b"\x1f\x8b"):
        return gzip.decompress(payload[:-4])
    if payload.startswith(b"\xfd7zXZ"):
        return lzma.decompress(payload[:-4])
    program = "lz4" if payload.startswith(b"\x02\x21\x4c\x18") else "zstd"
    # What follows the packed data is their length; these programs find garbage there, and say so.
    done = subprocess.run([programs / program, "-d", "-c"], input=payload[:-4], capture_output=True)
    if not done.stdout.startswith(b"\x7fELF"):
        raise Missing(f"the kernel's packing is not known: {done.stderr.decode(errors='replace')[-200:]}")
    return done.stdout


def flatten(elf: bytes) -> Kernel:
    """The loaded parts of an ELF file at their places, zeros at the end left out."""
    offset, count = struct.unpack_from("<Q", elf, 32)[0], struct.unpack_from("<H", elf, 56)[0]
    headers = [struct.unpack_from("<2I6Q", elf, offset + 56 * number) for number in range(count)]
    loaded = [header for header in headers if header[0] == 1]
    address = min(header[4] for header in loaded)
    end = max(header[4] + header[6] for header in loaded)
    image = bytearray(end - address)
    for _, _, begin, _, place, size, _, _ in loaded:
        image[place - address : place - address + size] = elf[begin : begin + size]
    blank = image.replace(TYPES, bytes(len(TYPES)))
    return Kernel(bytes(blank).rstrip(b"\0"), address, _entry(elf, headers), end)


def _entry(elf: bytes, headers: list[tuple[int, ...]]) -> int:
    """The address that Xen's note PHYS32_ENTRY (18) names."""
    for header in headers:
        position, end = header[2], header[2] + header[5]
        while header[0] == 4 and position < end:
            name, size, kind = struct.unpack_from("<3I", elf, position)
            data = position + 12 + (name + 3) // 4 * 4
            if kind == 18 and elf[position + 12 : position + 16] == b"Xen\0":
                return int.from_bytes(elf[data : data + size], "little")
            position = data + (size + 3) // 4 * 4
    raise Missing("this kernel has no PVH entry")
