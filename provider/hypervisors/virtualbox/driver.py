"""The VirtualBox driver: machines as differencing disks of a base, each in a folder below `.matrix`.

VirtualBox's list is the truth; the record in a machine's folder tells which of the list is ours, and what
was to be made when a run was killed.
"""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from provider.errors import UserError
from provider.hypervisors import console, ports
from provider.hypervisors.base import NAT, Facts, Forward, Machine, PowerState, Status, StopMode
from provider.hypervisors.locks import lock
from provider.hypervisors.virtualbox import (
    binding,
    build,
    forwards,
    guest,
    identity,
    library,
    media,
    networks,
    power,
    preflight,
    record,
    settings,
)
from provider.hypervisors.virtualbox.guest import Guest
from provider.hypervisors.virtualbox.library import VirtualBoxError
from provider.hypervisors.virtualbox.remove import remove
from provider.hypervisors.virtualbox.session import locked

Value = TypeVar("Value")

DRIVERLESS = "CLOUDMATRIX_VIRTUALBOX_DRIVERLESS"
"""Set to 1 where machines run without VirtualBox's kernel module, as those of the tests do."""
LISTEN_DEADLINE = 10.0
POLL = 0.1


class VirtualBox:
    """`root` is the project's `.matrix` folder. The module loads where VirtualBox is not installed."""

    name = "virtualbox"

    def __init__(self, root: Path) -> None:
        self._root = root.absolute()

    def probe(self) -> Facts:
        try:
            version = binding.run(lambda: library.VirtualBox.connect().version)
        except binding.NotInstalled as error:
            return Facts(self.name, "", "", (str(error),))
        host = preflight.this_host()
        if _driverless():
            host = replace(host, module=True, kvm=preflight.Kvm.ABSENT)
        numbers = preflight.numbers(version)
        verdict = preflight.judge(numbers, host)
        chosen = "" if verdict.problems else _accelerator()
        return Facts(self.name, preflight.dotted(numbers), chosen, verdict.problems, verdict.warnings)

    def create_network(self, stack: str, name: str, cidr: str) -> None:
        _run(lambda api: networks.refuse_dhcp(api, stack, name))
        networks.create(self._root, stack, name, cidr)

    def network_exists(self, stack: str, name: str) -> bool:
        return networks.exists(self._root, stack, name)

    def delete_network(self, stack: str, name: str) -> None:
        networks.delete(self._root, stack, name)

    def create(self, machine: Machine) -> None:
        with lock(machine.uuid):
            _run(lambda api: build.create(api, self._root, machine))

    def start(self, uuid: str) -> None:
        with lock(uuid):
            _run(lambda api: self._start(self._required(api, uuid), api))

    def stop(self, uuid: str, mode: StopMode, deadline: float = 60.0) -> None:
        def work(api: library.VirtualBox) -> None:
            found = self._required(api, uuid)
            if mode == "graceful":
                power.press_power_button(found.machine, deadline)
            power.off(found.machine)
            media.forget_gone(api, found.record.folder)

        with lock(uuid):
            _run(work)

    def status(self, uuid: str) -> Status:
        def work(api: library.VirtualBox) -> Status:
            known, machine = guest.look(api, self._root, uuid)
            if known is None and machine is None:
                return Status(PowerState.ABSENT)
            if known is None or machine is None or not machine.accessible:
                return Status(PowerState.BROKEN)
            return Guest(known, machine).status(_accelerator())

        return _run(work)

    def configure(self, uuid: str, cpus: int, memory: int, disk: int) -> None:
        with lock(uuid):
            _run(lambda api: _configure(self._required(api, uuid), cpus, memory, disk))

    def forward(self, uuid: str, rule: Forward) -> None:
        with lock(uuid):
            _run(lambda api: _forward(self._required(api, uuid), rule))

    def unforward(self, uuid: str, name: str) -> None:
        def work(api: library.VirtualBox) -> None:
            known, machine = guest.look(api, self._root, uuid)
            if known and machine and machine.accessible:
                _change_forwards(Guest(known, machine), lambda engine: forwards.remove(engine, name))

        with lock(uuid):
            _run(work)

    def detach_seed(self, uuid: str) -> None:
        with lock(uuid):
            _run(lambda api: _detach_seed(self._required(api, uuid), api))

    def console_tail(self, uuid: str, lines: int = 40) -> Sequence[str]:
        known = record.find(self._root, uuid)
        return console.tail(known.folder / settings.CONSOLE, lines) if known else []

    def delete(self, uuid: str) -> None:
        with lock(uuid):
            _run(lambda api: remove(api, self._root, *guest.look(api, self._root, uuid)))

    def list(self, stack: str) -> Sequence[str]:
        recorded = [known.uuid for known in record.every(self._root, stack)]
        found = _run(lambda api: list(identity.of_stack(api, self._root, stack)))
        return list(dict.fromkeys([*recorded, *found]))

    def _required(self, api: library.VirtualBox, uuid: str) -> Guest:
        return guest.required(api, self._root, uuid)

    def _start(self, machine: Guest, api: library.VirtualBox) -> None:
        state = machine.machine.state
        if state == "Paused":
            power.resume(machine.machine)
            return
        if state in guest.WORKING:
            return
        power.off(machine.machine)
        self._check(machine, api)
        if state not in guest.SAVED and machine.record.cards:
            with locked(machine.machine, "Write") as session:
                # What was changed by hand while it was off is put right.
                settings.apply_fixed(session.machine, machine.record.folder)
                settings.apply_cards(session.machine, machine.record.stack, machine.record.cards)
                session.machine.save_settings()
        power.start(machine.machine, machine.name)

    def _check(self, machine: Guest, api: library.VirtualBox) -> None:
        folder, image = machine.record.folder, machine.record.image
        missing = [path for path in (image, folder / media.DISK) if not path.exists()]
        if missing:
            raise UserError(f'VM "{machine.name}": {missing[0]} is gone; the machine must be replaced')
        with media.base_lock(image):
            media.open_base(api, image)
        for card in machine.record.cards:
            if card.network != NAT:
                networks.refuse_dhcp(api, machine.record.stack, card.network)
        power.check_ports(machine.forwards())


def _run(work: Callable[[library.VirtualBox], Value]) -> Value:
    """The work, with VirtualBox at hand. UserError: it is not installed, or refuses something."""
    try:
        return binding.run(lambda: work(library.VirtualBox.connect()))
    except binding.NotInstalled as error:
        raise UserError(f"hypervisor: {error}") from error
    except VirtualBoxError as error:
        raise UserError(f"VirtualBox refuses: {error}") from error


def _driverless() -> bool:
    return os.environ.get(DRIVERLESS) == "1"


def _accelerator() -> str:
    return "interpreter" if _driverless() else "vt-x/amd-v"


def _configure(machine: Guest, cpus: int, memory: int, disk: int) -> None:
    if machine.runs():
        raise UserError(f'VM "{machine.name}" runs; stop it before changing its size')
    medium = machine.disk()
    if medium is None:
        raise UserError(f'VM "{machine.name}": its disk is unusable; the machine must be replaced')
    with locked(machine.machine, "Write") as session:
        if session.machine.state in guest.SAVED:
            session.machine.discard_saved_state()
        session.machine.cpu_count, session.machine.memory_size = cpus, memory
        session.machine.save_settings()
    media.grow(machine.name, medium, disk)


def _forward(machine: Guest, rule: Forward) -> None:
    if settings.nat_card(machine.machine) is None:
        raise UserError(f'VM "{machine.name}" has no NAT card: no port of this computer leads to it')
    if rule in machine.forwards() and (
        not machine.runs() or not ports.bindable(rule.host_ip, rule.host_port)
    ):
        return
    power.check_ports((rule,))
    _change_forwards(machine, lambda engine: forwards.put(engine, rule))
    if machine.machine.state in guest.WORKING and not _listens(rule):
        # VirtualBox says nothing when it cannot bind: only its log tells.
        _change_forwards(machine, lambda engine: forwards.remove(engine, rule.name))
        power.check_ports((rule,))
        raise UserError(
            f"forwards.{rule.name}: port {rule.host_port} cannot be forwarded: VirtualBox does not listen "
            f"there; see {machine.record.folder / guest.LOG}"
        )


def _change_forwards(machine: Guest, change: Callable[[library.NatEngine], None]) -> None:
    with locked(machine.machine, "Shared") as session:
        card = settings.nat_card(session.machine)
        if card is not None:
            change(card.nat_engine)
            session.machine.save_settings()


def _listens(rule: Forward) -> bool:
    end = time.monotonic() + LISTEN_DEADLINE
    while ports.bindable(rule.host_ip, rule.host_port):
        if time.monotonic() > end:
            return False
        time.sleep(POLL)
    return True


def _detach_seed(machine: Guest, api: library.VirtualBox) -> None:
    with locked(machine.machine, "Shared") as session:
        seed = settings.take_seed(session.machine)
        session.machine.save_settings()
    if seed is not None:
        place = Path(seed.location)
        if identity.inside(place, machine.record.folder):
            place.unlink(missing_ok=True)
    media.forget_gone(api, machine.record.folder)
