"""A guest small enough for driver tests: Debian's cloud kernel, busybox and dropbear in one initramfs.

`build()` makes, once, a folder with `disk.qcow2` (96 MiB, boots by itself, see disk.py) and, beside it,
`vmlinuz` and `initrd` for direct kernel boot. The guest asks DHCP on every card, takes its SSH keys from
a NoCloud seed as a machine of the cloud does, logs on the serial port and obeys the power button.
It is made to boot where an interpreter runs it at ten million instructions a second.

All parts come from Debian packages by the machine's own apt; Missing says what is not there.
"""

import hashlib
import lzma
import os
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import platformdirs

from provider.errors import UserError
from provider.mirrors import machine_mirror
from tests.rig.tinyguest import disk
from tests.rig.tinyguest.programs import Missing, run

HERE = Path(__file__).parent
KERNEL = "linux-image-cloud-amd64"
RELEASE = "trixie"
"""The kernel's release on every computer; the programs are the computer's own, for they use its libraries."""
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
PACKAGES = ("dropbear-bin", "libtomcrypt1", "libtommath1", "lz4", "zstd")
PROGRAMS = ("dropbear", "dropbearkey", "dropbearconvert")
MODULES = [
    *("virtio_pci", "virtio_net", "virtio_blk", "virtio_scsi", "virtio_rng", "ata_piix", "e1000", "ahci"),
    *("sd_mod", "sr_mod", "isofs", "evdev", "button"),
]


def build() -> Path:
    """The folder of the tiny guest, made at the first call and kept in the user's cache."""
    parts = [path.read_bytes() for path in sorted(HERE.iterdir()) if path.is_file()]
    digest = hashlib.sha256(b"".join(parts)).hexdigest()[:12]
    target = platformdirs.user_cache_path("cloudmatrix") / "tests" / f"tinyguest-{digest}"
    if not target.exists():
        for program in ("apt-get", "dpkg-deb", "qemu-img", "as", "ld", "objcopy", "busybox"):
            if not shutil.which(program):
                raise Missing(f"{program} is not installed")
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
    raw = scratch / "disk.raw"
    disk.write(raw, scratch, kernel.read_bytes(), (result / "initrd").read_bytes(), tree / "usr/bin")
    run("qemu-img", "convert", "-c", "-O", "qcow2", raw, result / "disk.qcow2")
    return result


def _unpack(scratch: Path, tree: Path) -> None:
    folder = scratch / "debs"
    folder.mkdir()
    own, released = _lists(scratch / "own"), _lists(scratch / "released", _source())
    depends = run("apt-cache", *released, "depends", KERNEL).splitlines()
    kernel = next(line.split()[-1] for line in depends if "Depends:" in line)
    run("apt-get", *released, "download", "-q", kernel, cwd=folder)
    run("apt-get", *own, "download", "-q", *PACKAGES, cwd=folder)
    for package in folder.glob("*.deb"):
        run("dpkg-deb", "-x", package, tree)


def _source() -> str:
    try:
        mirror = machine_mirror()
    except UserError as error:
        raise Missing(str(error)) from error
    return f"deb [signed-by={KEYRING}] {mirror.main} {RELEASE} main\n"


def _lists(folder: Path, source: str = "") -> list[str]:
    """apt's options for this source alone, with lists of its own; without one for the computer's sources."""
    options = ["-o", "APT::Sandbox::User=root"]
    known = ["apt-get", *options, "download", "--print-uris", *PACKAGES]
    if not source and subprocess.run(known, capture_output=True).returncode == 0:
        return options
    (folder / "lists/partial").mkdir(parents=True)
    (folder / "cache/archives/partial").mkdir(parents=True)
    options += ["-o", f"Dir::State::lists={folder}/lists", "-o", f"Dir::Cache={folder}/cache"]
    if source:
        _write(folder / "sources.list", source)
        options += ["-o", f"Dir::Etc::SourceList={folder}/sources.list", "-o", "Dir::Etc::SourceParts=-"]
    run("apt-get", *options, "update")
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
    return b"".join(_cpio(root))


def _unpacked_modules(folder: Path) -> None:
    """busybox reads only what is not packed."""
    for packed in folder.rglob("*.ko.xz"):
        packed.with_suffix("").write_bytes(lzma.decompress(packed.read_bytes()))
        packed.unlink()


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
    if not (tree / "lib").exists():
        (tree / "lib").symlink_to("usr/lib")
    source = tree / "lib/modules" / version
    target = root / "lib/modules" / version
    _unpacked_modules(source)
    run("busybox", "depmod", "-b", tree, version)
    depends = dict(line.split(":", 1) for line in (source / "modules.dep").read_text().splitlines())
    by_name = {Path(path).name.split(".")[0]: path for path in depends}
    present = [name for name in MODULES if name in by_name]
    for name in present:
        for path in (by_name[name], *depends[by_name[name]].split()):
            (target / path).parent.mkdir(parents=True, exist_ok=True)
            # Without signatures and debugging sections: to check and to read them takes half a minute.
            run("objcopy", "--strip-unneeded", "--remove-section=.BTF", source / path, target / path)
    run("busybox", "depmod", "-b", root, version)


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


if __name__ == "__main__":
    print(build())
