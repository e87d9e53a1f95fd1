"""KVM only after a guest has run with it."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from provider.hypervisors.qemu import accel

PROBE = Path(accel.__file__).with_name("probe.s")


@pytest.mark.skipif(not (shutil.which("as") and shutil.which("ld")), reason="as and ld are not on PATH")
def test_the_boot_sector_is_the_assembled_source(tmp_path: Path) -> None:
    subprocess.run(["as", "--64", PROBE, "-o", tmp_path / "probe.o"], check=True)
    link = ["ld", "-m", "elf_x86_64", "-Ttext", "0x7c00", "--oformat", "binary"]
    subprocess.run([*link, tmp_path / "probe.o", "-o", tmp_path / "probe"], check=True)
    assert (tmp_path / "probe").read_bytes() == accel.BOOT_SECTOR


@pytest.mark.skipif(not shutil.which("qemu-system-x86_64"), reason="qemu-system-x86_64 is not on PATH")
def test_the_boot_sector_runs_emulated() -> None:
    assert accel.runs("tcg")
    assert not accel.runs("no-such-accelerator")


def test_no_device_no_kvm(tmp_path: Path) -> None:
    assert accel.choose(tmp_path, (10, 0, 2), tmp_path / "kvm") == "tcg"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("works", "verdict"), [(True, "kvm"), (False, "tcg")])
def test_the_verdict_is_kept_for_this_kernel_and_qemu(
    works: bool, verdict: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[str] = []
    monkeypatch.setattr(accel, "runs", lambda accelerator: bool(tried.append(accelerator)) or works)
    device = tmp_path / "kvm"
    device.touch()
    assert [accel.choose(tmp_path, (10, 0, 2), device) for _ in range(3)] == [verdict] * 3
    assert tried == ["kvm"]
    assert accel.choose(tmp_path, (10, 1, 0), device) == verdict
    assert tried == ["kvm", "kvm"]
    assert len(json.loads((tmp_path / "accelerator.json").read_text())) == 2
