"""A guest small enough for driver tests: Debian's cloud kernel, busybox and dropbear in one initramfs.

`build()` makes, once, a folder with `disk.qcow2` (64 MiB, boots by itself through GRUB) and, beside it,
`vmlinuz` and `initrd` for direct kernel boot. The guest asks DHCP on every card, takes its SSH keys from
a NoCloud seed as a machine of the cloud does, logs on the serial port and obeys the power button.

All parts come from Debian packages by the machine's own apt; Missing says what is not there.
"""

import gzip
import hashlib
import os
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import platformdirs

HERE = Path(__file__).parent
KERNEL = "linux-image-cloud-amd64"
PACKAGES = ("dropbear-bin", "libtomcrypt1", "libtommath1")
PROGRAMS = ("dropbear", "dropbearkey", "dropbearconvert")
MODULES = [
    "virtio_pci",
    "virtio_net",
    "virtio_blk",
    "virtio_rng",
    "ata_piix",
    "sd_mod",
    "sr_mod",
    "isofs",
    "evdev",
    "button",
    "e1000",
    "ahci",
]
DISK_MIB, PARTITION_MIB = 64, 56
COMMAND_LINE = "console=ttyS0 quiet panic=-1 cryptomgr.notests mitigations=off"


class Missing(Exception):
    """A program or package the tiny guest is made from is not there; the text names it."""


def build() -> Path:
    """The folder of the tiny guest, made at the first call and kept in the user's cache."""
    for program in ("apt-get", "dpkg-deb", "qemu-img", "mke2fs", "grub-mkimage", "busybox"):
        if not shutil.which(program):
            raise Missing(f"{program} is not installed")
    parts = [(HERE / name).read_bytes() for name in ("init", "udhcpc.sh", "build.py")]
    digest = hashlib.sha256(b"".join(parts)).hexdigest()[:12]
    target = platformdirs.user_cache_path("cloudmatrix") / "tests" / f"tinyguest-{digest}"
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
            made = _make(Path(scratch))
            try:
                made.rename(target)
            except OSError:  # another test run was faster
                if not target.exists():
                    raise
    return target


def _make(scratch: Path) -> Path:
    tree, result = scratch / "packages", scratch / "guest"
    result.mkdir()
    _unpack(scratch, tree)
    kernel = next((tree / "boot").glob("vmlinuz-*"))
    shutil.copy(kernel, result / "vmlinuz")
    (result / "initrd").write_bytes(_initramfs(scratch / "root", tree, kernel.name.removeprefix("vmlinuz-")))
    _disk(scratch, result)
    return result


def _run(*argv: str | Path, cwd: Path | None = None) -> str:
    done = subprocess.run([str(word) for word in argv], cwd=cwd, capture_output=True, text=True)
    if done.returncode:
        raise Missing(f"{argv[0]} failed: {done.stderr.strip()[-400:]}")
    return done.stdout


def _unpack(scratch: Path, tree: Path) -> None:
    options = _lists(scratch)
    depends = _run("apt-cache", *options, "depends", KERNEL).splitlines()
    kernel = next(line.split()[-1] for line in depends if "Depends:" in line)
    folder = scratch / "debs"
    folder.mkdir()
    _run("apt-get", *options, "download", "-q", kernel, *PACKAGES, cwd=folder)
    for package in folder.glob("*.deb"):
        _run("dpkg-deb", "-x", package, tree)


def _lists(scratch: Path) -> list[str]:
    """Options with which apt knows the packages: none, or lists of our own where the machine has none."""
    if subprocess.run(["apt-cache", "show", KERNEL], capture_output=True).returncode == 0:
        return []
    (scratch / "lists/partial").mkdir(parents=True)
    (scratch / "cache/archives/partial").mkdir(parents=True)
    options = ["-o", f"Dir::State::lists={scratch}/lists", "-o", f"Dir::Cache={scratch}/cache"]
    _run("apt-get", *options, "update")
    return options


def _initramfs(root: Path, tree: Path, version: str) -> bytes:
    for folder in ("bin", "sbin", "etc", "proc", "sys", "dev", "run", "tmp", "root", "usr/bin", "lib64"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    shutil.copy(shutil.which("busybox") or "busybox", root / "bin/busybox")
    for program in PROGRAMS:
        found = next(
            path for path in tree.rglob(program) if path.is_file() and path.parent.name in ("bin", "sbin")
        )
        shutil.copy(found, root / "usr/bin" / program)
    _libraries(root, tree)
    _modules(root, tree, version)
    _write(root / "init", (HERE / "init").read_text(), 0o755)
    _write(root / "etc/udhcpc.sh", (HERE / "udhcpc.sh").read_text(), 0o755)
    # A rig, not a system: the login user is root by another name, sudo only drops its options.
    _write(root / "etc/passwd", "root:x:0:0::/root:/bin/sh\nmatrix:x:0:0::/home/matrix:/bin/sh\n")
    _write(root / "etc/group", "root:x:0:\n")
    _write(root / "etc/shells", "/bin/sh\n")
    _write(root / "etc/hostname", "tinyguest\n")
    _write(root / "bin/sudo", '#!/bin/sh\nwhile [ "${1#-}" != "$1" ]; do shift; done\nexec "$@"\n', 0o755)
    return gzip.compress(b"".join(_cpio(root)), compresslevel=6, mtime=0)


def _write(path: Path, text: str, mode: int = 0o644) -> None:
    path.write_text(text)
    path.chmod(mode)


def _libraries(root: Path, tree: Path) -> None:
    """Every library the programs load, at the path they look for it."""
    library_path = {"LD_LIBRARY_PATH": str(tree / "usr/lib/x86_64-linux-gnu"), "PATH": os.environ["PATH"]}
    for program in PROGRAMS:
        listing = subprocess.run(
            ["ldd", root / "usr/bin" / program], env=library_path, capture_output=True, text=True, check=True
        )
        for word in listing.stdout.split():
            if word.startswith("/"):
                target = root / ("lib64" if "ld-linux" in word else "lib/x86_64-linux-gnu") / Path(word).name
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(word, target)


def _modules(root: Path, tree: Path, version: str) -> None:
    source = tree / "lib/modules" / version
    if not source.exists():
        source = tree / "usr/lib/modules" / version
    target = root / "lib/modules" / version
    _run("busybox", "depmod", "-b", tree, version)
    depends = dict(line.split(":", 1) for line in (source / "modules.dep").read_text().splitlines())
    by_name = {Path(path).name.split(".")[0]: path for path in depends}
    present = [name for name in MODULES if name in by_name]
    for name in present:
        for path in (by_name[name], *depends[by_name[name]].split()):
            (target / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source / path, target / path)
    _run("busybox", "depmod", "-b", root, version)
    _write(root / "etc/modules", "\n".join(present) + "\n")


def _cpio(root: Path) -> Iterator[bytes]:
    """The tree in cpio's newc format, all owned by root, dates left out."""
    paths = sorted(root.rglob("*"))
    for number, path in enumerate(paths, 1):
        info = path.lstat()
        link = str(path.readlink()).encode() if path.is_symlink() else b""
        data = path.read_bytes() if stat.S_ISREG(info.st_mode) else link
        yield _entry(number, info.st_mode, str(path.relative_to(root)), data)
    yield _entry(0, 0, "TRAILER!!!", b"")


def _entry(number: int, mode: int, name: str, data: bytes) -> bytes:
    raw = name.encode() + b"\0"
    fields = (number, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(raw), 0)
    header = b"070701" + b"".join(b"%08X" % field for field in fields) + raw
    return header + bytes(-len(header) % 4) + data + bytes(-len(data) % 4)


def _disk(scratch: Path, result: Path) -> None:
    """A raw disk written piece by piece: MBR, GRUB's core image, one ext4 partition."""
    boot, modules = scratch / "boot-tree", Path("/usr/lib/grub/i386-pc")
    if not modules.exists():
        raise Missing("grub-pc-bin is not installed")
    (boot / "boot/grub").mkdir(parents=True)
    for name in ("vmlinuz", "initrd"):
        shutil.copy(result / name, boot / "boot" / name)
    _write(
        boot / "boot/grub/grub.cfg",
        f"linux /boot/vmlinuz {COMMAND_LINE}\ninitrd /boot/initrd\nboot\n",
    )
    core = scratch / "core.img"
    parts = ("biosdisk", "part_msdos", "ext2", "normal", "linux", "configfile", "boot")
    _run("grub-mkimage", "-O", "i386-pc", "-p", "(hd0,msdos1)/boot/grub", "-o", core, *parts)
    raw, mib = scratch / "disk.raw", 1024 * 1024
    with raw.open("wb") as disk:
        disk.truncate(DISK_MIB * mib)
    options = f"offset={mib},lazy_itable_init=0"
    _run(
        "mke2fs", "-q", "-t", "ext4", "-d", boot, "-E", options, "-m", "0", "-F", raw, f"{PARTITION_MIB - 1}M"
    )
    sectors = (PARTITION_MIB - 1) * mib // 512
    entry = b"\x80\xfe\xff\xff\x83\xfe\xff\xff" + (2048).to_bytes(4, "little") + sectors.to_bytes(4, "little")
    with raw.open("r+b") as disk:
        disk.write((modules / "boot.img").read_bytes()[:440])
        disk.seek(446)
        disk.write(entry)
        disk.seek(510)
        disk.write(b"\x55\xaa")
        disk.write(core.read_bytes())
    _run("qemu-img", "convert", "-O", "qcow2", raw, result / "disk.qcow2")


if __name__ == "__main__":
    print(build())
