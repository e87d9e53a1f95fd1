"""Which hypervisor this computer will use, and what is known about it."""

import json
import platform
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

Version = tuple[int, ...]

VIRTUALBOX_DRIVER = Path(__file__).resolve().parents[1] / "provider/hypervisors/virtualbox"
OLDEST_QEMU: Version = (8, 0)
OLDEST_VIRTUALBOX: Version = (6, 1)
BROKEN_NAT: tuple[Version, Version] = ((7, 2, 0), (7, 2, 2))
"""First and last VirtualBox whose NAT breaks when a machine has several forwards."""


@dataclass(frozen=True)
class Choice:
    """`name` is virtualbox or qemu; `reason` says why, for the user."""

    name: str
    reason: str


def choose(wanted: str, virtualbox: Version | None, module: bool, driver: bool = True) -> Choice:
    """`wanted` is the config's `hypervisor`; `module` tells whether VirtualBox's kernel module is loaded,
    `driver` whether this version of cloudmatrix can drive VirtualBox."""
    if wanted != "auto":
        return Choice(wanted, "the stack config says so")
    if virtualbox is not None and not driver:
        return Choice("qemu", "this version of cloudmatrix does not drive VirtualBox yet")
    if virtualbox is None:
        return Choice("qemu", "VirtualBox is not installed")
    if virtualbox < OLDEST_VIRTUALBOX:
        return Choice("qemu", f"VirtualBox {dotted(virtualbox)} is older than {dotted(OLDEST_VIRTUALBOX)}")
    if not module:
        return Choice("qemu", "VirtualBox's kernel module is not loaded")
    return Choice("virtualbox", f"VirtualBox {dotted(virtualbox)} is installed")


def chosen(wanted: str) -> Choice:
    return choose(wanted, virtualbox_version(), kernel_module_loaded(), VIRTUALBOX_DRIVER.is_dir())


def virtualbox_version() -> Version | None:
    return _version("VBoxManage", r"^(\d+)\.(\d+)\.(\d+)")


def qemu_version() -> Version | None:
    return _version("qemu-system-x86_64", r"version (\d+)\.(\d+)\.(\d+)")


def kernel_module_loaded() -> bool:
    return Path("/dev/vboxdrv").exists()


def kvm_offered() -> bool:
    return Path("/dev/kvm").exists()


def kvm_verdict(file: Path) -> bool | None:
    """Whether KVM really ran a machine on this computer and kernel; None when it was not tried yet."""
    try:
        verdicts = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    here = f"{platform.node()} {platform.release()} "
    found = [verdict == "kvm" for key, verdict in verdicts.items() if key.startswith(here)]
    return found[-1] if found else None


def dotted(version: Version) -> str:
    return ".".join(str(part) for part in version)


def _version(program: str, pattern: str) -> Version | None:
    path = shutil.which(program)
    if path is None:
        return None
    try:
        done = subprocess.run([path, "--version"], capture_output=True, text=True, check=False, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return None
    # VBoxManage prints warnings about the kernel module before its version.
    match = re.search(pattern, done.stdout, re.MULTILINE)
    return tuple(int(part) for part in match.groups()) if match else None
