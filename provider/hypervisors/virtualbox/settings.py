"""A machine's settings in VirtualBox, made from what it should be."""

import os
from contextlib import suppress
from pathlib import Path

from provider.errors import UserError
from provider.hypervisors.base import NAT, Card
from provider.hypervisors.virtualbox.library import (
    Interface,
    Machine,
    Medium,
    NetworkAdapter,
    VirtualBox,
    VirtualBoxError,
)
from provider.hypervisors.virtualbox.networks import internal_name

CONTROLLER = "SATA"
DISK_PORT, SEED_PORT = 0, 1
CONSOLE = "console.log"
OS_TYPE = "Debian_64"

NETWORK_FOR_TESTS = "CLOUDMATRIX_VIRTUALBOX_NETWORK"
"""`vde:<folder of a VDE switch>`: internal networks go there instead. VirtualBox's own need its kernel
module; tests run where there is none."""


def apply_fixed(machine: Machine, folder: Path) -> None:
    """What every machine of ours has: no way between it and this computer but its disk, cards and console."""
    machine.put("description", "Made by cloudmatrix; ./matrix destroy removes it.")
    machine.clipboard_mode = "Disabled"
    machine.dnd_mode = "Disabled"
    _off(machine.part("VRDEServer"))
    _off(_audio(machine))
    for name in machine.names("USBControllers"):
        machine.call("removeUSBController", name)
    for name in machine.names("sharedFolders"):
        machine.call("removeSharedFolder", name)
    _utc_and_ioapic(machine)
    machine.set_boot_order(1, "HardDisk")
    for position in (2, 3, 4):
        machine.set_boot_order(position, "Null")
    if CONTROLLER not in machine.names("storageControllers"):
        machine.add_storage_controller(CONTROLLER, "SATA")
    serial = machine.get_serial_port(0)
    serial.enabled = True
    serial.path = str(folder / CONSOLE)
    serial.host_mode = "RawFile"


def _off(part: Interface | None) -> None:
    if part is not None:
        part.put("enabled", False)


def _audio(machine: Machine) -> Interface | None:
    """Since 7.0 the adapter is a part of the audio settings."""
    try:
        return machine.part("audioSettings").part("adapter")
    except AttributeError:
        return machine.part("audioAdapter")


def _utc_and_ioapic(machine: Machine) -> None:
    """Since 7.1 both have moved."""
    try:
        machine.part("platform").put("RTCUseUTC", True)
        machine.part("firmwareSettings").put("IOAPICEnabled", True)
    except AttributeError:
        machine.put("RTCUseUTC", True)
        machine.part("BIOSSettings").put("IOAPICEnabled", True)


def apply_cards(machine: Machine, stack: str, cards: tuple[Card, ...]) -> None:
    for slot, card in enumerate(cards):
        adapter = machine.get_network_adapter(slot)
        adapter.enabled = True
        # Debian's cloud kernel has no driver for the cards that VirtualBox emulates.
        adapter.adapter_type = "Virtio"
        adapter.mac_address = card.mac.replace(":", "").upper()
        adapter.promisc_mode_policy = "Deny"
        adapter.cable_connected = True
        if card.network == NAT:
            adapter.attachment_type = "NAT"
        else:
            _join(adapter, internal_name(stack, card.network))
    for slot in range(len(cards), 8):
        adapter = machine.get_network_adapter(slot)
        if adapter.enabled:
            adapter.enabled = False


def _join(adapter: NetworkAdapter, network: str) -> None:
    instead = os.environ.get(NETWORK_FOR_TESTS, "")
    if instead:
        kind, _, place = instead.partition(":")
        if kind != "vde" or not place:
            raise UserError(f'{NETWORK_FOR_TESTS}: got "{instead}"; need vde:<folder of a VDE switch>')
        adapter.attachment_type = "Generic"
        adapter.generic_driver = "VDE"
        adapter.set_property("network", place)
        return
    adapter.attachment_type = "Internal"
    adapter.internal_network = network


def nat_card(machine: Machine) -> NetworkAdapter | None:
    """The card that forwards lead through."""
    for slot in range(8):
        with suppress(VirtualBoxError):
            adapter = machine.get_network_adapter(slot)
            if adapter.enabled and adapter.attachment_type == "NAT":
                return adapter
    return None


def insert_seed(virtualbox: VirtualBox, machine: Machine, seed: Path | None) -> None:
    """A drive with the seed in it, or no drive at all."""
    take_seed(machine)
    if seed is not None:
        medium = virtualbox.open_medium(str(seed.absolute()), "DVD")
        machine.attach_device(CONTROLLER, SEED_PORT, "DVD", medium)
        # So that the drive can go while the machine runs.
        machine.set_hot_pluggable(CONTROLLER, SEED_PORT)


def take_seed(machine: Machine) -> Medium | None:
    """Remove the drive, also while the machine runs; what was in it."""
    for attachment in machine.medium_attachments:
        if attachment.type == "DVD" and attachment.port == SEED_PORT:
            medium = attachment.medium
            machine.detach_device(CONTROLLER, SEED_PORT)
            return medium
    return None
