"""Prepares this computer: installs what is missing, or says the one command that does."""

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from cli import apt, packages
from cli.errors import CliError
from cli.hypervisor import OLDEST_QEMU, Version, dotted, qemu_version
from cli.packages import Package

RELEASE_FILE = Path("/etc/os-release")


@dataclass(frozen=True)
class Work:
    """What is to be installed: from the release itself, and from its backports."""

    plain: tuple[str, ...] = ()
    backports: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.plain or self.backports)


def plan(wanted: Sequence[Package], lacking: Sequence[Package], qemu: Version | None, offered: str) -> Work:
    """`lacking` are those of `wanted` that are missing, `qemu` is what is installed now, and `offered` is
    apt's version of it, which counts only when QEMU is lacking or too old."""
    names = [package.name for package in lacking]
    emulator = [package.name for package in packages.QEMU[:2]]
    if not any(package.name == emulator[0] for package in wanted):
        return Work(plain=tuple(names))
    fits = qemu is not None and qemu >= OLDEST_QEMU
    if fits or upstream(offered) >= OLDEST_QEMU:
        return Work(plain=tuple(names if fits or qemu is None else [*emulator, *_without(names, emulator)]))
    return Work(plain=tuple(_without(names, emulator)), backports=tuple(emulator))


def _without(names: Sequence[str], others: Sequence[str]) -> list[str]:
    return [name for name in names if name not in others]


def upstream(version: str) -> Version:
    """Debian's version as numbers: 1:7.2+dfsg-7 -> (7, 2)."""
    digits = version.partition(":")[2] if ":" in version else version
    parts: list[int] = []
    for part in digits.replace("+", ".").replace("-", ".").replace("~", ".").split("."):
        if not part.isdecimal():
            break
        parts.append(int(part))
    return tuple(parts[:3])


def prepare(wanted: Sequence[Package], log: Path) -> None:
    """Leaves everything in `wanted` installed, or raises CliError with the command that installs it."""
    work = outstanding(wanted)
    if not work:
        return
    if shutil.which("apt-get") is None:
        raise CliError(without_apt(packages.missing(wanted)))
    if os.geteuid() != 0:
        raise CliError(
            f"packages are missing on this computer; run this command, then again what you ran:\n"
            f"  {by_hand(work)}"
        )
    click.echo(f"Installing {', '.join([*work.plain, *work.backports])}")
    log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    units = [unit for package in wanted if package.name in work.plain for unit in package.daemons]
    with apt.no_daemons_started(units):
        if work.plain:
            apt.install(work.plain, log)
        if work.backports:
            apt.install_from_backports(work.backports, codename(), log)
    _verify(wanted)


def outstanding(wanted: Sequence[Package]) -> Work:
    lacking = [package for package in packages.missing(wanted) if package.everywhere or _offered(package)]
    qemu = qemu_version()
    enough = qemu is not None and qemu >= OLDEST_QEMU
    offered = "" if enough or shutil.which("apt-cache") is None else apt.candidate(packages.QEMU[0].name)
    return plan(wanted, lacking, qemu, offered)


def _offered(package: Package) -> bool:
    return shutil.which("apt-cache") is not None and bool(apt.candidate(package.name))


def by_hand(work: Work) -> str:
    """The one command for a user who is not root."""
    if work.backports:
        return "sudo ./matrix prepare"
    return f"sudo apt-get install --yes --no-install-recommends {' '.join(work.plain)}"


def without_apt(lacking: Sequence[Package]) -> str:
    lines = [f"  {package.proof}: {package.reason} (Debian: {package.name})" for package in lacking]
    return "\n".join(
        ["this computer lacks, and has no apt-get to install:", *lines, "install them and try again"]
    )


def codename(file: Path = RELEASE_FILE) -> str:
    for line in file.read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition("=")
        if name == "VERSION_CODENAME":
            return value.strip('"')
    return ""


def _verify(wanted: Sequence[Package]) -> None:
    lacking = [package for package in packages.missing(wanted) if package.everywhere]
    if lacking:
        raise CliError(without_apt(lacking))
    version = qemu_version()
    if wanted[0] in packages.QEMU and version is not None and version < OLDEST_QEMU:
        raise CliError(
            f"QEMU {dotted(version)} on PATH is too old; need {dotted(OLDEST_QEMU)} or newer; "
            f"remove it, so that the package's one is found"
        )
