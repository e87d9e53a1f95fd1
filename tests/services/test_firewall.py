"""The manager's packet filter, loaded into a real kernel, against a node whose root does as it likes."""

from collections.abc import Iterator

import pytest

from services.firewall import CONFIG, firewall_files
from tests.rig.jail import missing
from tests.rig.lan import NETWORK, PRIVATE, PUBLIC, Lan, listen, reaches

PORTS = (22, 3128, 5000, 6081, 9100)

LIKE_DOCKER = """
table ip nat { chain post { type nat hook postrouting priority srcnat; oifname "nat0" masquerade; }; }
table ip early { chain forward { type filter hook forward priority -300; policy accept; accept; }; }
table ip filter { chain FORWARD { type filter hook forward priority 0; policy accept; accept; }; }
"""
"""Rules that accept all forwarding and hide its source, earlier and later than ours."""


@pytest.fixture(scope="module")
def network(network: Lan) -> Iterator[Lan]:
    if reason := missing("nft", "busybox"):
        pytest.skip(reason)
    network.manager.shell("echo 1 >/proc/sys/net/ipv4/ip_forward")
    network.manager.run("nft", "-f", "-", stdin=LIKE_DOCKER)
    network.node.run("ip", "route", "add", "default", "via", NETWORK.manager)
    with listen(network.manager, *PORTS):
        yield network
    network.node.run("ip", "route", "del", "default")
    network.manager.shell("echo 0 >/proc/sys/net/ipv4/ip_forward; nft flush ruleset")


@pytest.fixture
def filtered(network: Lan) -> Iterator[Lan]:
    network.manager.write(firewall_files(NETWORK))
    network.manager.run("nft", "-f", CONFIG)
    yield network
    network.manager.run("nft", "delete", "table", "inet", "matrix")


def test_without_the_filter_a_route_by_hand_leads_out(network: Lan) -> None:
    """The control: what the next test sees refused is refused by the filter alone."""
    assert reaches(network.node, PUBLIC, 80)


def test_a_route_by_hand_leads_nowhere(filtered: Lan) -> None:
    assert not reaches(filtered.node, PUBLIC, 80)
    assert not reaches(filtered.node, PRIVATE[0], 80)
    refused = filtered.manager.run("nft", "list", "chain", "inet", "matrix", "forward").stdout
    assert "counter packets 0" not in refused


def test_the_way_in_from_outside_is_shut_too(filtered: Lan) -> None:
    with listen(filtered.node, 8080):
        assert not reaches(filtered.outside, "10.10.10.2", 8080)
        assert reaches(filtered.manager, "10.10.10.2", 8080)


def test_a_borrowed_source_address_leads_nowhere(filtered: Lan) -> None:
    filtered.node.run("ip", "address", "add", "10.0.2.77/32", "dev", "matrix0")
    assert not reaches(filtered.node, PUBLIC, 80, source="10.0.2.77")
    assert not reaches(filtered.node, NETWORK.manager, 3128, source="10.0.2.77")


def test_what_a_node_reaches_on_the_manager(filtered: Lan) -> None:
    open_ports = [port for port in PORTS if reaches(filtered.node, NETWORK.manager, port)]
    assert open_ports == [3128, 5000]
    assert not reaches(filtered.node, "10.0.2.15", 22)  # the other card's address
    assert filtered.node.run("busybox", "ping", "-c", "1", "-W", "1", NETWORK.manager).returncode == 0


def test_what_the_outside_reaches_on_the_manager(filtered: Lan) -> None:
    assert [port for port in PORTS if reaches(filtered.outside, "10.0.2.15", port)] == [22, 6081]


def test_what_the_manager_reaches_on_itself(filtered: Lan) -> None:
    """Tunnels over SSH end here, so all of it."""
    assert [port for port in PORTS if reaches(filtered.manager, NETWORK.manager, port)] == [*PORTS]


def test_the_proxys_user_reaches_no_private_address(filtered: Lan) -> None:
    """Whatever Squid was talked into; the same connection works for the rest of the manager."""
    probe = ("nc", "-z", "-w", "1")
    for address in (*PRIVATE, NETWORK.manager, "10.10.10.2"):
        port = "22" if address == NETWORK.manager else "80"
        refused = filtered.manager.run(*probe, address, port, user="proxy", check=False)
        assert (address, refused.returncode) == (address, 1)
    assert filtered.manager.run(*probe, PUBLIC, "80", user="proxy").returncode == 0
    assert filtered.manager.run(*probe, PRIVATE[0], "80").returncode == 0


def test_loading_twice_leaves_one_table_and_others_alone(filtered: Lan) -> None:
    filtered.manager.run("nft", "-f", CONFIG)
    tables = filtered.manager.run("nft", "list", "tables").stdout.split("\n")
    assert sorted(filter(None, tables)) == [
        "table inet matrix",
        "table ip early",
        "table ip filter",
        "table ip nat",
    ]


def test_the_unit_takes_away_its_own_table_only() -> None:
    rules, unit = firewall_files(NETWORK)
    assert "flush" not in rules.content
    assert "ExecStop=/usr/sbin/nft delete table inet matrix" in unit.content
