"""Which QEMU is installed, and whether it is good enough."""

import functools
import re
import shutil
import subprocess

from provider.errors import UserError
from provider.hypervisors.qemu.argv import IMAGE_TOOL, SYSTEM, Version

OLDEST: Version = (8, 0, 0)
_PATTERN = re.compile(r"version (\d+)\.(\d+)\.(\d+)")


def installed() -> Version | None:
    path = shutil.which(SYSTEM)
    return _version(path) if path else None


def problems() -> tuple[str, ...]:
    """Why QEMU cannot be used, each with what to do."""
    found = installed()
    if found is None or shutil.which(IMAGE_TOOL) is None:
        return (f"{SYSTEM} and {IMAGE_TOOL} are needed; install qemu-system-x86 and qemu-utils",)
    if found < OLDEST:
        return (
            f"QEMU {dotted(found)} is too old: it crashes current kernels when it emulates; need "
            f"{dotted(OLDEST)} or newer; on Debian 12 install qemu-system-x86 and qemu-utils from "
            "bookworm-backports",
        )
    return ()


def required() -> Version:
    """The installed version. UserError: none, or too old."""
    found, wrong = installed(), problems()
    if found is None or wrong:
        raise UserError(wrong[0])
    return found


def dotted(version: Version) -> str:
    return ".".join(map(str, version))


@functools.cache
def _version(path: str) -> Version | None:
    try:
        done = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = _PATTERN.search(done.stdout)
    return (int(match[1]), int(match[2]), int(match[3])) if match else None
