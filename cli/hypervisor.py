"""Which hypervisor this computer will use, and what is known about it."""

import json
import platform
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cli.errors import CliError

Version = tuple[int, ...]

ROOT = Path(__file__).resolve().parents[1]
OLDEST_QEMU: Version = (8, 0)
SURVEY_TIMEOUT = 60.0


@dataclass(frozen=True)
class VirtualBox:
    """What the plugin says of VirtualBox here; `version` is "" where it is not installed. Each text is "what
    is wrong; what to do"; with a problem no machine would start."""

    version: str
    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Choice:
    """`name` is virtualbox or qemu; `reason` says why, for the user. `virtualbox` is None where nobody asked
    about it."""

    name: str
    reason: str
    virtualbox: VirtualBox | None = None


def choose(wanted: str, in_use: str | None, virtualbox: VirtualBox) -> Choice:
    """`wanted` is the config's `hypervisor`, `in_use` what the stack has machines on."""
    if wanted != "auto":
        return Choice(wanted, "the stack config says so", virtualbox)
    if in_use:
        return Choice(in_use, "the stack has machines on it", virtualbox)
    if not virtualbox.version:
        return Choice("qemu", "VirtualBox is not installed", virtualbox)
    if virtualbox.problems:
        return Choice("qemu", f"VirtualBox cannot be used: {cause(virtualbox.problems[0])}", virtualbox)
    return Choice("virtualbox", f"VirtualBox {virtualbox.version} is installed", virtualbox)


def cause(text: str) -> str:
    """What is wrong, without what to do about it."""
    return text.partition("; ")[0].removeprefix("VirtualBox: ")


def chosen(wanted: str, stack_folder: Path) -> Choice:
    """The choice that the plugin will make for a stack."""
    if wanted == "qemu":
        return Choice(wanted, "the stack config says so")
    survey = _survey(stack_folder)
    found = survey["virtualbox"]
    virtualbox = VirtualBox(found["version"], tuple(found["problems"]), tuple(found["warnings"]))
    return choose(wanted, survey["in_use"], virtualbox)


def _survey(stack_folder: Path) -> Any:
    argv = [sys.executable, "-m", "provider.hypervisors", str(stack_folder)]
    try:
        done = subprocess.run(
            argv, cwd=ROOT, capture_output=True, text=True, check=True, timeout=SURVEY_TIMEOUT
        )
    except subprocess.TimeoutExpired as error:
        raise CliError(f"VirtualBox did not answer within {SURVEY_TIMEOUT:.0f} s; restart VBoxSVC") from error
    except subprocess.CalledProcessError as error:
        raise CliError(f"looking for VirtualBox failed:\n{error.stderr.strip()}") from error
    return json.loads(done.stdout)


def qemu_version() -> Version | None:
    return _version("qemu-system-x86_64", r"version (\d+)\.(\d+)\.(\d+)")


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
