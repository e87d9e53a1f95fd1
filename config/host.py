"""What this computer can give to the machines of a stack."""

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
    for process in psutil.process_iter(["name", "cmdline"]):
        name, command = process.info["name"] or "", process.info["cmdline"] or []
        if not name.startswith(MACHINE_PROGRAMS):
            continue
        if not name.startswith("qemu-system") or any(str(stack_folder) in word for word in command):
            yield process


def _memory(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.Error:
        return 0
