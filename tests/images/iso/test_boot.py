"""An edited ISO boots as the original did: by BIOS and UEFI, as a CD and as a stick, to our command line."""

import hashlib
import shutil
import subprocess
from pathlib import Path

import pycdlib
import pytest

from cloudinit.installer import Answers, preseed
from provider.images.iso import media
from provider.images.iso.recognise import recognise
from tests.rig import bootable_iso

ANSWERS = Answers("http://mirror.example/debian")
SECTOR = 2048
UEFI = Path("/usr/share/OVMF/OVMF_CODE_4M.fd")
LAYOUTS = {"debian": bootable_iso.debian_iso, "ubuntu": bootable_iso.ubuntu_iso}


@pytest.fixture(scope="module", params=LAYOUTS)
def pair(request, tmp_path_factory):
    """The original, its edited copy, and what it is."""
    bootable_iso.need()
    folder = tmp_path_factory.mktemp(request.param)
    iso = LAYOUTS[request.param](folder, folder / "original.iso")
    discs = media.prepare(iso, recognise(iso), ANSWERS, b"the finish", folder)
    return iso, discs.installer, request.param


def report(iso):
    """What makes it boot, as xorriso sees it."""
    reports = ("-report_el_torito", "plain", "-report_system_area", "plain")
    return subprocess.run(
        ["xorriso", "-indev", iso, *reports], capture_output=True, text=True, check=True
    ).stdout


def test_what_makes_it_boot_is_as_it_was(pair):
    original, edited, _ = pair
    assert "El Torito boot img" in report(original)
    assert "GPT partition" in report(original)
    assert report(edited) == report(original)


def places(iso, changed):
    """Numbers of the sectors that an edit may touch: folders and the changed files."""
    image = pycdlib.PyCdlib()
    image.open(str(iso))
    found: set[int] = set()
    for view in ("rr_path", "joliet_path"):
        for folder, _, files in image.walk(**{view: "/"}):
            named = [f"{folder.rstrip('/')}/{name}" for name in files]
            for path in (folder, *(path for path in named if path in changed)):
                record = image.get_record(**{view: path})
                start = record.extent_location()
                found |= set(range(start, start - (-record.get_data_length() // SECTOR)))
    image.close()
    return found


def test_nothing_but_the_changed_files_and_their_entries_differs(pair):
    original, edited, layout = pair
    before, after = original.read_bytes(), edited.read_bytes()
    assert len(before) == len(after)
    differing = {
        at // SECTOR
        for at in range(0, len(before), SECTOR)
        if before[at : at + SECTOR] != after[at : at + SECTOR]
    }
    files = (*media.DEBIAN_MENUS, "/README.html") if layout == "debian" else media.UBUNTU_MENUS
    assert differing
    assert differing <= places(original, files)


def started(medium, uefi, iso, folder):
    """The serial console of a machine that boots from the ISO and switches itself off."""
    if not shutil.which("qemu-system-x86_64"):
        pytest.skip("qemu-system-x86_64 is not on PATH")
    line = ["qemu-system-x86_64", "-accel", "tcg", "-nodefaults", "-no-user-config", "-display", "none"]
    line += ["-no-reboot", "-m", "384", "-serial", "stdio"]
    if uefi:
        if not UEFI.exists():
            pytest.skip("not installed: ovmf")
        variables = folder / "variables.fd"
        shutil.copy(UEFI.with_name("OVMF_VARS_4M.fd"), variables)
        line += ["-machine", "q35", "-drive", f"if=pflash,format=raw,readonly=on,file={UEFI}"]
        line += ["-drive", f"if=pflash,format=raw,file={variables}"]
    else:
        line += ["-machine", "pc"]
    line += ["-drive", f"if=none,id=medium,format=raw,readonly=on,file={iso}"]
    if medium == "cd":
        line += ["-device", "ide-cd,drive=medium,bootindex=0"]
    else:
        line += ["-device", "qemu-xhci", "-device", "usb-storage,drive=medium,bootindex=0"]
    done = subprocess.run(line, stdin=subprocess.DEVNULL, capture_output=True, timeout=300)
    return done.stdout.decode(errors="replace").replace("\r", "")


@pytest.mark.guest
@pytest.mark.parametrize("uefi", [False, True], ids=["bios", "uefi"])
@pytest.mark.parametrize("medium", ["cd", "stick"])
def test_it_boots(pair, medium, uefi, tmp_path):
    _, edited, layout = pair
    console = started(medium, uefi, edited, tmp_path)
    assert "the end" in console, console[-2000:]
    words = console.partition("command line: ")[2].splitlines()[0].split()
    if layout == "ubuntu":
        assert words[1:] == ["autoinstall", "console=ttyS0,115200", "fsck.mode=skip", "---"]
        return
    expected = "auto=true priority=critical DEBIAN_FRONTEND=text TERM=dumb console=ttyS0,115200 ---"
    assert [word for word in words if not word.startswith(("BOOT_IMAGE=", "initrd="))] == expected.split()
    digest = hashlib.sha256(preseed(ANSWERS).encode()).hexdigest()
    assert f"preseed: {digest}" in console
    assert "-rwxr-xr-x" in console
    assert "94zseal" in console
