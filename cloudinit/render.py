"""NoCloud seed texts: user-data, meta-data and network-config. Pure.

cloud-init is the longest part of an emulated boot, so the seed names the few modules it needs. Files are
written first and units started right after, before users are made: machines that boot at the same time
wait for the manager's DHCP.
"""

import base64
import gzip
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from services.files import File
from services.network import INTERNAL_CARD, NAT_CARD
from services.templates import environment

PACK_FROM = 512
"""Bytes from which a file is compressed in the seed."""

_ENVIRONMENT = environment(Path(__file__).parent / "templates")


@dataclass(frozen=True)
class CardSpec:
    """A network card, found by its MAC. `address` is an interface address (`10.10.10.1/24`) or None: DHCP."""

    name: str
    mac: str
    address: str | None = None


@dataclass(frozen=True)
class HostSeed:
    """What a machine starts with. No secret but its own SSH host key belongs here.

    `units` are started as soon as the files are there, by their own ordering, and at every boot;
    `units_late` likewise, but after there is a login; `units_off` are stopped before they had time to
    start, and are at no boot.
    """

    user: str
    authorized_keys: tuple[str, ...]
    host_private_key: str = field(repr=False)
    host_public_key: str = ""
    files: tuple[File, ...] = ()
    cards: tuple[CardSpec, ...] = ()
    units: tuple[str, ...] = ()
    units_late: tuple[str, ...] = ()
    units_off: tuple[str, ...] = ()


def user_data(host: HostSeed) -> str:
    """The `#cloud-config` of a machine. The same input gives the same text."""
    cards = [file for card in host.cards for file in card_files(card)]
    files = [_packed(file) for file in (*host.files, *cards)]
    template = _ENVIRONMENT.get_template("user-data.yaml.j2")
    return template.render(host=host, files=files, early=_early(host), later=_later(host))


def _early(host: HostSeed) -> list[list[str]]:
    """Commands run as soon as the files are there, before there is a login."""
    kernel = [file.path for file in host.files if file.path.startswith("/etc/sysctl.d/")]
    commands = [["sysctl", "-q", "-p", *kernel]] if kernel else []
    commands += [["systemctl", "start", "--no-block", *host.units]] if host.units else []
    return commands + ([["systemctl", "stop", "--no-block", *host.units_off]] if host.units_off else [])


def _later(host: HostSeed) -> list[list[str]]:
    """Commands for the boots to come."""
    # Without its detour for old init scripts, which has systemd reload itself for each unit.
    systemctl = ["env", "SYSTEMCTL_SKIP_SYSV=1", "systemctl", "-q"]
    late = [["systemctl", "start", "--no-block", *host.units_late]] if host.units_late else []
    on, off = (*host.units, *host.units_late), host.units_off
    enable = [[*systemctl, "enable", "--no-reload", *on]] if on else []
    disable = [[*systemctl, "disable", "--no-reload", *off]] if off else []
    return late + enable + disable


def meta_data(uuid: str, hostname: str | None = None) -> str:
    """`uuid` tells a new machine from a known one. Without `hostname` the name comes from DHCP."""
    return _ENVIRONMENT.get_template("meta-data.yaml.j2").render(uuid=uuid, hostname=hostname)


def network_config(cards: Sequence[CardSpec]) -> str:
    """Version 2, matched by MAC: a name in `match` would be taken literally by the networkd renderer."""
    return _ENVIRONMENT.get_template("network-config.yaml.j2").render(cards=cards, internal=INTERNAL_CARD)


def manager_cards(nat_mac: str, internal_mac: str, address: str) -> tuple[CardSpec, ...]:
    """The way out by DHCP, the private network with `address` (`10.10.10.1/24`) and no gateway."""
    return CardSpec(NAT_CARD, nat_mac), CardSpec(INTERNAL_CARD, internal_mac, address)


def node_cards(internal_mac: str) -> tuple[CardSpec, ...]:
    return (CardSpec(INTERNAL_CARD, internal_mac),)


def card_files(card: CardSpec) -> tuple[File, ...]:
    """What network-config cannot say: the card's name at later boots, when the seed is gone, and no IPv6."""
    folder = "/etc/systemd/network"
    link = f"[Match]\nMACAddress={card.mac.lower()}\n\n[Link]\nName={card.name}\n"
    network = "[Network]\nLinkLocalAddressing=no\n\n[DHCPv4]\nClientIdentifier=mac\n"
    return (
        File(f"{folder}/10-{card.name}.link", link),
        # Beside the file that cloud-init writes.
        File(f"{folder}/10-cloud-init-{card.name}.network.d/matrix.conf", network),
    )


def _packed(file: File) -> dict[str, str]:
    content = file.content.encode()
    packed = len(content) >= PACK_FROM
    # mtime 0: the seed must not depend on the time of day.
    data = gzip.compress(content, mtime=0) if packed else content
    return {
        "path": file.path,
        "permissions": file.mode,
        "owner": file.owner,
        "encoding": "gz+b64" if packed else "b64",
        "content": base64.b64encode(data).decode(),
    }
