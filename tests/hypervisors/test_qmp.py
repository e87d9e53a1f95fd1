"""QEMU's monitor, spoken to with a real QEMU."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from provider.hypervisors.qemu import qmp
from provider.hypervisors.qemu.argv import MONITOR, SYSTEM
from tests.rig.waiting import wait_until

RESET = bytes.fromhex("b0fe e664 f4 ebfd")
"""mov al, 0xfe; out 0x64, al; hlt; jmp to the hlt: the keyboard controller resets the machine."""
ROM_SIZE, RESET_VECTOR = 0x10000, 0xFFF0


@pytest.fixture
def resetting(tmp_path: Path) -> Iterator[Path]:
    """The folder of a machine whose firmware only resets it: each time is an event on the monitor."""
    if not shutil.which(SYSTEM):
        pytest.skip(f"{SYSTEM} is not on PATH")
    rom = bytearray(ROM_SIZE)
    rom[RESET_VECTOR : RESET_VECTOR + len(RESET)] = RESET
    (tmp_path / "reset.rom").write_bytes(rom)
    machine = f"{SYSTEM} -nodefaults -display none -machine pc -accel tcg -m 16 -bios reset.rom"
    monitor = f"-chardev socket,id=monitor,path={MONITOR},server=on,wait=off -mon monitor,mode=control"
    child = subprocess.Popen(f"{machine} {monitor}".split(), cwd=tmp_path, stdin=subprocess.DEVNULL)
    try:
        wait_until(lambda: (tmp_path / MONITOR).exists(), 20)
        yield tmp_path
    finally:
        child.kill()
        child.wait()


def test_events_do_not_get_in_the_way(resetting: Path) -> None:
    """An event that comes before an answer of the monitor's greeting was taken for the answer."""
    states = {qmp.execute(resetting, "query-status")["status"] for _ in range(100)}
    assert states == {"running"}


def test_no_machine(tmp_path: Path) -> None:
    with pytest.raises(qmp.MonitorError, match=r"query-status: .*No such file or directory"):
        qmp.execute(tmp_path, "query-status")
