"""Stack config -> Config: a pure function that collects every error before it raises."""

import ipaddress
import json
import re
from collections.abc import Mapping
from typing import Any

from config.applications import applications
from config.base import base
from config.checks import check
from config.model import Config, ConfigError, Forwards, HostFacts, Network, Size
from config.reader import Problems, Section, as_integer, kind, shown

KEYS = ("applications", "base", "egress", "forwards", "hypervisor", "manager", "network", "node", "nodes")
SIZE_KEYS = ("cpus", "memory", "disk")
MANAGER = Size(cpus=2, memory=1536, disk=8)
NODE = Size(cpus=2, memory=1024, disk=8)
HOST_NAME = r"\.?(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]*[a-z0-9]"
DOMAIN = r"[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?)*"


def parse(raw: Mapping[str, Any], host: HostFacts | None = None) -> Config:
    """`raw` holds the keys of the namespace without its name; a value may be text that is JSON, as
    Pulumi hands it over. Without `host` the machines' sizes are not compared with this computer.

    Raises ConfigError with all errors at once.
    """
    problems = Problems()
    top = Section(problems, "", {key: _decoded(value) for key, value in raw.items()}, KEYS)
    node = _size(problems, "node", top.raw.get("node"), NODE)
    nodes = _nodes(problems, top.raw.get("nodes"), node)
    config = Config(
        hypervisor=top.choice("hypervisor", ("auto", "virtualbox", "qemu")),
        manager=_size(problems, "manager", top.raw.get("manager"), MANAGER),
        nodes=nodes,
        network=_network(problems, top.raw.get("network")),
        forwards=_forwards(problems, top.raw.get("forwards")),
        base=base(problems, top.raw.get("base")),
        egress=_egress(top),
        applications=applications(problems, top.raw.get("applications"), tuple(nodes)),
    )
    check(problems, config, host)
    if problems.errors:
        raise ConfigError(tuple(problems.errors))
    return config


def _decoded(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value


def _size(problems: Problems, path: str, raw: Any, default: Size) -> Size:
    section = Section(problems, path, raw, SIZE_KEYS)
    return Size(
        cpus=section.integer("cpus", default.cpus, 1, 64),
        memory=section.integer("memory", default.memory, 256, 1_048_576),
        disk=section.integer("disk", default.disk, 8, 16_384),
    )


def _nodes(problems: Problems, raw: Any, default: Size) -> dict[str, Size]:
    if isinstance(raw, Mapping):
        return _named_nodes(problems, raw, default)
    count = 2 if raw is None else as_integer(raw)
    if count is None or not 0 <= count <= 64:
        got = shown(raw) if count is not None else kind(raw)
        problems.add("nodes", got, "a whole number from 0 to 64, or a mapping of node names", "2")
        count = 2
    return {f"node{number}": default for number in range(2, count + 2)}


def _named_nodes(problems: Problems, raw: Mapping[str, Any], default: Size) -> dict[str, Size]:
    sizes: dict[int, Size] = {}
    for name, size in raw.items():
        match = re.fullmatch(r"node([1-9][0-9]{0,2})", str(name))
        if match and 2 <= int(match[1]) <= 254:
            sizes[int(match[1])] = _size(problems, f"nodes.{name}", size, default)
        else:
            problems.add(f"nodes.{name}", f"name {shown(str(name))}", "node2 to node254", "node2")
    return {f"node{number}": sizes[number] for number in sorted(sizes)}


def _network(problems: Problems, raw: Any) -> Network:
    section = Section(problems, "network", raw, ("cidr", "domain"))
    domain = section.text("domain", DOMAIN, "a domain of lower-case letters, digits, - and .", "matrix")
    return Network(cidr=_cidr(section), domain=domain or "matrix")


def _cidr(section: Section) -> str:
    default = "10.10.10.0/24"
    value = section.raw.get("cidr")
    if value is None:
        return default
    try:
        network = ipaddress.IPv4Network(value if isinstance(value, str) else "", strict=False)
    except ValueError:
        network = None
    if network and network.is_private and network.prefixlen == 24 and str(network) == value:
        return str(value)
    fits = network and network.is_private and network.prefixlen >= 24
    attempt = f"{network.network_address}/24" if network and fits and network.prefixlen == 24 else default
    section.refuse("cidr", "a private IPv4 network of 24 bits", attempt, str)
    return default


def _forwards(problems: Problems, raw: Any) -> Forwards:
    section = Section(problems, "forwards", raw, ("ssh", "http", "address"))
    address = section.raw.get("address") or "127.0.0.1"
    try:
        ipaddress.IPv4Address(address if isinstance(address, str) else "")
    except ValueError:
        section.refuse("address", "an IPv4 address of this computer", "127.0.0.1", str)
        address = "127.0.0.1"
    return Forwards(
        ssh=section.integer("ssh", 2222, 1, 65535),
        http=section.integer("http", 6081, 1, 65535),
        address=address,
    )


def _egress(top: Section) -> tuple[str, ...]:
    wanted = top.items("egress", "a list of host names", "[]")
    names = [str(name) for name in wanted or []]
    for index, name in enumerate(wanted or []):
        covering = [other for other in names if other != name and _covers(other, str(name))]
        if not isinstance(name, str) or not re.fullmatch(HOST_NAME, name):
            got = shown(name) if isinstance(name, str) else kind(name)
            top.problems.add(
                f"egress[{index}]", got, "a host name, or .suffix for all names below it", _as_host(str(name))
            )
        elif covering or name in names[:index]:
            need_once = f"what {shown((covering or [name])[0])} does not allow already"
            top.problems.add(f"egress[{index}]", shown(name), need_once, "leaving it out")
    return tuple(names)


def _covers(suffix: str, name: str) -> bool:
    return suffix.startswith(".") and (name.endswith(suffix) or name == suffix[1:])


def _as_host(text: str) -> str:
    host = re.sub(r"^[a-z]+://", "", text.strip().lower()).split("/")[0].split(":")[0].removeprefix("*")
    return host if re.fullmatch(HOST_NAME, host) else "example.org"
