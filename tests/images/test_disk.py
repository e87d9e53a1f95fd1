"""The disk is put together byte by byte; what real tools read from it is what was meant."""

import shutil
import subprocess
from pathlib import Path

import pytest

from provider.errors import UserError
from provider.images import disk
from provider.images.packages import GRUB
from provider.images.requirements import find

CODE = bytes(range(256)) * 2
needs_tools = pytest.mark.skipif(
    not (GRUB / "boot.img").is_file() or find("grub-mkimage") is None or find("debugfs") is None,
    reason="needs grub-pc-bin, grub-common and e2fsprogs",
)


def test_partition_table() -> None:
    sector = disk.partition_table(8 << 30, CODE)
    assert len(sector) == 512
    assert sector[:440] == CODE[:440]
    assert sector[446:462].hex(" ") == "80 fe ff ff 83 fe ff ff 00 08 00 00 00 f8 ff 00"
    assert sector[462:510] == bytes(48)
    assert sector[510:] == b"\x55\xaa"


@pytest.mark.parametrize(
    ("total", "code", "message"),
    [
        (disk.FIRST_SECTOR * 512, CODE, "a disk of 1048576 bytes does not fit an MBR partition table"),
        (3 << 40, CODE, "a disk of 3298534883328 bytes does not fit an MBR partition table"),
        (8 << 30, CODE[:100], "boot code of 100 bytes, expected 440 at least"),
    ],
)
def test_what_does_not_fit(total: int, code: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        disk.partition_table(total, code)


def test_the_file_system_ends_with_the_partition() -> None:
    argv = disk.filesystem_argv("/tree", "/disk", 8 << 30)
    assert argv[-4:] == ["-d", "/tree", "/disk", "8387584k"]
    assert "offset=1048576,assume_storage_prezeroed=1,lazy_itable_init=0" in argv


@needs_tools
def test_real_tools_read_it(tmp_path: Path) -> None:
    tree, raw = tmp_path / "tree", tmp_path / "disk.raw"
    (tree / "boot").mkdir(parents=True)
    (tree / "boot/hello").write_text("there\n")
    total = 64 << 20
    with raw.open("wb") as file:
        file.truncate(total)
    disk.run(disk.filesystem_argv(str(tree), str(raw), total))
    disk.make_bootable(raw, GRUB)

    partition = tmp_path / "partition"
    with raw.open("rb") as whole, partition.open("wb") as part:
        whole.seek(1 << 20)
        shutil.copyfileobj(whole, part)
    check = subprocess.run(["/sbin/e2fsck", "-fn", partition], capture_output=True, text=True, check=False)
    assert check.returncode == 0, check.stdout
    said = subprocess.run(
        ["/sbin/debugfs", "-R", "cat /boot/hello", partition], capture_output=True, check=True
    )
    assert said.stdout == b"there\n"


def test_a_failing_tool_says_why(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"(?s)base image: sh ended with 3:\nno space left"):
        disk.run(["sh", "-c", "echo no space left >&2; exit 3"])
