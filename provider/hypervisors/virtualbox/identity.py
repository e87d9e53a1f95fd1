"""Which of VirtualBox's machines are ours: by UUID, by a mark in their extra data, by where they lie."""

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from provider.errors import UserError
from provider.hypervisors.virtualbox.library import NOT_FOUND, Machine, VirtualBox, VirtualBoxError
from provider.hypervisors.virtualbox.record import MACHINES, Record

MARK = "cloudmatrix/machine"
"""Extra data: the machine's own UUID, so that a copy made by hand is not taken for ours."""
SETTINGS = "machine.vbox"
MACHINE_UUID = re.compile(r'<Machine uuid="\{([0-9a-f-]{36})\}"')


def find(virtualbox: VirtualBox, uuid_or_name: str) -> Machine | None:
    try:
        return virtualbox.find_machine(uuid_or_name)
    except VirtualBoxError as error:
        if error.code == NOT_FOUND:
            return None
        raise


def is_ours(machine: Machine, root: Path) -> bool:
    """Marked by us and lying below `root`; of one that VirtualBox cannot read only the place is known."""
    place = Path(machine.settings_file_path)
    if place.parent.parent.name != MACHINES or not inside(place, root):
        return False
    return not machine.accessible or machine.get_extra_data(MARK) == machine.id


def inside(path: Path, folder: Path) -> bool:
    return _real(path).is_relative_to(_real(folder))


def _real(path: Path) -> Path:
    return Path(os.path.normcase(os.path.realpath(path)))


def refuse_foreign(virtualbox: VirtualBox, wanted: Record, root: Path) -> None:
    """UserError: a machine that is not ours has the UUID, the name or the folder of this one.

    Asked for one by one: the time does not grow with the number of machines.
    """
    same = find(virtualbox, wanted.uuid)
    if same is not None and not (is_ours(same, root) and _in(same, wanted.folder)):
        raise UserError(_foreign(same, wanted, f"the UUID {wanted.uuid}"))
    if (other := guest_in(virtualbox, wanted.folder, wanted.uuid)) is not None:
        raise UserError(_foreign(other, wanted, f"the folder {wanted.folder}"))
    named = find(virtualbox, wanted.title)
    if named is not None and named.id != wanted.uuid:
        raise UserError(_foreign(named, wanted, f'the name "{wanted.title}"'))


def guest_in(virtualbox: VirtualBox, folder: Path, uuid: str) -> Machine | None:
    """A machine of VirtualBox's list in this folder that is not the one it belongs to."""
    for found in _settings_in(folder):
        other = find(virtualbox, found)
        if other is not None and other.id != uuid and _in(other, folder):
            return other
    return None


def _settings_in(folder: Path) -> Iterator[str]:
    """UUIDs of the machines whose settings lie in the folder."""
    for file in folder.glob("*.vbox"):
        with suppress(OSError):
            if found := MACHINE_UUID.search(file.read_text(errors="replace")):
                yield found[1]


def _in(machine: Machine, folder: Path) -> bool:
    return inside(Path(machine.settings_file_path), folder)


def _foreign(machine: Machine, wanted: Record, likeness: str) -> str:
    called = f'"{machine.name}", ' if machine.accessible else ""
    return (
        f'VM "{wanted.name}": VirtualBox has another machine with {likeness} '
        f"({called}{machine.id}, {machine.settings_file_path}); not touching it\n"
        "remove that machine in VirtualBox first, or choose another name"
    )


def of_stack(virtualbox: VirtualBox, root: Path, stack: str) -> Iterator[str]:
    """UUIDs of our machines in VirtualBox's list that lie in the stack's folder."""
    for machine in virtualbox.machines:
        with suppress(VirtualBoxError):
            if is_ours(machine, root) and _in(machine, root / stack):
                yield machine.id
