"""The workshop: what it makes of a console, and that nothing of its machine is left in any case."""

import re
import threading
from pathlib import Path

import pytest

from provider.errors import Cancelled, UserError
from provider.images.workshop import Job, Stage, Watch, run
from provider.seed import iso
from tests.rig.guests import daemons, tiny_image

STAGES = (
    Stage("unpacking", r"^go: unpacking( \d+/\d+)?", 100),
    Stage("setting up", r"^go: setting up", 50),
    Stage("powering off", r"^go: finished$", 20),
)


def asks(line: str) -> str | None:
    return "the installer asks: " + line if line.startswith("Prompt:") else None


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job("base image", tmp_path, tmp_path / "disk.qcow2", STAGES, log=tmp_path / "console.log")


def watch(job: Job, *steps: tuple[float, bytes]) -> list[str]:
    """Feed what came at which second, then the power-off; the texts shown."""
    shown: list[str] = []
    looking = Watch(job, asks, shown.append, 0)
    for second, data in steps:
        looking.feed(data, second)
    looking.end("")
    return shown


def failure(job: Job, *steps: tuple[float, bytes]) -> str:
    with pytest.raises(UserError) as error:
        watch(job, *steps)
    return str(error.value).replace(str(job.console), "LOG")


def test_stages_are_shown_once_each_with_what_their_lines_count(job: Job) -> None:
    assert watch(
        job,
        (1, b"SeaBIOS\r\ngo: unpacking\r\ngo: unpac"),
        (2, b"king 10/20\r\ngo: unpacking 10/20\r\n\x1b[1mgo: setting up\x1b[0m\r\n"),
        (3, b"go: unpacking again\r\ngo: finished\r\n"),
    ) == ["starting the machine", "unpacking", "unpacking 10/20", "setting up", "powering off"]


def test_a_line_that_counts_without_an_end_is_shown_when_it_rests(job: Job) -> None:
    assert watch(
        job,
        (1, b"go: unpacking 1/3"),
        (2, b""),
        (3, b""),
        (4, b"\ngo: finished\n"),
    ) == ["starting the machine", "unpacking 1/3", "powering off"]


def test_a_stage_may_be_left_out_but_not_the_last(job: Job) -> None:
    assert watch(job, (1, b"go: finished\n"))[-1] == "powering off"
    assert failure(job, (1, b"hello\ngo: setting up\n")) == (
        'base image: failed while setting up: the machine ended before "powering off"\n'
        "the last lines of its console:\n"
        "  hello\n"
        "  go: setting up\n"
        "all of it is in LOG"
    )


@pytest.mark.parametrize(
    ("steps", "first"),
    [
        ([(181, b"BIOS\n")], "starting: it took longer than 180 s"),
        ([(1, b"go: unpacking\n"), (102, b"still\n")], "unpacking: it took longer than 100 s"),
        ([(1, b"go: setting up\n"), (45, b".\n"), (52, b".\n")], "setting up: it took longer than 50 s"),
        ([(1, b"[1.0] Kernel panic - not syncing: x\n")], "starting: [1.0] Kernel panic - not syncing: x"),
        ([(1, b"go: unpacking\nPrompt: yes?\n")], "unpacking: the installer asks: Prompt: yes?"),
        # A question has no line end: it is judged when nothing follows it.
        ([(1, b"Prompt: yes? "), (2, b""), (3, b"")], "starting: the installer asks: Prompt: yes?"),
        ([(1, b"grub rescue> "), (4, b"")], "starting: grub rescue>"),
    ],
    ids=["start", "stage", "second stage", "panic", "question", "question without an end", "boot loader"],
)
def test_what_will_never_end_is_told_with_its_stage(
    job: Job, steps: list[tuple[float, bytes]], first: str
) -> None:
    assert failure(job, *steps).splitlines()[0] == f"base image: failed while {first}"


def test_what_explains_an_error_is_still_read(job: Job) -> None:
    said = failure(
        job, (1, b"Prompt: which disk?\ngo: setting up\n"), (2, b"There is none.\n"), (4, b""), (9, b"x\n")
    )
    assert said.splitlines()[:5] == [
        "base image: failed while starting: the installer asks: Prompt: which disk?",
        "the last lines of its console:",
        "  Prompt: which disk?",
        "  go: setting up",
        "  There is none.",
    ]
    assert "x" not in said.splitlines()[5]


def test_silence(job: Job, tmp_path: Path) -> None:
    quiet = Job("x", tmp_path, tmp_path, STAGES, silence=30, log=job.log)
    said = failure(quiet, (1, b"go: unpacking\n"), (32, b""))
    assert said.splitlines()[0] == "x: failed while unpacking: it has said nothing for 30 s"


def test_what_the_hypervisor_complains_of(job: Job) -> None:
    looking = Watch(job, asks, lambda text: None, 0)
    with pytest.raises(UserError, match="failed while starting: QEMU ended with 1; no memory\n"):
        looking.end("QEMU ended with 1; no memory")


# The same with a real machine: the tiny guest runs a script from its CD.


def tiny(tmp_path: Path, script: str, **changes: object) -> Job:
    disk = tmp_path / "disk.qcow2"
    disk.write_bytes(tiny_image().read_bytes())
    (tmp_path / "run.iso").write_bytes(iso({"run": script}))
    fields = {"cdroms": (tmp_path / "run.iso",), "memory": 192, "cpus": 1, "log": tmp_path / "console.log"}
    return Job(**{"name": "tiny", "folder": tmp_path, "disk": disk, "stages": STAGES, **fields, **changes})  # type: ignore[arg-type]


@pytest.mark.guest
def test_a_machine_runs_to_its_power_off(tmp_path: Path) -> None:
    shown: list[str] = []
    script = "echo 'go: unpacking'; echo 'go: setting up'; echo 'go: finished'; sync; poweroff -f\n"
    run(tiny(tmp_path, script), asks, shown.append, threading.Event())
    assert shown == ["starting the machine", "unpacking", "setting up", "powering off"]
    assert daemons(tmp_path) == []


@pytest.mark.guest
@pytest.mark.parametrize(
    ("script", "stages", "first"),
    [
        ("printf 'Prompt: continue? '; sleep 1000\n", STAGES, "the installer asks: Prompt: continue?"),
        ("poweroff -f\n", STAGES, 'the machine ended before "powering off"'),
        ("reboot -f\n", STAGES, 'the machine ended before "powering off"'),
        ("sleep 1000\n", (Stage("too long", "^tinyguest: modules loaded", 3),), "it took longer than 3 s"),
    ],
    ids=["a question", "power-off too early", "restart", "deadline"],
)
def test_a_machine_that_fails_is_reported_and_gone(
    tmp_path: Path, script: str, stages: tuple[Stage, ...], first: str
) -> None:
    with pytest.raises(UserError) as error:
        run(tiny(tmp_path, script, stages=stages), asks, lambda text: None, threading.Event())
    assert first in str(error.value).splitlines()[0]
    assert "  tinyguest: modules loaded" in str(error.value).splitlines()
    assert daemons(tmp_path) == []


@pytest.mark.guest
def test_an_interrupted_machine_is_gone(tmp_path: Path) -> None:
    cancelled = threading.Event()
    stages = (Stage("up", "^tinyguest: modules loaded", 100), Stage("never", "^never$", 1))

    def interrupt(text: str) -> None:
        if text == "up":
            cancelled.set()

    with pytest.raises(Cancelled, match=r"^tiny: interrupted; the machine has been removed$"):
        run(tiny(tmp_path, "sleep 1000\n", stages=stages), asks, interrupt, cancelled)
    assert daemons(tmp_path) == []


def test_a_hypervisor_that_refuses_is_reported(tmp_path: Path) -> None:
    if not tiny_image():
        pytest.skip("no QEMU")
    broken = tmp_path / "disk.qcow2"
    broken.write_bytes(b"not a disk")
    work = Job("x", tmp_path, broken, STAGES, log=tmp_path / "console.log")
    with pytest.raises(UserError) as error:
        run(work, asks, lambda text: None, threading.Event())
    assert re.search(r"starting: QEMU ended with 1; .*not in qcow2 format", str(error.value), re.IGNORECASE)
