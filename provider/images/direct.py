"""Kernel and initial RAM disk of a finished disk, put beside it so that QEMU can start them itself.

Read with debugfs, which needs neither root nor a mount. Where it is missing the disk starts through GRUB,
as it does under other hypervisors.
"""

import struct
import subprocess
from pathlib import Path

from provider.images import recipe
from provider.images.disk import SECTOR
from provider.images.requirements import find

_FIRST_PARTITION = 446 + 8
"""Where an MBR partition table holds the first partition's first sector."""
_PARTS = {"/boot/vmlinuz": recipe.KERNEL, "/boot/initrd": recipe.INITRD}
_ZSTD = b"\x28\xb5\x2f\xfd"


def extract(raw: Path, folder: Path) -> bool:
    """Put both files of a raw disk into `folder`; False, and neither, when they cannot be read."""
    debugfs = find("debugfs")
    if debugfs is None:
        return False
    with raw.open("rb") as stream:
        stream.seek(_FIRST_PARTITION)
        start = int.from_bytes(stream.read(4), "little") * SECTOR
    for path, name in _PARTS.items():
        argv = [debugfs, "-R", f"dump {path} {name}", f"{raw.absolute()}?offset={start}"]
        subprocess.run(argv, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    files = [folder / name for name in _PARTS.values()]
    if not all(file.is_file() and file.stat().st_size for file in files):
        for file in files:
            file.unlink(missing_ok=True)
        return False
    _unpack(folder / recipe.KERNEL)
    return True


def payload(kernel: bytes) -> tuple[int, int] | None:
    """Offset and length of the compressed kernel in a bzImage, when it is zstd's; None for all others.

    The last four bytes of the payload are its unpacked length, which zstd would stumble over.
    """
    if kernel[0x202:0x206] != b"HdrS":
        return None
    offset, length = struct.unpack_from("<II", kernel, 0x248)
    start = (kernel[0x1F1] + 1) * SECTOR + offset
    return (start, length - 4) if kernel[start : start + 4] == _ZSTD else None


def _unpack(kernel: Path) -> None:
    """QEMU starts an unpacked kernel as well; unpacking it in an emulated machine takes seconds each time."""
    content = kernel.read_bytes()
    part, zstd = payload(content), find("zstd")
    if part is None or zstd is None:
        return
    packed = content[part[0] : part[0] + part[1]]
    done = subprocess.run([zstd, "-dcq"], input=packed, capture_output=True, check=False)
    if done.returncode == 0 and done.stdout.startswith(b"\x7fELF"):
        kernel.write_bytes(done.stdout)
