"""QEMU's command lines. Pure: the same machine and facts give the same words.

All files of a machine are named relative to its folder, where QEMU runs: the paths of unix sockets stay
short, and commas or spaces in the project's path mean nothing to QEMU's option parser.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from provider.hypervisors.base import NAT, Forward, Machine

SYSTEM = "qemu-system-x86_64"
IMAGE_TOOL = "qemu-img"
DISK, CONSOLE, MONITOR = "disk.qcow2", "console.log", "qmp.sock"
NAT_ID = "nat"
"""The id of the user-mode network, by which forwards are added to it."""
SEED_DEVICE, SEED_DRIVE = "seed", "seed-drive"
SANDBOX = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"
KERNEL_COMMAND_LINE = (
    "root=/dev/vda1 rw quiet console=ttyS0,115200 net.ifnames=0 cryptomgr.notests mitigations=off"
)
Version = tuple[int, int, int]


@dataclass(frozen=True)
class Boot:
    """A kernel and initrd beside the base image, started without a boot loader."""

    kernel: Path
    initrd: Path
    command_line: str = KERNEL_COMMAND_LINE


@dataclass(frozen=True)
class Host:
    """What this computer offers: QEMU's version, and `kvm` or `tcg`."""

    version: Version
    accelerator: str


def run(machine: Machine, host: Host, boot: Boot | None, sockets: Sequence[str]) -> list[str]:
    """Start a machine. `sockets` are the switches of its cards in slot order, "" for NAT."""
    words = [
        *(SYSTEM, "-name", f"{machine.stack}-{machine.name}", "-uuid", machine.uuid),
        *("-no-user-config", "-nodefaults", "-display", "none", "-sandbox", SANDBOX),
        *("-machine", "pc,usb=off,vmport=off", *processor(host.accelerator)),
        *("-smp", str(machine.cpus), "-m", f"{machine.memory}M"),
        *("-chardev", f"socket,id=monitor,path={MONITOR},server=on,wait=off", "-mon", "monitor,mode=control"),
        # Appended, so that the file may be cut short while the machine writes to it.
        *("-chardev", f"file,id=console,path={CONSOLE},append=on", "-serial", "chardev:console"),
        *("-device", "virtio-rng-pci"),
        *("-drive", f"if=none,id=disk,file={DISK},format=qcow2,cache=writeback,discard=unmap"),
        *("-device", "virtio-blk-pci,drive=disk,id=disk-device"),
    ]
    if boot:
        words += ["-kernel", str(boot.kernel), "-initrd", str(boot.initrd), "-append", boot.command_line]
    if machine.seed:
        words += _seed(machine.seed)
    for slot, (card, socket) in enumerate(zip(machine.cards, sockets, strict=True)):
        backend = f"card{slot}" if card.network != NAT else NAT_ID
        netdev = _nat(machine.forwards) if card.network == NAT else _switched(backend, socket, host.version)
        # Without its boot ROM a card starts faster, and nothing boots from the network.
        words += ["-netdev", netdev, "-device", f"virtio-net-pci,netdev={backend},mac={card.mac},romfile="]
    return words


def clone(image: Path, target: str, gibibytes: int | None) -> list[str]:
    """A disk whose unwritten blocks are read from the image; None keeps the image's size."""
    words = [IMAGE_TOOL, "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", str(image), target]
    return words if gibibytes is None else [*words, f"{gibibytes}G"]


def information(disk: str | Path) -> list[str]:
    """JSON about a disk, also while a machine has it open."""
    return [IMAGE_TOOL, "info", "--force-share", "--output=json", str(disk)]


def grow(disk: str, gibibytes: int) -> list[str]:
    return [IMAGE_TOOL, "resize", "-q", disk, f"{gibibytes}G"]


def hostfwd_rule(rule: Forward) -> str:
    """As QEMU writes a forward; the guest's address is its DHCP lease."""
    return f"tcp:{rule.host_ip}:{rule.host_port}-:{rule.guest_port}"


def processor(accelerator: str, alone: bool = False) -> list[str]:
    """The accelerator and a processor to go with it. `alone`: for one machine with nothing beside it.

    Emulated machines take turns on one thread each: docs/decisions/0003-emulated-processors.md.
    """
    if accelerator == "kvm":
        return ["-accel", "kvm", "-cpu", "host"]
    return ["-accel", f"tcg,thread={'multi' if alone else 'single'}", "-cpu", "max"]


def _seed(seed: Path) -> list[str]:
    file = str(seed).replace(",", ",,")
    drive = f"if=none,id={SEED_DRIVE},file={file},format=raw,readonly=on"
    return ["-drive", drive, "-device", f"virtio-blk-pci,drive={SEED_DRIVE},id={SEED_DEVICE}"]


def _nat(forwards: Sequence[Forward]) -> str:
    # QEMU leads 10.0.2.2 to this computer's 127.0.0.1 and has no switch for that alone (restrict=on shuts the
    # outside too), so the guest's own packet filter must. IPv6 off: it would be a second such way.
    rules = "".join(f",hostfwd={hostfwd_rule(rule)}" for rule in forwards)
    return f"user,id={NAT_ID},ipv6=off{rules}"


def _switched(identifier: str, socket: str, version: Version) -> str:
    again = "reconnect-ms=500" if version >= (9, 2, 0) else "reconnect=1"
    path = socket.replace(",", ",,")
    return f"stream,id={identifier},server=off,addr.type=unix,addr.path={path},{again}"
