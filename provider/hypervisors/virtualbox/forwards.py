"""NAT rules: written by VirtualBox as "name,protocol,host ip,host port,guest ip,guest port"."""

from collections.abc import Sequence

from provider.hypervisors.base import Forward
from provider.hypervisors.virtualbox.library import NatEngine


def parse(rules: Sequence[str]) -> tuple[Forward, ...]:
    """Rules of ours: TCP to the guest, whatever its address."""
    parts = [rule.split(",") for rule in rules]
    return tuple(
        Forward(name, host_ip, int(host_port), int(guest_port))
        for name, protocol, host_ip, host_port, guest_ip, guest_port in parts
        if protocol in ("1", "tcp") and not guest_ip
    )


def put(engine: NatEngine, rule: Forward) -> None:
    """The rule as it should be, and no other of its name."""
    remove(engine, rule.name)
    engine.add_redirect(rule.name, rule.host_ip, rule.host_port, rule.guest_port)


def remove(engine: NatEngine, name: str) -> None:
    if any(rule.split(",")[0] == name for rule in engine.redirects):
        engine.remove_redirect(name)
