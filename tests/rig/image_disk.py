"""A base image's disk, read without starting it, and what must not be on it: what machines may not share."""

import mmap
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from provider.images import disk
from provider.images.requirements import find

FIRST_PARTITION = 446 + 8
"""Where an MBR partition table has the first partition's first sector."""
BLOCK = 4096
PRIVATE_KEY = b"-----BEGIN OPENSSH PRIVATE KEY-----"
EMPTY = (
    "/home", "/tmp", "/var/tmp", "/var/lib/apt/lists", "/var/cache/apt/archives", "/var/lib/docker",
    "/var/lib/containerd", "/var/lib/dhcp", "/var/lib/dhcpcd", "/var/lib/dbus",
)  # fmt: skip
"""Folders that hold no file but a lock of apt's."""
ABSENT = (
    "/root/.ssh", "/root/.bash_history", "/root/.cache", "/var/lib/cloud", "/var/lib/systemd/random-seed",
    "/var/lib/systemd/credential.secret", "/var/lib/systemd/network", "/var/lib/systemd/timesync",
    "/var/tmp/cloudmatrix", "/usr/sbin/policy-rc.d", "/etc/apt/apt.conf.d/99cloudmatrix-once", "/etc/fstab",
)  # fmt: skip


@dataclass(frozen=True)
class RootFiles:
    """The root file system of a raw disk, by questions to debugfs."""

    raw: Path

    def ask(self, request: str) -> str:
        argv = [str(find("debugfs")), "-R", request, f"{self.raw}?offset={self._offset()}"]
        done = subprocess.run(argv, capture_output=True, text=True, errors="replace", check=True)
        return done.stdout

    def _offset(self) -> int:
        """Where the first partition begins, in bytes."""
        with self.raw.open("rb") as stream:
            stream.seek(FIRST_PARTITION)
            return int.from_bytes(stream.read(4), "little") * disk.SECTOR

    def names(self, folder: str) -> set[str]:
        return set(self._entries(folder))

    def exists(self, path: str) -> bool:
        return "Inode: " in self.ask(f"stat {path}")

    def files(self, folder: str) -> list[str]:
        """Regular files below, by path."""
        found = []
        for name, mode in self._entries(folder).items():
            path = f"{folder}/{name}"
            if mode.startswith("04"):
                found += self.files(path)
            elif mode.startswith("10"):
                found.append(path)
        return sorted(found)

    def _entries(self, folder: str) -> dict[str, str]:
        """Mode, in octal, by name."""
        lines = (line.split("/") for line in self.ask(f"ls -p {folder}").splitlines())
        found = {parts[5]: parts[2] for parts in lines if len(parts) > 6}
        return {name: mode for name, mode in found.items() if name not in (".", "..")}


@contextmanager
def root_files(image: Path, folder: Path) -> Iterator[RootFiles]:
    """The image unpacked in `folder` for a while; skips the test without debugfs."""
    if find("debugfs") is None:
        pytest.skip("needs debugfs (e2fsprogs)")
    raw = folder / "looked-into.raw"
    subprocess.run(["qemu-img", "convert", "-O", "raw", image, raw], check=True)
    try:
        yield RootFiles(raw)
    finally:
        raw.unlink()


def check_sealed(root: RootFiles) -> None:
    """Assert that nothing is left of whatever ran while the image was made."""
    assert root.exists("/etc/machine-id")
    assert root.ask("cat /etc/machine-id") == ""
    assert root.ask("cat /etc/hostname") == "localhost\n"
    assert root.ask("cat /etc/resolv.conf") == ""
    assert "sshd_config" in root.names("/etc/ssh")
    assert [name for name in root.names("/etc/ssh") if name.startswith("ssh_host_")] == []
    assert [path for path in ABSENT if root.exists(path)] == []
    assert [path for folder in EMPTY for path in root.files(folder) if not path.endswith("/lock")] == []
    assert root.files("/var/log") == []
    users = [line.split(":") for line in root.ask("cat /etc/passwd").splitlines()]
    assert [user[0] for user in users if 1000 <= int(user[2]) < 60000] == []
    assert private_keys(root.raw) == [], "offsets of private keys, those of removed files included"


def private_keys(raw: Path) -> list[int]:
    """Where a block begins as an SSH private key does: in a file, or in what a removed file left."""
    found = []
    with raw.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
        for start, end in _data(stream.fileno(), len(content)):
            blocks = range(start - start % BLOCK, end, BLOCK)
            found += [at for at in blocks if content[at : at + len(PRIVATE_KEY)] == PRIVATE_KEY]
    return found


def _data(descriptor: int, size: int) -> Iterator[tuple[int, int]]:
    """Beginning and end of each part of a file that is no hole."""
    end = 0
    while end < size:
        try:
            start = os.lseek(descriptor, end, os.SEEK_DATA)
        except OSError:  # nothing but a hole follows
            return
        end = os.lseek(descriptor, start, os.SEEK_HOLE)
        yield start, end
