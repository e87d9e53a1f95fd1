"""Making a machine, or finishing one that a killed run began."""

from pathlib import Path

from provider.errors import UserError
from provider.hypervisors.base import Machine as Wanted
from provider.hypervisors.virtualbox import forwards, identity, media, networks, record, settings
from provider.hypervisors.virtualbox.guest import SAVED, Guest, disk_of, look
from provider.hypervisors.virtualbox.library import Machine, VirtualBox
from provider.hypervisors.virtualbox.record import Record
from provider.hypervisors.virtualbox.remove import clear
from provider.hypervisors.virtualbox.session import locked


def create(virtualbox: VirtualBox, root: Path, wanted: Wanted) -> None:
    plan = record.of(wanted)
    found = record.load(plan.folder)
    if found and found.uuid != plan.uuid:
        raise UserError(_other(plan, found))
    identity.refuse_foreign(virtualbox, plan, root)
    if not plan.image.exists():
        raise UserError(f"base image {wanted.image} is missing; run up --refresh to make it again")
    for card in plan.cards:
        networks.refuse_dhcp(virtualbox, plan.stack, card.network)
    known, machine = look(virtualbox, root, plan.uuid)
    first = machine is None or known is None or not _usable(machine, known, plan)
    if first or machine is None:
        # Nothing of it is worth keeping: cloned from something else, or not readable.
        if known or machine:
            clear(virtualbox, known, machine)
        record.save(plan)
        machine = _registered(virtualbox, plan)
    record.save(plan)
    _finish(virtualbox, Guest(plan, machine), wanted, first=first)


def _usable(machine: Machine, known: Record, plan: Record) -> bool:
    return machine.accessible and known.image == plan.image


def _registered(virtualbox: VirtualBox, plan: Record) -> Machine:
    """In VirtualBox's list and marked as ours, still without a disk."""
    file = plan.folder / identity.SETTINGS
    file.unlink(missing_ok=True)
    machine = virtualbox.create_machine(str(file), plan.title, settings.OS_TYPE, plan.uuid)
    machine.set_extra_data(identity.MARK, plan.uuid)
    machine.save_settings()
    virtualbox.register_machine(machine)
    return machine


def _finish(virtualbox: VirtualBox, guest: Guest, wanted: Wanted, *, first: bool) -> None:
    """Each step only where it is still to be done. A machine that runs is left as it is."""
    if guest.runs():
        return
    with locked(guest.machine, "Write") as session:
        machine = session.machine
        if machine.state in SAVED:
            machine.discard_saved_state()
        settings.apply_fixed(machine, guest.record.folder)
        settings.apply_cards(machine, guest.record.stack, wanted.cards)
        machine.cpu_count, machine.memory_size = wanted.cpus, wanted.memory
        if (card := settings.nat_card(machine)) is not None:
            for rule in wanted.forwards:
                forwards.put(card.nat_engine, rule)
        if disk_of(machine) is None:
            _attach_disk(virtualbox, machine, guest.record, wanted.disk, first=first)
        settings.insert_seed(virtualbox, machine, wanted.seed)
        machine.save_settings()
    disk = guest.disk()
    if disk is not None:
        media.grow(wanted.name, disk, wanted.disk)


def _attach_disk(
    virtualbox: VirtualBox, machine: Machine, plan: Record, gibibytes: int, *, first: bool
) -> None:
    with media.base_lock(plan.image):
        base = media.open_base(virtualbox, plan.image)
        if gibibytes * media.GIB < base.logical_size:
            raise UserError(media.shrinking(plan.name, gibibytes, base.logical_size))
        disk = media.clone(virtualbox, base, plan.folder, first=first)
        machine.attach_device(settings.CONTROLLER, settings.DISK_PORT, "HardDisk", disk)
        # Within the lock: until then nobody sees that the base is in use.
        machine.save_settings()


def _other(plan: Record, found: Record) -> str:
    return (
        f'VM "{plan.name}": {plan.folder} holds another machine '
        f'("{found.name}" of stack "{found.stack}", {found.uuid}); not touching it\n'
        "remove that machine first, or choose another name"
    )
