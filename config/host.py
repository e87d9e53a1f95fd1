"""What this computer can give to the machines of a stack."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil

from config.model import HostFacts

MIB = 1024 * 1024
MACHINE_PROGRAMS = ("qemu-system", "VBoxHeadless", "VirtualBoxVM")


def host_facts(stack_folder: Path) -> HostFacts:
    """Memory that this stack's own machines hold already counts as free, or no second `up` would pass."""
    held = sum(_memory(process) for process in own_machines(stack_folder))
    return HostFacts(memory=(psutil.virtual_memory().available + held) // MIB)


def own_machines(stack_folder: Path) -> Iterator[psutil.Process]:
    """Processes that run machines of this stack. VirtualBox does not say whose machine it runs: all count."""
    for process in psutil.process_iter(["name"]):
        name = process.info["name"] or ""
        if name.startswith(MACHINE_PROGRAMS) and (name.startswith("V") or works_in(process, stack_folder)):
            yield process


def works_in(process: psutil.Process, folder: Path) -> bool:
    """Whether a process was told a path in the folder, or is a daemon that runs there."""
    try:
        words = process.cmdline()
        if sys.platform == "win32" or process.terminal() is None:
            words.append(process.cwd())
    except psutil.Error:
        return False
    # A daemon's own folder is told without symbolic links.
    folders = {f"{folder}{os.sep}", f"{folder.resolve()}{os.sep}"}
    return any(name in f"{word}{os.sep}" for word in words for name in folders)


def _memory(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.Error:
        return 0
