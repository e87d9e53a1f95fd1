"""dnsmasq with the rendered files, asked by a real DHCP client and by real DNS queries."""

from collections.abc import Iterator

import pytest

from services.dnsmasq import HOSTS as HOSTS_FILE
from services.dnsmasq import LEASES, dnsmasq_files, hosts_file
from services.network import HostEntry, NetworkSpec
from tests.rig.jail import Jail, missing, until
from tests.rig.lan import HOSTS, NETWORK, NODE, Lan

REPORT = (
    '#!/bin/sh\n[ "$1" = bound ] && env | grep -E "^(ip|mask|dns|domain|hostname|router|lease)="\nexit 0\n'
)


@pytest.fixture(scope="module")
def served(network: Lan, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lan]:
    if reason := missing("busybox"):
        pytest.skip(reason)
    log = tmp_path_factory.mktemp("dnsmasq") / "log"
    with network.manager.start(dnsmasq_files(NETWORK, HOSTS), log) as daemon:
        until(lambda: "started, version" in log.read_text() or daemon.poll() is not None, "dnsmasq")
        assert daemon.poll() is None, log.read_text()
        yield network


def ask_for_address(jail: Jail, client_id: str = "") -> dict[str, str]:
    """What DHCP gives, by name; empty when nobody answers."""
    jail.shell("cat >/run/report && chmod 755 /run/report", stdin=REPORT)
    identity = ["-C", "-x", f"0x3d:{client_id}"] if client_id else []
    argv = ["busybox", "udhcpc", "-i", "matrix0", "-f", "-q", "-n", "-t", "2", "-T", "1", *identity]
    done = jail.run(*argv, "-s", "/run/report", check=False)
    return dict(line.split("=", 1) for line in done.stdout.splitlines())


def resolve(jail: Jail, name: str, kind: str = "a") -> str:
    """`nslookup` through the manager: an address or name, or the server's refusal."""
    done = jail.run("busybox", "nslookup", f"-type={kind}", name, NETWORK.manager, check=False)
    text = done.stdout + done.stderr
    for sign in ("REFUSED", "NXDOMAIN"):
        if sign in text:
            return sign
    answers = [line for line in text.splitlines() if line.startswith("Address") or "name =" in line]
    return answers[-1].split()[-1] if len(answers) > 1 or kind == "ptr" else "nothing"


def test_a_known_machine_gets_its_address_and_name_and_no_router(served: Lan) -> None:
    assert ask_for_address(served.node) == {
        "ip": "10.10.10.2",
        "mask": "24",
        "dns": "10.10.10.1",
        "domain": "matrix",
        "hostname": "node2",
        "lease": "43200",
    }


def test_a_name_resolves_once_it_is_leased(served: Lan) -> None:
    ask_for_address(served.node)
    asked = ["node2.matrix", "node3.matrix", "manager.matrix", "other.example"]
    assert {name: resolve(served.node, name) for name in asked} == {
        "node2.matrix": "10.10.10.2",
        "node3.matrix": "NXDOMAIN",  # declared, never seen
        "manager.matrix": "10.10.10.1",
        "other.example": "REFUSED",  # no upstream: names are no way out
    }
    assert resolve(served.node, "1.10.10.10.in-addr.arpa", "ptr") == "manager.matrix"


def test_a_machine_made_anew_keeps_its_address(served: Lan) -> None:
    before = ask_for_address(served.node, client_id="00010203")
    after = ask_for_address(served.node, client_id="00aabbcc")
    assert (before["ip"], after["ip"]) == ("10.10.10.2", "10.10.10.2")


def test_an_unknown_machine_gets_nothing(served: Lan) -> None:
    assert ask_for_address(served.stranger) == {}


def test_leases_can_be_read_by_every_user(served: Lan) -> None:
    ask_for_address(served.node)
    lease = served.manager.run("cat", LEASES, user="nobody").stdout.split()
    assert lease[1:4] == [NODE.mac, NODE.address, NODE.name]


def test_only_the_internal_card_is_served(served: Lan) -> None:
    sockets = served.manager.run("ss", "-Hlntu", "sport = 53").stdout.split()
    assert {address for address in sockets if address.endswith(":53")} == {"10.10.10.1:53"}


def test_all_machines_that_may_join_are_declared_beforehand() -> None:
    config, hosts, unit = dnsmasq_files(NETWORK, HOSTS)
    assert hosts.path == HOSTS_FILE
    assert hosts.content.splitlines()[0] == "52:54:00:aa:00:02,10.10.10.2,node2"
    assert hosts.content.splitlines()[-1] == "52:54:00:aa:00:fe,10.10.10.254,node254"
    assert "dhcp-range=10.10.10.0,static,255.255.255.0,12h" in config.content
    assert unit.path == "/etc/systemd/system/dnsmasq.service"


def test_another_network_and_domain() -> None:
    config = dnsmasq_files(NetworkSpec("10.77.0.0/24", "lab.test"), [])[0].content
    assert "host-record=manager.lab.test,manager,10.77.0.1" in config
    assert "domain=lab.test,10.77.0.0/24,local" in config
    assert "10.10.10." not in config


def test_the_managers_own_name_is_no_loopback_address() -> None:
    file = hosts_file(NETWORK, [HostEntry("node2", "52:54:00:aa:00:02", "10.10.10.2")])
    assert (file.path, file.content) == (
        "/etc/hosts",
        "127.0.0.1 localhost\n::1 localhost\n"
        "10.10.10.1 manager.matrix manager\n10.10.10.2 node2.matrix node2\n",
    )
