"""Machines in a real VirtualBox: a guest of 512 bytes, a project folder, VBoxManage to look from outside."""

import os
import socket
import struct
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Self
from uuid import uuid4

import psutil
import pytest

from provider.hypervisors.base import NAT, Card, Forward, Machine
from provider.hypervisors.virtualbox import binding
from provider.hypervisors.virtualbox.driver import DRIVERLESS, VirtualBox
from provider.machine_record import machine_uuid

ROOT = Path(__file__).resolve().parents[2]
CLUSTER = 1 << 16
GIB = 1 << 30

GUEST = bytes.fromhex(
    "31c08ed88ed0bc007cea0e7c0000be3c7cac84c0741288c3bafd03eca82074fb88d8baf803eeebe9fbf4ba0040edf6c4"
    "0174f6ba0440b80034efebed68656c6c6f2066726f6d207468652067756573740d0a1b5b316d636f6c6f7572731b5b30"
    "6d20617265206c656674206f75740d0a"
).ljust(510, b"\0") + bytes.fromhex("55aa")
"""A boot sector: says two lines on the serial port, then waits for the power button and powers off:

    for each byte of the text: wait until 0x3fd has bit 5, write it to 0x3f8
    sti; again: hlt; until bit 8 (power button) of the word at 0x4000; write 0x3400 (S5) to 0x4004
"""
SAID = ["hello from the guest", "colours are left out"]

WHY_NOT = "" if binding.program_folder() else "VirtualBox is not installed"
needs_virtualbox = pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)


def write_image(file: Path, size: int = GIB, boot: bytes = GUEST) -> Path:
    """A qcow2 whose first cluster begins with the boot sector; all else is zeroes."""
    file.parent.mkdir(parents=True, exist_ok=True)
    data, in_use = 5 * CLUSTER, 1 << 63
    header = struct.pack(
        ">4sIQIIQIIQQIIQQQQII",
        *(b"QFI\xfb", 3, 0, 0, 16, size, 0, 1, 3 * CLUSTER, CLUSTER, 1, 0, 0, 0, 0, 0, 4, 104),
    )
    clusters = [
        header,
        struct.pack(">Q", 2 * CLUSTER),
        struct.pack(">6H", *[1] * 6),
        # As many entries as the size needs; each stands for 512 MiB.
        struct.pack(">Q", 4 * CLUSTER | in_use),
        struct.pack(">Q", data | in_use),
        boot,
    ]
    entries = -(-size // (CLUSTER // 8 * CLUSTER))
    patched = bytearray(clusters[0])
    patched[36:40] = struct.pack(">I", entries)
    clusters[0] = bytes(patched)
    file.write_bytes(b"".join(part.ljust(CLUSTER, b"\0") for part in clusters))
    return file


def manage(*words: str, check: bool = True) -> str:
    """VBoxManage, as a user at the same time would run it."""
    program = binding.program_folder()
    assert program is not None
    name = "VBoxManage.exe" if os.name == "nt" else "VBoxManage"
    done = subprocess.run([program / name, *words], capture_output=True, text=True, timeout=60)
    assert not check or done.returncode == 0, done.stderr
    return done.stdout


def listing() -> dict[str, str]:
    """All that VirtualBox has: machines, disks and images, DHCP servers."""
    return {kind: manage("list", kind) for kind in ("vms", "hdds", "dvds", "dhcpservers")}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def until(condition: Callable[[], bool], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.2)
    return True


class Lab:
    """A project with one stack on the real VirtualBox."""

    def __init__(self, folder: Path, stack: str) -> None:
        self.stack = stack
        self.root = folder / "project" / ".matrix"
        self.root.mkdir(parents=True, exist_ok=True)
        self.image = folder / "cache" / "images" / "one" / "disk.qcow2"
        if not self.image.exists():
            write_image(self.image)
        self.driver = VirtualBox(self.root)

    def machine(self, name: str = "node2", *, manager: bool = False, **changes: object) -> Machine:
        """A node, or a manager with a NAT card; its seed is written anew."""
        folder = self.root / self.stack / "machines" / name
        inside = Card("internal", "52:54:00:00:00:02")
        fields: dict[str, object] = {
            "uuid": machine_uuid(self.stack, name),
            "name": name,
            "stack": self.stack,
            "folder": folder,
            "image": self.image,
            "cpus": 1,
            "memory": 128,
            "disk": 1,
            "cards": (Card(NAT, "52:54:00:00:00:01"), inside) if manager else (inside,),
            **changes,
        }
        return Machine(**fields)  # type: ignore[arg-type]

    def seeded(self, name: str = "node2", **changes: object) -> Machine:
        folder = self.root / self.stack / "machines" / name
        folder.mkdir(parents=True, exist_ok=True)
        seed = folder / "seed.iso"
        seed.write_bytes(bytes(1 << 16))
        return self.machine(name, seed=seed, **changes)

    def facts(self, uuid: str) -> dict[str, str]:
        """What VBoxManage says of a machine, without quotes."""
        lines = manage("showvminfo", uuid, "--machinereadable").splitlines()
        pairs = [line.partition("=") for line in lines]
        return {key.strip('"'): value.strip('"') for key, _, value in pairs}

    def clean(self) -> None:
        for uuid in self.driver.list(self.stack):
            self.driver.delete(uuid)


@pytest.fixture
def lab(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Lab]:
    """At its end VirtualBox has what it had before: nothing of a test may stay."""
    before = listing()
    made = Lab(tmp_path, stack_of(request.node.name))
    yield made
    made.clean()
    assert listing() == before


def stack_of(test: str) -> str:
    """Never one that a killed run may have left behind."""
    words = "".join(char if char.isalnum() else "-" for char in test.lower())
    return f"{words[5:25].strip('-')}-{uuid4().hex[:6]}"


@pytest.fixture(scope="module")
def powered() -> Iterator[None]:
    """Machines can run: where the tests do without the kernel module, by VirtualBox's interpreter."""
    if os.environ.get(DRIVERLESS) != "1":
        if not Path("/dev/vboxdrv").exists() and os.name == "posix":
            pytest.skip("VirtualBox's kernel module is not loaded")
        yield
        return
    manage("setextradata", "global", "VBoxInternal/HM/FallbackToIEM", "1")
    yield
    manage("setextradata", "global", "VBoxInternal/HM/FallbackToIEM")


def kill_service(session: str) -> None:
    """End the VBoxSVC of a VBOX_IPC_SOCKETID: what it kept in memory only is lost."""
    for process in psutil.process_iter():
        try:
            if (
                process.name().startswith("VBoxSVC")
                and process.environ().get("VBOX_IPC_SOCKETID", "") == session
            ):
                process.kill()
                break
        except psutil.Error:
            continue
    else:
        raise AssertionError("VBoxSVC does not run")
    assert until(lambda: ended(process), 20), "VBoxSVC was killed and still runs"


def ended(process: psutil.Process) -> bool:
    """True also for a zombie: what was started detached stays one where the init never collects it."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


class Elsewhere:
    """A VirtualBox of its own (settings and service) whose service can be ended between runs: a process
    whose VBoxSVC went away never gets another."""

    PREAMBLE = """
import sys
from pathlib import Path
from provider.errors import UserError
from provider.hypervisors.virtualbox import binding, library, media
from tests.rig.virtualbox_lab import Lab, manage
lab = Lab(Path(sys.argv[1]), sys.argv[2])
driver = lab.driver
"""

    def __init__(self, folder: Path) -> None:
        if os.name == "nt":
            pytest.skip("VirtualBox on Windows has one service a user")
        self.folder = folder / "project-folder"
        self.session = f"cm{uuid4().hex[:8]}"
        self.env = {
            **os.environ,
            "VBOX_USER_HOME": str(folder / "vbox"),
            "VBOX_IPC_SOCKETID": self.session,
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(AssertionError):
            self.end_service()

    def run(self, code: str, check: bool = True) -> str:
        """What the code, given `lab` and `driver`, prints in a new process."""
        words = [sys.executable, "-c", self.PREAMBLE + textwrap.dedent(code), str(self.folder), "stack"]
        done = subprocess.run(
            words, cwd=ROOT, env=self.env, capture_output=True, text=True, timeout=120, check=False
        )
        assert not check or done.returncode == 0, done.stderr
        return done.stdout.strip()

    def end_service(self) -> None:
        kill_service(self.session)


def forward(name: str, port: int, guest_port: int = 22) -> Forward:
    return Forward(name, "127.0.0.1", port, guest_port)
