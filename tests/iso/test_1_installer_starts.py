"""Debian's own installer, from an ISO that was edited in place: it starts by itself, and whatever makes it
wait for somebody is an error."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from cloudinit.installer import Answers
from provider.errors import Cancelled, UserError
from provider.images import disk, workshop
from provider.images.iso import console, media
from provider.images.iso.recognise import recognise

pytestmark = [pytest.mark.guest, pytest.mark.timeout(600)]

ANSWERS = Answers(mirror="http://mirror.invalid/debian")
ENOUGH = "setting up the network"
"""The stage after the last for which this ISO has packages."""
Start = Callable[[str], list[str]]


@pytest.fixture
def start(short_netinst: Path, tmp_path: Path) -> Start:
    """Boot the edited ISO until a stage begins; all that was shown as progress."""

    def run(until: str) -> list[str]:
        discs = media.prepare(short_netinst, recognise(short_netinst), ANSWERS, b"", tmp_path)
        target = tmp_path / "disk.qcow2"
        disk.run(["qemu-img", "create", "-q", "-f", "qcow2", str(target), "2G"])
        job = workshop.Job(
            name="installer",
            folder=tmp_path,
            disk=target,
            cdroms=(discs.installer, discs.companion),
            boot="cdrom",
            stages=console.DEBIAN,
            log=tmp_path / "console.log",
        )
        shown: list[str] = []
        enough = threading.Event()

        def progress(text: str) -> None:
            shown.append(text)
            if text.startswith(until):
                enough.set()

        try:
            workshop.run(job, lambda line: console.judge("debian", line), progress, enough)
        except Cancelled:
            return shown
        raise AssertionError(f"it ended by itself: {shown}")

    return run


def test_what_the_iso_is_stands_on_it(short_netinst: Path) -> None:
    found = recognise(short_netinst)
    assert (found.distribution, found.release, found.kind) == ("debian", "trixie", "netinst")


def test_it_finds_its_disc_and_loads_its_components_without_a_question(start: Start) -> None:
    shown = start(ENOUGH)
    assert shown[0] == "starting the machine"
    phases = [stage.name for stage in console.DEBIAN if any(text.startswith(stage.name) for text in shown)]
    assert phases == ["booting the installer", "reading the disc", "loading the installer", ENOUGH]


def test_a_question_is_an_error_that_shows_it(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = media.preseed

    def without_password(answers: Answers) -> str:
        lines = whole(answers).splitlines(keepends=True)
        return "".join(line for line in lines if "passwd/root-password" not in line)

    monkeypatch.setattr(media, "preseed", without_password)
    with pytest.raises(UserError, match="the installer asks and would wait for ever") as failure:
        start("finding the disk")
    assert "Root password" in str(failure.value)
