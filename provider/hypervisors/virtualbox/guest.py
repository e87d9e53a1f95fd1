"""A machine of ours as VirtualBox has it."""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from provider.errors import UserError
from provider.hypervisors import ports
from provider.hypervisors.base import Forward, PowerState, Status
from provider.hypervisors.virtualbox import forwards, identity, media, record, settings
from provider.hypervisors.virtualbox.library import Machine, Medium, VirtualBox, VirtualBoxError
from provider.hypervisors.virtualbox.record import Record
from provider.hypervisors.virtualbox.session import locked

WORKING = frozenset(
    {
        *("Running", "Starting", "Stopping", "Restoring", "Saving", "LiveSnapshotting"),
        *("OnlineSnapshotting", "DeletingSnapshotOnline", "Teleporting", "TeleportingIn"),
    }
)
LOG = Path("Logs", "VBox.log")
"""Of a machine's last run, in its folder."""
SAVED = frozenset({"Saved", "AbortedSaved"})
STOPPED = SAVED | {"PoweredOff", "Teleported", "Aborted"}


@dataclass(frozen=True)
class Guest:
    record: Record
    machine: Machine

    @property
    def name(self) -> str:
        return self.record.name

    def runs(self) -> bool:
        """Whether there is a VM process, be it paused or crashed."""
        return self.machine.state not in STOPPED

    def disk(self) -> Medium | None:
        return disk_of(self.machine)

    def forwards(self) -> tuple[Forward, ...]:
        card = settings.nat_card(self.machine)
        return forwards.parse(card.nat_engine.redirects) if card else ()

    def status(self, accelerator: str) -> Status:
        """One that is paused or crashed counts as OFF; of a running one only forwards that listen count."""
        disk = self.disk()
        if disk is None or disk.refresh_state() == "Inaccessible":
            return Status(PowerState.BROKEN)
        state = self.machine.state
        running = state in WORKING
        rules = self.forwards()
        if running:
            rules = tuple(rule for rule in rules if not ports.bindable(rule.host_ip, rule.host_port))
        return Status(
            state=PowerState.RUNNING if running else PowerState.OFF,
            cpus=self.machine.cpu_count,
            memory=self.machine.memory_size,
            disk=disk.logical_size // media.GIB,
            accelerator=accelerator if running else "",
            forwards=rules,
            reason="" if running else f"VirtualBox says: {state}; see {self.record.folder / LOG}",
        )


def disk_of(machine: Machine) -> Medium | None:
    for attachment in machine.medium_attachments:
        if attachment.type == "HardDisk" and attachment.port == settings.DISK_PORT:
            return attachment.medium
    return None


def look(virtualbox: VirtualBox, root: Path, uuid: str) -> tuple[Record | None, Machine | None]:
    """What is known of a machine by its record, and by VirtualBox if that one is ours."""
    known, machine = record.find(root, uuid), identity.find(virtualbox, uuid)
    if machine is not None and not identity.is_ours(machine, root):
        machine = None
    if machine is not None and known is None and machine.accessible:
        known = _recollected(machine)
    if machine is not None and known is not None and not machine.accessible:
        _mend(virtualbox, known, machine)
    return known, machine


def required(virtualbox: VirtualBox, root: Path, uuid: str) -> Guest:
    """UserError: there is no such machine, or VirtualBox cannot read it."""
    known, machine = look(virtualbox, root, uuid)
    if known is None or machine is None:
        raise UserError(f"no VM {uuid} on this computer; run up --refresh to make it again")
    if not machine.accessible:
        raise UserError(
            f'VM "{known.name}": VirtualBox cannot read it: {machine.access_error()}\n'
            "the machine must be replaced"
        )
    return Guest(known, machine)


def _recollected(machine: Machine) -> Record:
    """A record for a machine that has lost its own. The folder is <stack>/machines/<name>."""
    folder = Path(machine.settings_file_path).parent
    disk = disk_of(machine)
    image = Path(disk.base.location) if disk else folder / media.DISK
    return Record(machine.id, folder.name, folder.parent.parent.name, folder, image, ())


def _mend(virtualbox: VirtualBox, known: Record, machine: Machine) -> None:
    """VirtualBox writes the list of a base's clones into one machine's settings: when those were removed by
    hand, the other machines lose their disks until these are opened again."""
    with suppress(VirtualBoxError, UserError), media.base_lock(known.image):
        media.open_base(virtualbox, known.image)
        disk = virtualbox.open_medium(str(known.folder / media.DISK), access="ReadWrite")
        if not machine.accessible or machine.state not in STOPPED:
            return
        # Attached anew, it stands in this machine's settings.
        with locked(machine, "Write") as session:
            session.machine.detach_device(settings.CONTROLLER, settings.DISK_PORT)
            session.machine.save_settings()
            session.machine.attach_device(settings.CONTROLLER, settings.DISK_PORT, "HardDisk", disk)
            session.machine.save_settings()
