"""What `doctor` looks at: each check answers findings and touches nothing."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import platformdirs

from cli import host, hypervisor, packages, ports
from cli.hypervisor import Choice, VirtualBox, dotted
from config import Config
from config.checks import gib, memory_needed
from config.host import host_facts

GIB = 1024**3
BASE_IMAGE = 4
"""GiB that making the base image takes for a while."""
PER_MACHINE = 1
"""GiB that a machine's disk grows to in ordinary use."""

VERDICTS = platformdirs.user_cache_path("cloudmatrix") / "accelerator.json"
"""Where the QEMU driver remembers whether KVM works here."""

Level = Literal["ok", "warning", "failure"]


@dataclass(frozen=True)
class Finding:
    """A failure is what `up` would surely fail at; `hint` says what to do."""

    level: Level
    text: str
    hint: str = ""


def all_checks(root: Path, stack_folder: Path, config: Config) -> Iterator[Finding]:
    choice = hypervisor.chosen(config.hypervisor, stack_folder)
    yield Finding("ok", f"hypervisor: {choice.name}, as {choice.reason}")
    yield from check_hypervisor(choice)
    yield from check_packages(choice, config.base.source)
    yield from surely_failing(root, stack_folder, config)


def surely_failing(root: Path, stack_folder: Path, config: Config) -> Iterator[Finding]:
    """The checks that `up` runs after the packages are installed."""
    yield from check_ports(config, stack_folder)
    yield check_memory(config, host_facts(stack_folder).memory)
    yield check_disk(config, shutil.disk_usage(root).free // GIB, made=stack_folder.exists())


def check_hypervisor(choice: Choice) -> Iterator[Finding]:
    if choice.virtualbox is not None:
        yield from judge_virtualbox(choice.virtualbox, used=choice.name == "virtualbox")
    if choice.name != "qemu":
        return
    version = hypervisor.qemu_version()
    if version is not None:
        yield Finding("ok", f"QEMU {dotted(version)}")
    yield judge_kvm(hypervisor.kvm_offered(), hypervisor.kvm_verdict(VERDICTS))


def judge_kvm(offered: bool, works: bool | None) -> Finding:
    if offered and works is None:
        return Finding("ok", "KVM: /dev/kvm is there; up tries whether it really runs a machine")
    if offered and works:
        return Finding("ok", "KVM: it runs machines on this computer")
    cause = "it ran no machine on this computer and kernel" if offered else "there is no /dev/kvm"
    return Finding(
        "warning",
        f"KVM: {cause}, so machines are emulated: minutes instead of seconds",
        "switch on virtualization in the BIOS, or in the settings of the machine that this one runs in",
    )


def judge_virtualbox(found: VirtualBox, *, used: bool) -> Iterator[Finding]:
    """What is wrong with a VirtualBox that is not `used` is only worth knowing, and its absence is not."""
    if not found.version and not used:
        return
    if found.version and not found.problems:
        yield Finding("ok", f"VirtualBox {found.version}")
    for text in found.problems:
        yield _finding("failure" if used else "warning", text)
    for text in found.warnings:
        yield _finding("warning", text)


def _finding(level: Level, text: str) -> Finding:
    told, _, hint = text.partition("; ")
    return Finding(level, told, hint)


def check_packages(choice: Choice, source: str) -> Iterator[Finding]:
    wanted = packages.needed(choice.name, source)
    work = host.outstanding(wanted)
    if not work:
        yield Finding("ok", "packages: everything needed is installed")
        return
    for package in packages.missing(wanted):
        yield Finding("warning", f"{package.proof} is missing: {package.reason}")
    names = " ".join([*work.plain, *work.backports])
    yield Finding(
        "warning", f"packages to install: {names}", f"up does it as root; or run {host.by_hand(work)}"
    )


def check_ports(config: Config, stack_folder: Path) -> Iterator[Finding]:
    forwards = config.forwards
    wanted = (("ssh", "127.0.0.1", forwards.ssh), ("http", forwards.address, forwards.http))
    for name, address, port in wanted:
        holder = ports.holder(address, port)
        if holder is None:
            yield Finding("ok", f"forwards.{name}: port {port} is free")
        elif holder.belongs_to(stack_folder):
            yield Finding("ok", f"forwards.{name}: port {port} is held by this stack")
        else:
            yield Finding("failure", f"forwards.{name}: port {port} is held by {holder}", "set another")


def check_memory(config: Config, free: int) -> Finding:
    wanted = memory_needed(config)
    text = f"memory: the machines have {gib(wanted)}; this computer has {gib(free)} free"
    if wanted <= free:
        return Finding("ok", text)
    return Finding("failure", text, "set a smaller node.memory or fewer nodes")


def check_disk(config: Config, free: int, *, made: bool) -> Finding:
    """`free` is GiB in the project's folder; a stack that is `made` has taken most of it already."""
    wanted = 0 if made else BASE_IMAGE + PER_MACHINE * (len(config.nodes) + 1)
    text = f"disk: about {wanted} GiB more are needed; {free} GiB are free"
    if wanted <= free:
        return Finding("ok", text)
    return Finding("warning", text, "make room, or machines may stop in the middle of their work")
