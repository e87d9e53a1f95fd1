"""Whether VirtualBox can run machines on this computer: its version, its kernel module, who holds VT-x.

`judge` is pure; `this_host` reads. Every text is "what is wrong; what to do".

Sources of the versions: VirtualBox's changelog and issues (VirtualBox/virtualbox 81, 141, 188, 232, 621,
711, 713). Since Linux 6.12 KVM takes VT-x when its module is loaded; VirtualBox 7.2.10 and newer share it
with KVM by functions that Linux exports since 6.16, and then need KVM to have taken it.
"""

import platform
import re
import subprocess
import sys
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

Version = tuple[int, ...]

OLDEST: Version = (6, 1)
BROKEN_NAT: tuple[Version, Version] = ((7, 2, 0), (7, 2, 2))
"""First and last whose NAT breaks when a machine has several forwards."""
RESETTING_NAT: tuple[Version, Version] = ((7, 2, 4), (7, 2, 6))
FREEZING: tuple[Version, Version] = ((7, 2, 10), (7, 2, 12))
"""First and last that can freeze a Linux host whose KVM is loaded."""
KVM_TAKES_AT_LOAD: Version = (6, 12)
KVM_SHARES: Version = (6, 16)
SHARES_WITH_KVM: Version = (7, 2, 10)


class Kvm(Enum):
    """KVM's module: not loaded, loaded without taking VT-x until a machine starts, loaded and holding it."""

    ABSENT = "absent"
    IDLE = "idle"
    HOLDING = "holding"


@dataclass(frozen=True)
class Host:
    """`system` is sys.platform, `processor` what platform.machine() says; `module` tells whether vboxdrv is
    there (true where VirtualBox needs none); `hyperv` whether Windows runs on its own hypervisor."""

    system: str
    processor: str
    kernel: Version = ()
    module: bool = True
    kvm: Kvm = Kvm.ABSENT
    hyperv: bool = False


@dataclass(frozen=True)
class Verdict:
    """With a problem no machine would start; a warning is worth knowing."""

    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def judge(version: Version, host: Host) -> Verdict:
    problems = [text for text in (_age(version), _processor(host), _module(host)) if text]
    warnings = [text for text in (_build(version), _hyperv(host)) if text]
    fatal, worth = _kvm(version, host)
    return Verdict((*problems, *fatal), (*warnings, *worth))


def _age(version: Version) -> str:
    if version >= OLDEST:
        return ""
    return (
        f"VirtualBox {dotted(version)} is too old; "
        f"install {dotted(OLDEST)} or newer, 7.2.14 at best, or set hypervisor: qemu"
    )


def _processor(host: Host) -> str:
    if host.processor.lower() in ("x86_64", "amd64", "i686"):
        return ""
    return (
        f"VirtualBox cannot run amd64 machines on this computer, whose processor is {host.processor}; "
        "use a computer with an Intel or AMD processor"
    )


def _module(host: Host) -> str:
    if host.module:
        return ""
    return (
        "VirtualBox: its kernel module vboxdrv is not loaded; run sudo modprobe vboxdrv, or where it is "
        "not built sudo /sbin/vboxconfig (with Secure Boot the module must be signed), "
        "or set hypervisor: qemu"
    )


def _build(version: Version) -> str:
    if _within(version, BROKEN_NAT):
        return (
            f"VirtualBox {dotted(version)} breaks NAT when a machine has several port forwards; "
            "install 7.2.4 or newer"
        )
    if _within(version, RESETTING_NAT):
        return f"VirtualBox {dotted(version)} can reset connections through NAT; install 7.2.8 or newer"
    return ""


def _hyperv(host: Host) -> str:
    if not host.hyperv:
        return ""
    return (
        "Windows runs on Hyper-V, so VirtualBox's machines run through it and are slow; switch off Hyper-V, "
        "Virtual Machine Platform and Memory integrity, then restart Windows"
    )


def _kvm(version: Version, host: Host) -> tuple[list[str], list[str]]:
    """Problems and warnings of KVM and VirtualBox wanting VT-x at once."""
    if host.kvm is Kvm.ABSENT or not host.module:
        return [], []
    shares = version >= SHARES_WITH_KVM and host.kernel >= KVM_SHARES
    worth = []
    if _within(version, FREEZING):
        worth.append(
            f"VirtualBox {dotted(version)} can freeze a Linux computer whose KVM is loaded; "
            "install 7.2.14 or newer"
        )
    if host.kvm is Kvm.HOLDING and host.kernel >= KVM_TAKES_AT_LOAD and not shares:
        return [
            f"KVM holds VT-x or AMD-V (Linux {dotted(host.kernel)} gives it away when KVM's module is "
            "loaded); run sudo modprobe -r kvm_intel kvm_amd, or set the module option "
            "kvm.enable_virt_at_load=0, or set hypervisor: qemu, which uses KVM"
        ], worth
    if host.kvm is Kvm.IDLE and shares:
        return [
            f"VirtualBox {dotted(version)} shares VT-x with KVM, which was told to wait; "
            "remove the module option kvm.enable_virt_at_load=0 (in /etc/modprobe.d or on the kernel's "
            "command line), or set hypervisor: qemu"
        ], worth
    return [], worth


def _within(version: Version, span: tuple[Version, Version]) -> bool:
    return span[0] <= version <= span[1]


def this_host() -> Host:
    system, processor = sys.platform, platform.machine()
    if system == "linux":
        kernel = numbers(platform.release())
        return Host(system, processor, kernel, Path("/dev/vboxdrv").exists(), kvm(Path("/sys/module")))
    return Host(system, processor, hyperv=system == "win32" and _hyperv_present())


def kvm(modules: Path) -> Kvm:
    """`modules` is /sys/module. Older kernels have no such parameter: their KVM waits for a machine."""
    if not any((modules / name).exists() for name in ("kvm_intel", "kvm_amd")):
        return Kvm.ABSENT
    parameter = modules / "kvm" / "parameters" / "enable_virt_at_load"
    return Kvm.HOLDING if parameter.exists() and parameter.read_text().strip() == "Y" else Kvm.IDLE


def _hyperv_present() -> bool:
    """Not run yet on a real Windows."""
    argv = [
        "powershell",
        "-NoProfile",
        "-Command",
        "(Get-CimInstance Win32_ComputerSystem).HypervisorPresent",
    ]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.stdout.strip() == "True"


def numbers(release: str) -> Version:
    """The first numbers of a release's name: 6.12.3-amd64 -> (6, 12, 3)."""
    match = re.match(r"\d+(\.\d+)*", release)
    return tuple(int(part) for part in match[0].split(".")) if match else ()


def dotted(version: Version) -> str:
    return ".".join(str(part) for part in version)
