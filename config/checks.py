"""What is right by itself but not together: overlapping paths, networks and ports, too much memory."""

import ipaddress
from collections import Counter
from itertools import combinations

from config.model import Config, HostFacts
from config.reader import Problems, shown

TAKEN_NETWORKS = {"10.0.2.0/24": "the NAT network", "172.17.0.0/16": "Docker's own network on the nodes"}


def check(problems: Problems, config: Config, host: HostFacts | None) -> None:
    """Notes every conflict within `config`, and with this computer when `host` says what it is."""
    _check_network(problems, config)
    _check_ports(problems, config)
    _check_paths(problems, config)
    if host is not None:
        _check_memory(problems, config, host)


def _check_network(problems: Problems, config: Config) -> None:
    ours = ipaddress.IPv4Network(config.network.cidr)
    for cidr, owner in TAKEN_NETWORKS.items():
        if ours.overlaps(ipaddress.IPv4Network(cidr)):
            need = f"one apart from {cidr}, {owner}"
            problems.add("network.cidr", shown(config.network.cidr), need, "10.77.0.0/24")


def _check_ports(problems: Problems, config: Config) -> None:
    forwards = config.forwards
    if forwards.ssh == forwards.http:
        attempt = str(forwards.http + 1 if forwards.http < 65535 else 6081)
        problems.add("forwards.http", f"{forwards.http}, as forwards.ssh", "two different ports", attempt)


def _check_paths(problems: Problems, config: Config) -> None:
    routed = [application for application in config.applications if application.port is not None]
    for first, second in combinations(routed, 2):
        short, long = sorted((first, second), key=lambda application: len(application.path))
        # Everything lies below "/": an application there answers what no other one does.
        if long.path == short.path or (short.path != "/" and long.path.startswith(short.path)):
            problems.add(
                f"applications.{second.name}.path",
                shown(second.path),
                f"one apart from {shown(first.path)} of {first.name}",
                shown(f"/{second.name}/"),
            )


def _check_memory(problems: Problems, config: Config, host: HostFacts) -> None:
    needed = memory_needed(config)
    if needed <= host.memory:
        return
    sizes = Counter(size.memory for size in config.nodes.values())
    parts = [f"{count} x {gib(memory)}" for memory, count in sizes.items()]
    got = f"{' + '.join([*parts, f'manager {gib(config.manager.memory)}'])} = {gib(needed)}"
    need = f"at most {gib(host.memory)}, which this computer has free"
    problems.add("node.memory", got, need, "smaller or fewer nodes")


def memory_needed(config: Config) -> int:
    """MiB that all machines of the cloud have together."""
    return config.manager.memory + sum(size.memory for size in config.nodes.values())


def gib(mib: int) -> str:
    """MiB for people: 1536 -> 1.5 GiB."""
    return f"{mib / 1024:.1f}".removesuffix(".0") + " GiB"
