"""What can be said of a machine's inputs before anything is made."""

import re
from collections.abc import Mapping
from typing import Any

from provider.hypervisors import ports
from provider.hypervisors.base import NAT, Hypervisor, PowerState
from provider.resources.base import UNKNOWN, Context, Failure

HOSTNAME = re.compile(r"[a-z]([a-z0-9-]{0,38}[a-z0-9])?")
MAC = re.compile(r"[0-9a-fA-F][02468aceACE](:[0-9a-fA-F]{2}){5}")
LEAST = {"cpus": (1, ""), "memory": (128, " MiB"), "disk": (1, " GiB")}


def check_machine(inputs: Mapping[str, Any]) -> list[Failure]:
    """Every wrong input of a VirtualMachine; unknown ones are not judged."""
    failures = []
    hostname = inputs.get("hostname")
    if hostname != UNKNOWN and not HOSTNAME.fullmatch(str(hostname)):
        failures.append(
            Failure(f'hostname: got "{hostname}"; need a-z, 0-9 and -, starting with a letter; try node2')
        )
    for key, (least, unit) in LEAST.items():
        value = inputs.get(key)
        if value != UNKNOWN and (not isinstance(value, int) or value < least):
            failures.append(Failure(f"{key}: got {value}; need at least {least}{unit}; try {least}"))
    return [*failures, *_cards(inputs)]


def port_failure(
    context: Context, hypervisor: Hypervisor, field: str, address: str, port: int
) -> list[Failure]:
    """A port that somebody else holds. Our own forward of this stack is no hindrance."""
    if not 1 <= port <= 65535:
        return [Failure(f"{field}: got {port}; need 1 to 65535; try 2222")]
    if ports.holder(address, port) is None or served(context, hypervisor, address, port):
        return []
    # A forward of ours that is removed at this very moment had the port, and is no longer among the served.
    if (held := ports.holder(address, port)) is None:
        return []
    return [Failure(f"{field}: port {port} is held by {held}; set another")]


def served(context: Context, hypervisor: Hypervisor, address: str, port: int) -> list[tuple[str, str]]:
    """Forwards of this stack's running machines at the address: each one's UUID and the forward's name."""
    machines = {uuid: hypervisor.status(uuid) for uuid in hypervisor.list(context.stack)}
    return [
        (uuid, rule.name)
        for uuid, status in machines.items()
        if status.state is PowerState.RUNNING
        for rule in status.forwards
        if (rule.host_ip, rule.host_port) == (address, port)
    ]


def _cards(inputs: Mapping[str, Any]) -> list[Failure]:
    cards = inputs.get("cards")
    if cards == UNKNOWN:
        return []
    if not isinstance(cards, list) or not cards:
        return [Failure("cards: got none; need at least one network card")]
    failures = [
        Failure(
            f'cards[{slot}].mac: got "{card.get("mac")}"; need a unicast address; try 52:54:00:00:00:0{slot}'
        )
        for slot, card in enumerate(cards)
        if card.get("mac") != UNKNOWN and not MAC.fullmatch(str(card.get("mac")))
    ]
    if inputs.get("ssh_port") is not None and not any(
        card.get("network") in (NAT, UNKNOWN) for card in cards
    ):
        failures.append(Failure('ssh_port: needs a card with network "nat"; leave it out'))
    return failures
