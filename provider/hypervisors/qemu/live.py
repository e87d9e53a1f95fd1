"""A running machine, through its monitor: whether it works, what it has, its seed and its power button."""

import time
from dataclasses import dataclass

from provider.hypervisors.base import NAT, Forward, Machine, PowerState, Status
from provider.hypervisors.qemu import argv, process, qmp
from provider.hypervisors.qemu.accel import KVM, TCG
from provider.hypervisors.qemu.disk import GIB

WORKING = frozenset({"running", "inmigrate", "prelaunch", "restore-vm", "save-vm", "debug"})
CONTINUABLE = frozenset({"paused", "suspended", "io-error", "watchdog"})
UNPLUG_DEADLINE = 10.0
PRESS_AGAIN = 10.0
"""Seconds after which the power button is pressed again: a booting guest misses the first."""


@dataclass(frozen=True)
class Live:
    """Raises qmp.MonitorError when the machine does not run (any more)."""

    machine: Machine
    daemon: process.Daemon

    def runs(self) -> bool:
        return process.find(self.daemon) is not None

    def state(self) -> str:
        return str(qmp.execute(self.machine.folder, "query-status")["status"])

    def status(self) -> Status:
        """The machine as its hypervisor has it. One that is paused or crashed counts as OFF."""
        if not self.runs():
            raise qmp.MonitorError("not running")
        folder = self.machine.folder
        state, served = self.state(), self.served()
        blocks = qmp.execute(folder, "query-block")
        size = next(
            block["inserted"]["image"]["virtual-size"] for block in blocks if block["device"] == "disk"
        )
        memory = qmp.execute(folder, "query-memory-size-summary")["base-memory"] // 1024**2
        return Status(
            state=PowerState.RUNNING if state in WORKING else PowerState.OFF,
            cpus=len(qmp.execute(folder, "query-cpus-fast")),
            memory=memory,
            disk=size // GIB or self.machine.disk,
            accelerator=KVM if qmp.execute(folder, "query-kvm")["enabled"] else TCG,
            forwards=tuple(rule for rule in self.machine.forwards if endpoint(rule) in served),
            reason="" if state in WORKING else f"QEMU says: {state}",
        )

    def served(self) -> set[tuple[str, int, int]]:
        """Forwards that really listen, as endpoints."""
        has_nat = any(card.network == NAT for card in self.machine.cards)
        return qmp.listening(self.machine.folder) if has_nat and self.runs() else set()

    def press_power_button(self, deadline: float) -> bool:
        """Whether the guest has ended by itself within `deadline` seconds."""
        end = time.monotonic() + deadline
        while running := process.find(self.daemon):
            left = end - time.monotonic()
            if left <= 0:
                return False
            self.quietly("system_powerdown")
            process.wait_gone(self.daemon, running, min(left, PRESS_AGAIN))
        return True

    def unplug_seed(self) -> None:
        """Take the seed out. A guest that does not play along keeps an open, deleted file until it stops."""
        self.quietly("device_del", id=argv.SEED_DEVICE)
        end = time.monotonic() + UNPLUG_DEADLINE
        while time.monotonic() < end and self._has_seed():
            time.sleep(0.2)

    def quietly(self, command: str, **arguments: str) -> None:
        """For what the caller looks at afterwards: a machine that ends meanwhile is no failure."""
        try:
            qmp.execute(self.machine.folder, command, **arguments)
        except qmp.MonitorError:
            return

    def _has_seed(self) -> bool:
        try:
            blocks = qmp.execute(self.machine.folder, "query-block")
        except qmp.MonitorError:
            return False
        return any(block["device"] == argv.SEED_DRIVE for block in blocks)


def endpoint(rule: Forward) -> tuple[str, int, int]:
    return rule.host_ip, rule.host_port, rule.guest_port
