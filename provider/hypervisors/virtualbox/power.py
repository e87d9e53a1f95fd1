"""Starting and stopping."""

import time
from contextlib import suppress
from pathlib import Path

import psutil

from provider.errors import UserError
from provider.hypervisors import ports
from provider.hypervisors.base import Forward
from provider.hypervisors.virtualbox.library import Machine, VirtualBox, VirtualBoxError
from provider.hypervisors.virtualbox.session import await_unlocked, finish, holder, locked, release, retried

FRONTEND = "headless"
START_DEADLINE = 120.0
OFF_DEADLINE = 30.0
PRESS_AGAIN = 10.0
"""Seconds after which the power button is pressed again: a booting guest misses the first."""
POLL = 0.2
ENDED = frozenset({"PoweredOff", "Saved", "Aborted", "AbortedSaved", "Teleported"})


def start(machine: Machine, name: str) -> None:
    """UserError with VirtualBox's words when it does not come up."""
    session = VirtualBox.session()
    try:
        progress = retried(lambda: machine.launch_vm_process(session, FRONTEND))
        finish(progress, START_DEADLINE)
    except VirtualBoxError as error:
        raise UserError(f'VM "{name}": VirtualBox did not start it\n{_cause(machine, error)}') from error
    finally:
        release(machine, session)


def resume(machine: Machine) -> None:
    with locked(machine, "Shared") as session:
        if (console := session.console) is not None:
            console.resume()


def off(machine: Machine) -> None:
    """Without asking the guest. UserError: the VM process does not end."""
    pid = machine.session_pid
    if machine.state not in ENDED:
        with suppress(VirtualBoxError), locked(machine, "Shared") as session:
            if session.type != "WriteLock" and (console := session.console) is not None:
                finish(console.power_down(), OFF_DEADLINE)
    if not await_unlocked(machine):
        raise UserError(
            f'VM "{machine.name}" is locked by another program: {holder(machine)}\n'
            "close its window or settings in VirtualBox and run up again"
        )
    _await_end(pid)


def _await_end(pid: int) -> None:
    """The machine is unlocked a little before its process ends; until then its ports and files are held."""
    with suppress(psutil.Error):
        process = psutil.Process(pid)
        if process.name().startswith("VBox"):
            process.wait(timeout=OFF_DEADLINE)


def press_power_button(machine: Machine, deadline: float) -> bool:
    """Whether the guest has ended by itself within `deadline` seconds."""
    end = time.monotonic() + deadline
    pressed = float("-inf")
    while machine.state not in ENDED:
        if time.monotonic() > end:
            return False
        if time.monotonic() - pressed >= PRESS_AGAIN:
            _press(machine)
            pressed = time.monotonic()
        time.sleep(POLL)
    return True


def _press(machine: Machine) -> None:
    """A guest that is just starting or stopping cannot be asked; the next press may reach it."""
    with suppress(VirtualBoxError), locked(machine, "Shared") as session:
        if session.type != "WriteLock" and (console := session.console) is not None:
            console.power_button()


def check_ports(rules: tuple[Forward, ...]) -> None:
    for rule in rules:
        if held := ports.holder(rule.host_ip, rule.host_port):
            raise UserError(f"forwards.{rule.name}: port {rule.host_port} is held by {held}; set another")


def _cause(machine: Machine, error: VirtualBoxError) -> str:
    """VirtualBox's words; where it has none, what its log of the machine says last of errors."""
    if error.text:
        return str(error)
    with suppress(VirtualBoxError, OSError):
        log = Path(str(machine.get("logFolder"))) / "VBox.log"
        lines = [line for line in log.read_text(errors="replace").splitlines() if "VERR_" in line]
        return "\n".join(line[-300:] for line in lines[-3:]) or f"see {log}"
    return str(error)
