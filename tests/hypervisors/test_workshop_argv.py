"""QEMU's command line for a throw-away machine."""

from pathlib import Path

import pytest

from provider.hypervisors.qemu.argv import Host
from provider.hypervisors.qemu.workshop import words
from provider.images.workshop import Job, Stage

STAGES = (Stage("done", "done", 1),)
HOST = Host((10, 0, 2), "tcg")


def job(**changes: object) -> Job:
    return Job(
        name="x", folder=Path("/f"), disk=Path("/f/disk.qcow2"), stages=STAGES, log=Path("/l"), **changes
    )  # type: ignore[arg-type]


def devices(line: list[str]) -> list[str]:
    return [line[at + 1] for at, word in enumerate(line) if word in ("-drive", "-device")]


DISK = "if=none,id=disk,file=/f/disk.qcow2,format=qcow2,cache=unsafe,discard=unmap,detect-zeroes=unmap"


@pytest.mark.parametrize(
    ("boot", "expected"),
    [
        (
            "disk",
            [
                "virtio-blk-pci,drive=disk,bootindex=0",
                "if=none,id=cd0,file=/a,,b.iso,format=raw,readonly=on",
                "virtio-blk-pci,drive=cd0",
            ],
        ),
        (
            "cdrom",
            [
                "virtio-blk-pci,drive=disk,bootindex=1",
                "if=none,id=cd0,file=/a,,b.iso,format=raw,readonly=on",
                "ide-cd,drive=cd0,bootindex=0",
            ],
        ),
    ],
)
def test_what_the_machine_starts_from(boot: str, expected: list[str]) -> None:
    found = devices(words(job(boot=boot, cdroms=(Path("/a,b.iso"),)), HOST))
    assert found == ["virtio-rng-pci", DISK, expected[0], "virtio-net-pci,netdev=nat,romfile=", *expected[1:]]


def test_a_raw_disk_and_the_host_s_processor() -> None:
    line = words(Job("x", Path("/f"), Path("/f/d.raw"), STAGES, log=Path("/l")), Host((10, 0, 2), "kvm"))
    assert "file=/f/d.raw,format=raw," in " ".join(line)
    assert "-accel kvm -cpu host" in " ".join(line)
    assert "-no-reboot" in line


def test_an_emulated_machine_that_is_alone_has_a_thread_for_each_of_its_processors() -> None:
    assert "-accel tcg,thread=multi -cpu max" in " ".join(words(job(), HOST))
