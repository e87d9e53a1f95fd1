"""KVM or emulation: KVM only after a guest has really run with it on this computer.

The guest is a boot sector (probe.s): it enters 64-bit mode, takes ten timer interrupts and says OK. A KVM
that opens, reports its version and then hangs every kernel is found out by it. The verdict is kept for the
same computer, kernel and QEMU.
"""

import json
import os
import platform
import subprocess
import tempfile
from pathlib import Path

from provider.hypervisors.qemu.argv import SYSTEM

KVM, TCG = "kvm", "tcg"
DEVICE = Path("/dev/kvm")
SECONDS = 4.0
SUCCESS = 33
BOOT_SECTOR = (
    bytes.fromhex(
        "fa31c08ed88ec08ed0bc007cfcbf0010b90018f3abc70600100320c70600200330c706003083000f20e00c200f22e066"
        "b8001000000f22d866b9800000c00f3280cc010f300f0116f07c0f20c0660d010000800f22c0ea5b7c080031c08ed0bc"
        "007c0000b8d27c00000d000008008904250042000031c0c7042504420000008e000048890425084200000f011c25f67c"
        "0000b011e620b020e621b004e621b001e621b0fee621b034e643b09ce640b02ee640bb0a000000fbf485db7ffbfa66ba"
        "f803b04feeb04beeb00aeeb010e6f4f4ebfdffcb50b020e6205848cf0f1f4000000000000000000000000000009a2000"
        "0f00e07c00000f020040"
    ).ljust(510, b"\0")
    + b"\x55\xaa"
)
"""probe.s, assembled; a test assembles it again."""


def choose(cache: Path, version: tuple[int, ...], device: Path = DEVICE) -> str:
    """`kvm` or `tcg`. The first call on a computer takes up to SECONDS."""
    if not os.access(device, os.R_OK | os.W_OK):
        return TCG
    key = f"{platform.node()} {platform.release()} qemu {'.'.join(map(str, version))}"
    file = cache / "accelerator.json"
    known = _verdicts(file)
    if key not in known:
        known[key] = KVM if runs(KVM) else TCG
        cache.mkdir(parents=True, exist_ok=True)
        fresh = file.with_suffix(f".{os.getpid()}.new")
        fresh.write_text(json.dumps(known, indent=2) + "\n")
        fresh.replace(file)
    return known[key]


def runs(accelerator: str) -> bool:
    """Whether the tiny guest comes to its end with this accelerator in time."""
    with tempfile.TemporaryDirectory(prefix="cloudmatrix-probe-") as folder:
        (Path(folder) / "boot").write_bytes(BOOT_SECTOR)
        try:
            done = subprocess.run(
                probe_argv(accelerator),
                cwd=folder,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=SECONDS,
            )
        except (OSError, subprocess.TimeoutExpired):
            return False
    return done.returncode == SUCCESS and done.stdout == b"OK\n"


def probe_argv(accelerator: str) -> list[str]:
    return [
        *(SYSTEM, "-nodefaults", "-no-user-config", "-display", "none", "-machine", "pc", "-m", "16"),
        *("-accel", accelerator, "-cpu", "host" if accelerator == KVM else "max"),
        *("-device", "isa-debug-exit,iobase=0xf4,iosize=1", "-serial", "stdio"),
        *("-drive", "file=boot,format=raw,if=ide,snapshot=on"),
    ]


def _verdicts(file: Path) -> dict[str, str]:
    try:
        known = json.loads(file.read_text())
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}
