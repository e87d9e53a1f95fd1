"""The QEMU driver: machines as QEMU daemons, each in a folder of its own below the project's `.matrix`.

A machine's folder holds its record, its disk (a clone of the base image), the serial console's log, the
monitor's socket and QEMU's own messages. The record is written before anything is made, so that every
half-made machine is known by its UUID and can be finished or deleted.
"""

import shutil
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import platformdirs

from provider.errors import UserError
from provider.hypervisors import console, ports
from provider.hypervisors.base import NAT, Facts, Forward, Machine, PowerState, Status, StopMode
from provider.hypervisors.locks import lock
from provider.hypervisors.qemu import accel, argv, live, process, qmp, record, version
from provider.hypervisors.qemu import disk as disks
from provider.hypervisors.qemu.live import Live
from provider.hypervisors.qemu.network import Networks, remove_empty

LOG = "qemu.log"
START_DEADLINE = 60.0
QUIT_DEADLINE = 5.0


class Qemu:
    """`root` is the project's `.matrix` folder; `cache` keeps what was found out about this computer."""

    name = "qemu"

    def __init__(self, root: Path, cache: Path | None = None) -> None:
        self._root = root.absolute()
        self._cache = cache or platformdirs.user_cache_path("cloudmatrix")
        self._networks = Networks(self._root)

    def probe(self) -> Facts:
        found, problems = version.installed(), version.problems()
        if found is None:
            return Facts(self.name, "", "", problems)
        chosen = "" if problems else accel.choose(self._cache, found)
        return Facts(self.name, version.dotted(found), chosen, problems)

    def create_network(self, stack: str, name: str, cidr: str) -> None:
        self._networks.create(stack, name, cidr)

    def network_exists(self, stack: str, name: str) -> bool:
        """A switch that died is started again: it holds nothing, and its machines connect again."""
        if not self._networks.exists(stack, name):
            return False
        self._networks.ensure(stack, name)
        return True

    def delete_network(self, stack: str, name: str) -> None:
        self._networks.delete(stack, name)

    def create(self, machine: Machine) -> None:
        with lock(machine.uuid):
            version.required()
            known = record.load(machine.folder)
            if known and known.uuid != machine.uuid:
                raise UserError(_foreign(machine, known))
            if not machine.image.exists():
                raise UserError(f"base image {machine.image} is missing; run up --refresh to make it again")
            if known is None or known.image != machine.image:
                # Nothing recorded, or cloned from something else: whatever runs or lies there is a leftover.
                process.kill(self._daemon(machine.uuid, machine.folder))
                (machine.folder / argv.DISK).unlink(missing_ok=True)
            machine.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            record.save(replace(machine, forwards=_merged(known, machine)))
            disks.clone(machine.name, machine.image, machine.folder, machine.disk)

    def start(self, uuid: str) -> None:
        with lock(uuid):
            guest = self._required(uuid)
            if self._resumed(guest):
                return
            machine, installed = guest.machine, version.required()
            _check_files(machine)
            for rule in machine.forwards:
                _check_port(rule)
            host = argv.Host(installed, accel.choose(self._cache, installed))
            sockets = [self._switch(machine, card.network) for card in machine.cards]
            console.bound(machine.folder / argv.CONSOLE)
            for stale in (argv.MONITOR, LOG):
                (machine.folder / stale).unlink(missing_ok=True)
            words = argv.run(machine, host, _boot(machine.image), sockets)
            process.spawn(guest.daemon, words, machine.folder / LOG)
            self._await_monitor(guest)

    def stop(self, uuid: str, mode: StopMode, deadline: float = 60.0) -> None:
        with lock(uuid):
            guest = self._required(uuid)
            if mode == "graceful" and guest.press_power_button(deadline):
                return
            # Asked to quit first: it writes back what the disk's cache holds.
            if running := process.find(guest.daemon):
                guest.quietly("quit")
                if not process.wait_gone(guest.daemon, running, QUIT_DEADLINE):
                    process.kill(guest.daemon)

    def status(self, uuid: str) -> Status:
        machine = record.find(self._root, uuid)
        if machine is None:
            return Status(PowerState.ABSENT)
        console.bound(machine.folder / argv.CONSOLE)
        try:
            return self._live(machine).status()
        except qmp.MonitorError:
            size = disks.size(machine.folder / argv.DISK)
        state = PowerState.BROKEN if size is None else PowerState.OFF
        gibibytes = (size or 0) // disks.GIB or machine.disk
        said = _said(machine)
        return Status(
            state=state,
            cpus=machine.cpus,
            memory=machine.memory,
            disk=gibibytes,
            forwards=machine.forwards,
            reason=said,
            crashed=process.crashed(said),
        )

    def configure(self, uuid: str, cpus: int, memory: int, disk: int) -> None:
        with lock(uuid):
            guest = self._required(uuid)
            if guest.runs():
                raise UserError(f'VM "{guest.machine.name}" runs; stop it before changing its size')
            disks.grow(guest.machine.name, guest.machine.folder, disk)
            record.save(replace(guest.machine, cpus=cpus, memory=memory, disk=disk))

    def forward(self, uuid: str, rule: Forward) -> None:
        with lock(uuid):
            guest = self._required(uuid)
            machine, served = guest.machine, guest.served()
            if not any(card.network == NAT for card in machine.cards):
                raise UserError(f'VM "{machine.name}" has no NAT card: no port of this computer leads to it')
            for other in machine.forwards:
                if other.name == rule.name and other != rule and live.endpoint(other) in served:
                    qmp.remove_forward(machine.folder, other)
            if live.endpoint(rule) not in served:
                _check_port(rule)
                if guest.runs():
                    _add_forward(machine, rule)
            others = tuple(other for other in machine.forwards if other.name != rule.name)
            record.save(replace(machine, forwards=(*others, rule)))

    def unforward(self, uuid: str, name: str) -> None:
        with lock(uuid):
            machine = record.find(self._root, uuid)
            gone = [rule for rule in machine.forwards if rule.name == name] if machine else []
            if machine is None or not gone:
                return
            if self._live(machine).runs():
                qmp.remove_forward(machine.folder, gone[0])
            kept = tuple(rule for rule in machine.forwards if rule.name != name)
            record.save(replace(machine, forwards=kept))

    def detach_seed(self, uuid: str) -> None:
        with lock(uuid):
            guest = self._required(uuid)
            if guest.machine.seed is None:
                return
            if guest.runs():
                guest.unplug_seed()
            guest.machine.seed.unlink(missing_ok=True)
            record.save(replace(guest.machine, seed=None))

    def console_tail(self, uuid: str, lines: int = 40) -> Sequence[str]:
        machine = record.find(self._root, uuid)
        return console.tail(machine.folder / argv.CONSOLE, lines) if machine else []

    def delete(self, uuid: str) -> None:
        with lock(uuid):
            machine = record.find(self._root, uuid)
            # Even without a record: its folder may have been removed by hand while it ran.
            process.kill(self._daemon(uuid, machine.folder if machine else self._root))
            if machine is None:
                return
            if machine.seed:
                machine.seed.unlink(missing_ok=True)
            _remove(machine.folder)
            remove_empty(machine.folder.parent, self._root)

    def list(self, stack: str) -> Sequence[str]:
        return [machine.uuid for machine in record.readable(self._root, stack)]

    def _required(self, uuid: str) -> Live:
        machine = record.find(self._root, uuid)
        if machine is None:
            raise UserError(f"no VM {uuid} on this computer; run up --refresh to make it again")
        return self._live(machine)

    def _live(self, machine: Machine) -> Live:
        return Live(machine, self._daemon(machine.uuid, machine.folder))

    def _daemon(self, uuid: str, folder: Path) -> process.Daemon:
        return process.Daemon("qemu-system", ("-uuid", uuid), folder, self._root)

    def _switch(self, machine: Machine, network: str) -> str:
        if network == NAT:
            return ""
        self._networks.ensure(machine.stack, network)
        return self._networks.socket(machine.stack, network, machine.folder)

    def _resumed(self, guest: Live) -> bool:
        """Whether the machine runs already, continued if it was paused."""
        if not guest.runs():
            return False
        state = self._await_monitor(guest)
        if state in live.CONTINUABLE:
            qmp.execute(guest.machine.folder, "cont")
        elif state not in live.WORKING:
            process.kill(guest.daemon)
            return False
        return True

    def _await_monitor(self, guest: Live) -> str:
        """The run state, once the monitor answers. UserError with QEMU's message when it ends instead."""
        end = time.monotonic() + START_DEADLINE
        while True:
            try:
                return guest.state()
            except qmp.MonitorError as error:
                if not guest.runs():
                    raise UserError(_start_failure(guest.machine)) from error
                if time.monotonic() > end:
                    raise UserError(f'VM "{guest.machine.name}": QEMU does not answer: {error}') from error
            time.sleep(process.POLL)


def _foreign(machine: Machine, known: Machine) -> str:
    return (
        f'VM "{machine.name}": {machine.folder} holds another machine '
        f'("{known.name}" of stack "{known.stack}", {known.uuid}); not touching it\n'
        "remove that machine first, or choose another name"
    )


def _merged(known: Machine | None, wanted: Machine) -> tuple[Forward, ...]:
    """Forwards of a machine found again: those asked for now, and others made by rules of their own."""
    names = {rule.name for rule in wanted.forwards}
    others = known.forwards if known else ()
    return (*(rule for rule in others if rule.name not in names), *wanted.forwards)


def _check_files(machine: Machine) -> None:
    missing = [path for path in (machine.image, machine.folder / argv.DISK) if not path.exists()]
    if missing:
        raise UserError(f'VM "{machine.name}": {missing[0]} is gone; the machine must be replaced')


def _check_port(rule: Forward) -> None:
    if held := ports.holder(rule.host_ip, rule.host_port):
        raise UserError(f"forwards.{rule.name}: port {rule.host_port} is held by {held}; set another")


def _add_forward(machine: Machine, rule: Forward) -> None:
    try:
        qmp.add_forward(machine.folder, rule)
    except qmp.MonitorError as error:
        _check_port(rule)
        raise UserError(
            f"forwards.{rule.name}: port {rule.host_port} cannot be forwarded: {error}"
        ) from error


def _boot(image: Path) -> argv.Boot | None:
    kernel, initrd = image.parent / "vmlinuz", image.parent / "initrd"
    return argv.Boot(kernel.absolute(), initrd.absolute()) if kernel.exists() and initrd.exists() else None


def _start_failure(machine: Machine) -> str:
    return f'VM "{machine.name}": QEMU ended at its start\n{_said(machine) or "it gave no reason"}'


def _said(machine: Machine) -> str:
    """What QEMU wrote since its last start, and the signal that ended it."""
    try:
        return (machine.folder / LOG).read_text(errors="replace").strip()[-2000:]
    except OSError:
        return ""


def _remove(folder: Path) -> None:
    """All but the record first: a machine is known until nothing else of it is left."""
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name != record.FILE:
            path.unlink(missing_ok=True)
    (folder / record.FILE).unlink(missing_ok=True)
    folder.rmdir()
