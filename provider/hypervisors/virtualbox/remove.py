"""Taking a machine away with all it owns, and nothing else."""

import shutil
from contextlib import nullcontext
from pathlib import Path

from provider.errors import UserError
from provider.hypervisors.virtualbox import identity, media, networks, power
from provider.hypervisors.virtualbox.library import Machine, Medium, VirtualBox
from provider.hypervisors.virtualbox.record import Record
from provider.hypervisors.virtualbox.session import finish, retried

OWN_FILES = (identity.SETTINGS, f"{identity.SETTINGS}-prev", f"{identity.SETTINGS}-tmp", media.DISK)
OWN_FOLDERS = ("Logs", "Snapshots")


def remove(virtualbox: VirtualBox, root: Path, known: Record | None, machine: Machine | None) -> None:
    """The record goes last: a machine is known until nothing else of it is left.

    UserError: something of it is left in VirtualBox.
    """
    folder = clear(virtualbox, known, machine)
    if folder is not None:
        if folder.exists():
            shutil.rmtree(folder)
        networks.remove_empty(folder.parent, root)


def clear(virtualbox: VirtualBox, known: Record | None, machine: Machine | None) -> Path | None:
    """Remove all that VirtualBox has of the machine; its folder, which is answered, stays with the rest."""
    if machine is not None and machine.accessible:
        power.off(machine)
    folder = Path(machine.settings_file_path).parent if machine is not None else None
    folder = folder or (known.folder if known else None)
    if folder is None:
        return None
    uuid = known.uuid if known else machine.id if machine is not None else ""
    if (other := identity.guest_in(virtualbox, folder, uuid)) is not None:
        raise UserError(
            f"{folder} holds another machine of VirtualBox ({other.id}, {other.settings_file_path}); "
            "not touching it\nmove or remove that machine in VirtualBox, then run destroy again"
        )
    # The list of a base's clones is in the settings of one of its machines: with that one it moves on.
    with media.base_lock(known.image) if known and known.image.parent.exists() else nullcontext():
        if machine is not None:
            _unregister(machine, folder)
        media.forget_within(virtualbox, folder)
        if known is not None:
            media.close_unused(virtualbox, known.image)
    _verify(virtualbox, folder, known.uuid if known else "")
    for name in OWN_FILES:
        (folder / name).unlink(missing_ok=True)
    for name in OWN_FOLDERS:
        shutil.rmtree(folder / name, ignore_errors=True)
    return folder


def _unregister(machine: Machine, folder: Path) -> None:
    if not machine.accessible:
        machine.unregister("UnregisterOnly")
        return
    # Not "Full", which would delete what a user has put into the drive.
    freed = retried(lambda: machine.unregister("DetachAllReturnHardDisksOnly"))
    ours = [disk for disk in freed if _is_ours(disk, folder)]
    finish(machine.delete_config(ours))


def _is_ours(disk: Medium, folder: Path) -> bool:
    """The base is among the freed when its last clone goes; its file must stay."""
    return disk.parent is not None and identity.inside(Path(disk.location), folder)


def _verify(virtualbox: VirtualBox, folder: Path, uuid: str) -> None:
    left = media.within(virtualbox, folder)
    if uuid and (machine := identity.find(virtualbox, uuid)) is not None:
        place = Path(machine.settings_file_path)
        left += [str(place)] if identity.inside(place, folder) else []
    if left:
        raise UserError(f"VirtualBox still uses {', '.join(left)}\nclose what holds it and run destroy again")
