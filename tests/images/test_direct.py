"""Kernel and initial RAM disk are read out of a finished disk without root, or left to GRUB."""

import shutil
import struct
import subprocess

import pytest

from provider.images import direct, disk

MIB = 1 << 20


def bzimage(packed):
    """The header of a Linux kernel, one sector of set-up code, and the payload with its unpacked length."""
    head = bytearray(2 * 512)
    head[0x1F1] = 1
    head[0x202:0x206] = b"HdrS"
    struct.pack_into("<II", head, 0x248, 0, len(packed) + 4)
    return bytes(head) + packed + struct.pack("<I", 12345)


def zstd(content):
    return subprocess.run(["zstd", "-qc"], input=content, capture_output=True, check=True).stdout


def raw_disk(folder, files):
    """A disk with one ext4 partition, as the finish leaves it."""
    tree, raw = folder / "tree", folder / "disk.raw"
    for path, content in files.items():
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).write_bytes(content)
    tree.mkdir(exist_ok=True)
    with raw.open("wb") as stream:
        stream.truncate(32 * MIB)
    disk.run(disk.filesystem_argv(str(tree), str(raw), 32 * MIB))
    with raw.open("r+b") as stream:
        stream.write(disk.partition_table(32 * MIB, bytes(440)))
    return raw


@pytest.fixture(autouse=True)
def tools():
    for tool in ("mke2fs", "debugfs", "zstd"):
        if direct.find(tool) is None:
            pytest.skip(f"{tool} is not installed")


def test_both_are_read_and_the_kernel_unpacked(tmp_path):
    elf = b"\x7fELF" + b"kernel " * 40000
    raw = raw_disk(tmp_path, {"boot/vmlinuz": bzimage(zstd(elf)), "boot/initrd": b"initrd" * 1000})
    assert direct.extract(raw, tmp_path)
    assert (tmp_path / "vmlinuz").read_bytes() == elf
    assert (tmp_path / "initrd").read_bytes() == b"initrd" * 1000


@pytest.mark.parametrize(
    "kernel",
    [bzimage(b"\xfd7zXZ\0" + b"x" * 99), bzimage(b"\x28\xb5\x2f\xfdnot really"), b"\x7fELF" + b"x" * 999],
    ids=["xz", "damaged", "unpacked"],
)
def test_a_kernel_that_is_packed_otherwise_stays_as_it_is(tmp_path, kernel):
    raw = raw_disk(tmp_path, {"boot/vmlinuz": kernel, "boot/initrd": b"initrd"})
    assert direct.extract(raw, tmp_path)
    assert (tmp_path / "vmlinuz").read_bytes() == kernel


@pytest.mark.parametrize(
    "files",
    [{}, {"boot/vmlinuz": b"kernel"}, {"boot/vmlinuz": b"kernel", "boot/initrd": b""}],
    ids=["neither", "no initrd", "empty initrd"],
)
def test_half_of_it_is_none_of_it(tmp_path, files):
    raw = raw_disk(tmp_path, files)
    assert not direct.extract(raw, tmp_path)
    assert not (tmp_path / "vmlinuz").exists()
    assert not (tmp_path / "initrd").exists()


def test_without_a_file_system(tmp_path):
    raw = tmp_path / "disk.raw"
    raw.write_bytes(bytes(MIB))
    assert not direct.extract(raw, tmp_path)


def test_without_debugfs(tmp_path, monkeypatch):
    raw = raw_disk(tmp_path, {"boot/vmlinuz": b"kernel", "boot/initrd": b"initrd"})
    monkeypatch.setattr(direct, "find", {"zstd": shutil.which("zstd")}.get)
    assert not direct.extract(raw, tmp_path)
