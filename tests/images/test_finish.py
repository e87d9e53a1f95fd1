"""The finish: what the bundle holds for which system, and that it writes the disk's first sector right."""

import io
import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from provider.images import disk, finish, recipe

DISK_SECTORS = 8 * disk.GIB // disk.SECTOR


def test_the_bundle_is_the_same_each_time_and_holds_what_the_script_needs() -> None:
    assert finish.bundle("debian", "trixie") == finish.bundle("debian", "trixie")
    with tarfile.open(fileobj=io.BytesIO(finish.bundle("debian", "trixie"))) as tar:
        assert tar.getnames() == [
            *("apt.conf", "apt.once", "boot", "dpkg.cfg", "finish", "kernel"),
            *("overlay.tar", "packages", "prepare", "seal", "sources"),
        ]
        assert {(entry.uid, entry.mtime) for entry in tar} == {(0, 0)}


@pytest.mark.parametrize(
    ("distribution", "release", "kernel", "absent", "present"),
    [
        ("debian", "trixie", "linux-image-cloud-amd64", set(), {"docker-cli", "docker.io"}),
        ("debian", "bookworm", "linux-image-cloud-amd64", {"docker-cli"}, {"docker.io"}),
        ("ubuntu", "noble", "linux-image-virtual", {"docker-cli", "linux-image-cloud-amd64"}, {"docker.io"}),
    ],
)
def test_packages_by_their_names_in_a_release(
    distribution: finish.Distribution, release: str, kernel: str, absent: set[str], present: set[str]
) -> None:
    held = finish.files(distribution, release, "")
    names = set(held["packages"].decode().split())
    assert held["kernel"].decode() == f"{kernel}\n"
    assert names >= present | {kernel}
    assert names.isdisjoint(absent)
    if release == "trixie":
        assert names == set(recipe.PACKAGES)


def test_the_same_paths_are_left_out_as_in_an_image_made_from_packages() -> None:
    lines = finish.files("debian", "trixie", "")["dpkg.cfg"].decode().splitlines()
    assert [line.removeprefix("path-exclude=") for line in lines[1:]] == recipe.exclusions()


def test_the_proxy_is_for_the_making_alone() -> None:
    held = finish.files("debian", "trixie", "", "http://10.0.2.2:3142")
    assert 'Acquire::http::Proxy "http://10.0.2.2:3142";\n' in held["apt.once"].decode()
    assert "Proxy" not in held["apt.conf"].decode()


def test_package_sources() -> None:
    assert finish.sources("debian", "trixie", "") == ""
    assert finish.sources("ubuntu", "noble", "http://127.0.0.1:8080/ubuntu/").splitlines() == [
        "deb http://10.0.2.2:8080/ubuntu noble main universe",
        "deb http://10.0.2.2:8080/ubuntu noble-updates main universe",
        "deb http://10.0.2.2:8080/ubuntu noble-security main universe",
    ]


def test_a_failure_is_told_by_its_line() -> None:
    assert finish.judge("cloudmatrix: failed: no room") == "no room"
    assert finish.judge("cloudmatrix: sealing") is None


# boot.sh, run as it is, on a file in place of the disk, with what it asks the system answered by programs.


@pytest.fixture
def boot(tmp_path: Path) -> "Boot":
    return Boot(tmp_path)


class Boot:
    def __init__(self, folder: Path) -> None:
        self.folder, self.disk = folder, folder / "dev" / "vda"
        for name in ("bin", "dev", "work", "sys/vda/vda1", "class"):
            (folder / name).mkdir(parents=True)
        self.part(1, 262144)
        (folder / "sys/vda/size").write_text(f"{DISK_SECTORS}\n")
        (folder / "class/vda").symlink_to("../sys/vda")
        (folder / "class/vda1").symlink_to("../sys/vda/vda1")
        self.program(
            "findmnt", f'case "$*" in *FSTYPE*) echo ${{TYPE:-ext4}};; *) echo {folder}/dev/vda1;; esac'
        )
        self.program("e2label", f'echo "$@" >{folder}/label')
        self.program("df", "printf 'x\\n/dev/vda1 1 1 2000000 1 /\\n'")
        (folder / "dev/vda1").touch()
        with self.disk.open("wb") as file:
            file.truncate(DISK_SECTORS * disk.SECTOR)
            file.seek(disk.SECTOR)
            file.write(b"EFI PART" + b"x" * 40 * disk.SECTOR)
            file.seek(-disk.SECTOR, os.SEEK_END)
            file.write(b"EFI PART".ljust(disk.SECTOR, b"x"))
        text = finish.files("debian", "trixie", "")["boot"].decode()
        text = text.replace("/sys/class/block", str(folder / "class")).replace("=/dev/$", f"={folder}/dev/$")
        (folder / "boot").write_text(text)

    def part(self, number: int, start: int) -> None:
        folder = self.folder / f"sys/vda/vda{number}"
        folder.mkdir(exist_ok=True)
        (folder / "partition").write_text(f"{number}\n")
        (folder / "start").write_text(f"{start}\n")

    def program(self, name: str, text: str) -> None:
        path = self.folder / "bin" / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)

    def run(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        path = f"{self.folder}/bin:{os.environ['PATH']}"
        argv = ["sh", str(self.folder / "boot"), *words]
        return subprocess.run(
            argv, env={"PATH": path, **environment}, capture_output=True, text=True, cwd=self.folder
        )


def test_the_first_sector_is_that_of_an_image_made_from_packages(boot: Boot) -> None:
    code, core = bytes(range(256)) * 2, b"core" * 300
    (boot.folder / "work/boot.img").write_bytes(code)
    (boot.folder / "work/core.img").write_bytes(core)
    assert boot.run("write", "work").returncode == 0
    expected = bytearray(disk.partition_table(DISK_SECTORS * disk.SECTOR, code))
    expected[454:462] = (262144).to_bytes(4, "little") + (DISK_SECTORS - 262144).to_bytes(4, "little")
    with boot.disk.open("rb") as file:
        first = file.read(disk.SECTOR)
        rest = file.read(2047 * disk.SECTOR)
        file.seek(-33 * disk.SECTOR, os.SEEK_END)
        end = file.read()
    assert first.hex() == bytes(expected).hex()
    assert rest == core.ljust(2047 * disk.SECTOR, b"\0"), "GRUB, and nothing left of the old table"
    assert end == bytes(33 * disk.SECTOR), "nor of its copy"
    assert (boot.folder / "label").read_text() == f"{boot.folder}/dev/vda1 root\n"
    assert boot.disk.stat().st_size == DISK_SECTORS * disk.SECTOR


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda boot: boot.program("df", "printf 'x\\n/dev/vda1 1 1 900000 1 /\\n'"),
            "878 MiB are free on vda1; need 1500",
        ),
        (lambda boot: boot.part(2, 700000), "vda2 follows vda1, which could not grow"),
        (lambda boot: boot.part(1, 63), "vda1 begins at sector 63; need 2048 at least"),
        (
            lambda boot: (boot.folder / "sys/vda/vda1/partition").unlink(),
            "need a partition of a disk (no LVM, no encryption)",
        ),
        (lambda boot: boot.program("findmnt", f"echo {boot.folder}/dev/vda1"), "need ext4"),
    ],
    ids=["too little room", "a partition behind", "no room for GRUB", "no partition", "another file system"],
)
def test_a_disk_that_cannot_be_used_is_refused(boot: Boot, change: object, said: str) -> None:
    change(boot)  # type: ignore[operator]
    done = boot.run("check")
    assert done.returncode == 1
    assert done.stdout.rstrip().endswith(said)


def test_a_disk_as_clouds_have_it_passes(boot: Boot) -> None:
    boot.part(14, 2048)
    done = boot.run("check")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
