"""What stands on the machines: names, the way out, the walls, and where secrets are not."""

import json
import subprocess

import psutil
import pytest

from tests.rig.cloud import SECRET, Cloud

ADDRESSES = {"manager": "10.10.10.1", "node2": "10.10.10.2", "node3": "10.10.10.3"}


@pytest.mark.parametrize("host", ADDRESSES)
def test_names_and_addresses_come_from_dhcp_and_dns(cloud: Cloud, host: str) -> None:
    shell = cloud.host(host)
    assert shell.run("hostname").stdout.strip() == host
    for name, address in ADDRESSES.items():
        assert shell.run(f"getent ahostsv4 {name}.matrix").stdout.split()[0] == address, name


def test_the_lease_list_can_be_read(cloud: Cloud) -> None:
    leases = cloud.host("manager").run("cat /var/lib/misc/dnsmasq.leases").stdout
    for node in ("node2", "node3"):
        assert f"{ADDRESSES[node]} {node} " in leases


def test_a_node_has_one_card_and_no_default_route(cloud: Cloud) -> None:
    shell = cloud.host("node2")
    cards = [link["ifname"] for link in json.loads(shell.run("ip -j link").stdout)]
    assert len([card for card in cards if card not in ("lo", "docker0") and "veth" not in card]) == 1
    assert shell.run("ip -4 route show default").stdout == ""
    assert shell.run("ip -6 route show default").stdout == ""


def test_the_way_out_is_shut_even_for_root_with_a_route_of_its_own(cloud: Cloud) -> None:
    """Even if the manager forwarded, its filter would drop: the counter shows that it was asked to."""
    node, manager = cloud.host("node2"), cloud.host("manager")
    gateway = json.loads(manager.run("ip -j -4 route show default").stdout)[0]["gateway"]
    # The manager's gateway leads to this computer's loopback, where the router answers: an outside to reach.
    outside = f"curl -sfm 10 -o /dev/null http://{gateway}:{cloud.http}/-/health"
    assert manager.run(outside, check=False).code == 0
    try:
        manager.sudo("sysctl -q net.ipv4.ip_forward=1")
        node.sudo(f"ip route add default via {ADDRESSES['manager']}")
        assert node.sudo(outside, check=False).code == 28, "nothing answers, until curl gives up"
    finally:
        node.sudo("ip route del default")
        manager.sudo("sysctl -q net.ipv4.ip_forward=0")
    counted = manager.sudo("nft list chain inet matrix forward").stdout
    assert "counter packets" in counted
    assert "counter packets 0" not in counted


PROXY = "http://manager.matrix:3128"
REFUSED = {
    "not on the list": "http://example.org/",
    "the manager itself": "http://manager.matrix:5000/",
    "a private address": "http://10.0.2.2/",
    "this network": "http://10.10.10.3/",
    "link-local": "http://169.254.169.254/",
    "another port": "https://example.org:8443/",
}


@pytest.mark.parametrize("url", REFUSED.values(), ids=REFUSED.keys())
def test_the_proxy_refuses(cloud: Cloud, url: str) -> None:
    command = f"curl -sm20 -o /dev/null -w '%{{http_code}} %{{http_connect}}' -x {PROXY} {url}"
    assert "403" in cloud.host("node2").run(command, check=False).stdout


def test_the_registry_wants_tls_and_a_password(cloud: Cloud) -> None:
    node = cloud.host("node2")
    ca = "/etc/docker/certs.d/manager.matrix:5000/ca.crt"
    code = "curl -sm20 -o /dev/null -w '%{http_code}'"
    assert node.run(f"{code} --cacert {ca} https://manager.matrix:5000/v2/").stdout == "401"
    assert node.run(f"{code} https://manager.matrix:5000/v2/", check=False).code == 60


def test_forwards_listen_on_loopback_only(cloud: Cloud) -> None:
    listening = {
        connection.laddr.port: connection.laddr.ip
        for connection in psutil.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN and connection.laddr.port in (cloud.http, cloud.ssh_port)
    }
    assert listening == {cloud.http: "127.0.0.1", cloud.ssh_port: "127.0.0.1"}


def test_containers_have_no_powers_and_bounded_logs(cloud: Cloud) -> None:
    node = cloud.host("node2")
    names = node.sudo("docker ps --format '{{.Names}}'").stdout.split()
    assert sorted(name.rsplit("-", 1)[0] for name in names) == ["simplewebapp1", "simplewebapp2"]
    for container in json.loads(node.sudo(f"docker inspect {' '.join(names)}").stdout):
        host = container["HostConfig"]
        assert host["CapDrop"] == ["ALL"]
        assert host["ReadonlyRootfs"] is True
        assert "no-new-privileges" in str(host["SecurityOpt"])
        assert host["Memory"] > 0
        assert host["PidsLimit"] > 0
        assert host["LogConfig"]["Config"]["max-size"]
        assert [binding["HostIp"] for ports in host["PortBindings"].values() for binding in ports] == [
            ADDRESSES["node2"]
        ]


def test_a_secret_is_where_it_belongs_and_nowhere_else(cloud: Cloud) -> None:
    node = cloud.host("node2")
    name = node.sudo("docker ps --format '{{.Names}}' --filter name=simplewebapp1-").stdout.split()[0]
    mount = node.sudo(f"docker inspect -f '{{{{range .Mounts}}}}{{{{.Source}}}} {{{{end}}}}' {name}").stdout
    folder = mount.split()[0]
    assert node.sudo(f"cat {folder}/TOKEN").stdout == SECRET
    assert SECRET not in node.sudo(f"docker inspect {name}").stdout
    assert SECRET not in node.sudo("cat /proc/*/cmdline", check=False).stdout
    assert SECRET not in node.sudo("journalctl --no-pager", timeout=300).stdout
    assert node.sudo(f"grep -rl {SECRET} /etc /var/log /run/cloud-init", check=False).stdout == ""
    # The node's disk holds the file that the container reads; the tests hold the constant.
    search = ["grep", "-rl", "--exclude=*.qcow2", "--exclude-dir=tests", SECRET, cloud.folder]
    assert subprocess.run(search, capture_output=True, text=True).stdout == ""
    for process in psutil.process_iter(["cmdline"]):
        assert SECRET not in " ".join(process.info["cmdline"] or [])


def test_the_seed_is_gone_after_the_first_boot(cloud: Cloud) -> None:
    assert list((cloud.folder / ".matrix/e2e").rglob("*.iso")) == []
