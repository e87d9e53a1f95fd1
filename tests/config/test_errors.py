"""Every mistake in a stack config, with the text the user sees for it."""

import pytest

from config import ConfigError, HostFacts, parse

SHOP = {"source": "apps/shop", "port": 8080}
HOST = HostFacts(memory=15 * 1024)

MISTAKES = [
    (
        {"nodes": "x"},
        'nodes: got "x", a string; need a whole number from 0 to 64, or a mapping of node names; try 2',
    ),
    (
        {"nodes": 65},
        "nodes: got 65; need a whole number from 0 to 64, or a mapping of node names; try 2",
    ),
    (
        {"nodes": 2.5},
        "nodes: got 2.5, a number; need a whole number from 0 to 64, or a mapping of node names; try 2",
    ),
    (
        {"nodes": True},
        "nodes: got true, a truth value; need a whole number from 0 to 64, or a mapping of node names; try 2",
    ),
    (
        {"nodes": [1]},
        "nodes: got a list; need a whole number from 0 to 64, or a mapping of node names; try 2",
    ),
    (
        {"nodes": {"web1": {}}},
        'nodes.web1: got name "web1"; need node2 to node254; try node2',
    ),
    (
        {"nodes": {"node1": {}}},
        'nodes.node1: got name "node1"; need node2 to node254; try node2',
    ),
    (
        {"nodes": {"node255": None}},
        'nodes.node255: got name "node255"; need node2 to node254; try node2',
    ),
    (
        {"nodes": {"node2": {"memory": "2048"}}},
        'nodes.node2.memory: got "2048", a string; need a whole number from 256 to 1048576; try 2048',
    ),
    (
        {"nodes": {"node2": {"ram": 2048}}},
        "nodes.node2.ram: unknown key; need one of cpus, disk, memory",
    ),
    (
        {"nodes": {"node2": 4}},
        "nodes.node2: got 4, a number; need a mapping of cpus, memory, disk; try {}",
    ),
    (
        {"manager": {"cpus": 0}},
        "manager.cpus: got 0; need a whole number from 1 to 64; try 2",
    ),
    (
        {"manager": {"memory": 64}},
        "manager.memory: got 64; need a whole number from 256 to 1048576; try 1536",
    ),
    (
        {"node": {"disk": 4}},
        "node.disk: got 4; need a whole number from 8 to 16384; try 8",
    ),
    (
        {"node": []},
        "node: got a list; need a mapping of cpus, memory, disk; try {}",
    ),
    (
        {"node_s": 3},
        'node_s: unknown key; did you mean "nodes"?',
    ),
    (
        {"aplications": {}},
        'aplications: unknown key; did you mean "applications"?',
    ),
    (
        {"zebra": 1},
        "zebra: unknown key; "
        "need one of applications, base, egress, forwards, hypervisor, manager, network, node, nodes",
    ),
    (
        {"hypervisor": "kvm"},
        'hypervisor: got "kvm"; need auto, virtualbox or qemu; try auto',
    ),
    (
        {"hypervisor": "virtual-box"},
        'hypervisor: got "virtual-box"; need auto, virtualbox or qemu; try virtualbox',
    ),
    (
        {"base": {"from": "usb", "url": 5}},
        'base.from: got "usb"; need packages, iso or cloud; try packages',
    ),
    (
        {"base": {"release": "Debian 13"}},
        'base.release: got "Debian 13"; need the code name of a Debian release; try trixie',
    ),
    (
        {"base": {"mirror": "ftp://x"}},
        'base.mirror: got "ftp://x"; '
        "need the http, https or file address of a Debian mirror; try no mirror at all",
    ),
    (
        {"base": {"form": "packages"}},
        'base.form: unknown key; did you mean "from"?',
    ),
    (
        {"base": {"path": "x.iso"}},
        'base.path: got "x.iso"; need no path where the source is packages; try from: iso or from: cloud',
    ),
    (
        {"base": {"from": "iso"}},
        "base: got neither of them; need exactly one of url and path; try path: image.iso",
    ),
    (
        {"base": {"from": "cloud", "url": "https://h.example/x.qcow2", "path": "x.qcow2", "sha256": "SUMS"}},
        "base: got url and path; need exactly one of url and path; try url alone",
    ),
    (
        {"base": {"from": "iso", "url": "https://h.example/d/x.iso"}},
        "base.sha256: got nothing; need 64 hex digits, or the address or path of a SHA256SUMS file "
        "that names x.iso; try https://h.example/d/SHA256SUMS",
    ),
    (
        {"base": {"from": "iso", "url": "https://h.example/d/x.iso", "sha256": "ab" * 31}},
        f'base.sha256: got "{"ab" * 31}" (62 characters); need 64 hex digits, or the address or path of a '
        "SHA256SUMS file that names x.iso; try https://h.example/d/SHA256SUMS",
    ),
    (
        {"base": {"from": "cloud", "path": "x.qcow2", "sha256": "md5:x"}},
        'base.sha256: got "md5:x"; need 64 hex digits, or the address or path of a '
        "SHA256SUMS file that names x.qcow2; try leaving it out",
    ),
    (
        {"base": {"from": "iso", "url": "ftp://h.example/x.iso", "sha256": "a" * 64}},
        'base.url: got "ftp://h.example/x.iso"; '
        "need the http or https address of an installer ISO; try path: image.iso",
    ),
    (
        {"base": {"from": "iso", "url": "https://h.example/d/", "sha256": "a" * 64}},
        'base.url: got "https://h.example/d/"; '
        "need the http or https address of an installer ISO; try path: image.iso",
    ),
    (
        {"base": {"from": "cloud", "path": "file:///x.qcow2"}},
        'base.path: got "file:///x.qcow2"; need the file name of a cloud image; try image.qcow2',
    ),
    (
        {"base": {"from": "iso", "path": "x.iso", "release": "trixie"}},
        'base.release: got "trixie"; '
        "need none, as the release is read from an installer ISO; try leaving it out",
    ),
    (
        {"base": {"from": "iso", "path": "x.iso", "mirror": "file:///srv/debian"}},
        'base.mirror: got "file:///srv/debian"; '
        "need the http or https address of a mirror of its distribution; try no mirror at all",
    ),
    (
        {"network": {"cidr": "10.0.2.0/24"}},
        'network.cidr: got "10.0.2.0/24"; need one apart from 10.0.2.0/24, the NAT network; try 10.77.0.0/24',
    ),
    (
        {"network": {"cidr": "172.17.3.0/24"}},
        'network.cidr: got "172.17.3.0/24"; '
        "need one apart from 172.17.0.0/16, Docker's own network on the nodes; try 10.77.0.0/24",
    ),
    (
        {"network": {"cidr": "10.10.10.5/24"}},
        'network.cidr: got "10.10.10.5/24"; need a private IPv4 network of 24 bits; try 10.10.10.0/24',
    ),
    (
        {"network": {"cidr": "10.0.0.0/8"}},
        'network.cidr: got "10.0.0.0/8"; need a private IPv4 network of 24 bits; try 10.10.10.0/24',
    ),
    (
        {"network": {"cidr": "8.8.8.0/24"}},
        'network.cidr: got "8.8.8.0/24"; need a private IPv4 network of 24 bits; try 10.10.10.0/24',
    ),
    (
        {"network": {"cidr": 24}},
        "network.cidr: got 24, a number; need a private IPv4 network of 24 bits; try 10.10.10.0/24",
    ),
    (
        {"network": {"domain": "Matrix!"}},
        'network.domain: got "Matrix!"; need a domain of lower-case letters, digits, - and .; try matrix',
    ),
    (
        {"forwards": {"ssh": 0}},
        "forwards.ssh: got 0; need a whole number from 1 to 65535; try 2222",
    ),
    (
        {"forwards": {"ssh": 6081}},
        "forwards.http: got 6081, as forwards.ssh; need two different ports; try 6082",
    ),
    (
        {"forwards": {"http": "80"}},
        'forwards.http: got "80", a string; need a whole number from 1 to 65535; try 80',
    ),
    (
        {"forwards": {"address": "localhost"}},
        'forwards.address: got "localhost"; need an IPv4 address of this computer; try 127.0.0.1',
    ),
    (
        {"forwards": {"https": 1}},
        'forwards.https: unknown key; did you mean "http"?',
    ),
    (
        {"egress": "debian.org"},
        'egress: got "debian.org", a string; need a list of host names; try []',
    ),
    (
        {"egress": ["https://example.org/x"]},
        'egress[0]: got "https://example.org/x"; '
        "need a host name, or .suffix for all names below it; try example.org",
    ),
    (
        {"egress": ["*.example.org"]},
        'egress[0]: got "*.example.org"; '
        "need a host name, or .suffix for all names below it; try .example.org",
    ),
    (
        {"egress": ["10.0.0.1"]},
        'egress[0]: got "10.0.0.1"; need a host name, or .suffix for all names below it; try example.org',
    ),
    (
        {"egress": [".example.org", "www.example.org"]},
        'egress[1]: got "www.example.org"; '
        'need what ".example.org" does not allow already; try leaving it out',
    ),
    (
        {"egress": ["a.org", "a.org"]},
        'egress[1]: got "a.org"; need what "a.org" does not allow already; try leaving it out',
    ),
    (
        {"egress": [5]},
        "egress[0]: got 5, a number; need a host name, or .suffix for all names below it; try example.org",
    ),
    (
        {"applications": []},
        "applications: got a list; need a mapping of application names; try {}",
    ),
    (
        {"applications": {"Web_1": SHOP}},
        'applications.Web_1: got name "Web_1"; '
        "need a-z, 0-9 and -, a letter first, at most 40 characters; try web-1",
    ),
    (
        {"applications": {"1x": SHOP}},
        'applications.1x: got name "1x"; '
        "need a-z, 0-9 and -, a letter first, at most 40 characters; try app-1x",
    ),
    (
        {"applications": {"shop": {}}},
        "applications.shop: got none of them; "
        "need exactly one of source, image and archive; try source: apps/shop",
    ),
    (
        {"applications": {"shop": {**SHOP, "image": "x"}}},
        "applications.shop: got source and image; "
        "need exactly one of source, image and archive; try source alone",
    ),
    (
        {"applications": {"shop": {**SHOP, "replica": 2}}},
        'applications.shop.replica: unknown key; did you mean "replicas"?',
    ),
    (
        {"applications": {"shop": "x"}},
        'applications.shop: got "x", a string; need a mapping of settings; try {}',
    ),
    (
        {"applications": {"shop": {"source": "apps/shop", "port": "8080"}}},
        'applications.shop.port: got "8080", a string; need a whole number from 1 to 65535; try 8080',
    ),
    (
        {"applications": {"shop": {"source": "apps/shop", "port": 70000}}},
        "applications.shop.port: got 70000; need a whole number from 1 to 65535; try 8080",
    ),
    (
        {"applications": {"shop": {**SHOP, "path": "shop"}}},
        'applications.shop.path: got "shop"; need a path that starts and ends with /; try /shop/',
    ),
    (
        {"applications": {"shop": {**SHOP, "path": "/a b/"}}},
        'applications.shop.path: got "/a b/"; need a path that starts and ends with /; try /shop/',
    ),
    (
        {"applications": {"shop": {**SHOP, "path": "/-/x/"}}},
        'applications.shop.path: got "/-/x/"; '
        "need a path outside /-/, which the router answers itself; try /shop/",
    ),
    (
        {"applications": {"shop": {**SHOP, "health_path": "health"}}},
        'applications.shop.health_path: got "health"; '
        "need a path of letters, digits and . _ ~ / -, / first; try /health",
    ),
    (
        {"applications": {"shop": {**SHOP, "strip": "no"}}},
        'applications.shop.strip: got "no", a string; need true or false; try true',
    ),
    (
        {"applications": {"shop": {**SHOP, "nodes": ["node9"]}}},
        'applications.shop.nodes[0]: got "node9"; need a node of this cloud (node2, node3); try node3',
    ),
    (
        {"applications": {"shop": {**SHOP, "nodes": []}}},
        "applications.shop.nodes: got an empty list; need a node name; try [node2]",
    ),
    (
        {"applications": {"shop": {**SHOP, "nodes": "node2"}}},
        'applications.shop.nodes: got "node2", a string; need a list of node names; try [node2]',
    ),
    (
        {"applications": {"shop": {**SHOP, "nodes": ["node2", "node2"]}}},
        'applications.shop.nodes[1]: got "node2"; need each node once; try replicas',
    ),
    (
        {"applications": {"shop": {**SHOP, "nodes": ["node2"], "replicas": 2}}},
        "applications.shop: got nodes and replicas; "
        "need at most one of them; try nodes alone, or replicas alone",
    ),
    (
        {"applications": {"shop": {**SHOP, "replicas": 0}}},
        "applications.shop.replicas: got 0; need a whole number from 1 to 256; try 2",
    ),
    (
        {"nodes": 0, "applications": {"shop": SHOP}},
        "applications.shop: got no node to run on; need at least one node; try nodes: 1",
    ),
    (
        {"applications": {"shop": {**SHOP, "environment": {"PORT": 8080}}}},
        'applications.shop.environment.PORT: got 8080, a number; need a string; try "8080"',
    ),
    (
        {"applications": {"shop": {**SHOP, "environment": {"MY-PORT": "8080"}}}},
        'applications.shop.environment.MY-PORT: got name "MY-PORT"; '
        "need letters, digits and _, no digit first; try MY_PORT",
    ),
    (
        {"applications": {"shop": {**SHOP, "environment": ["A=b"]}}},
        "applications.shop.environment: got a list; need a mapping of variables to strings; try {}",
    ),
    (
        {"applications": {"shop": {**SHOP, "secrets": {"KEY": 12345}}}},
        "applications.shop.secrets.KEY: got something else than a string; "
        "need a string; try ./matrix config set --secret --path applications.shop.secrets.KEY VALUE",
    ),
    (
        {"applications": {"shop": {**SHOP, "secrets": {"KEY": ""}}}},
        "applications.shop.secrets.KEY: got an empty string; "
        "need a string; try ./matrix config set --secret --path applications.shop.secrets.KEY VALUE",
    ),
    (
        {"applications": {"shop": {**SHOP, "memory": 8}}},
        "applications.shop.memory: got 8; need a whole number from 16 to 1048576; try 256",
    ),
    (
        {"applications": {"shop": {**SHOP, "release": ["a"]}}},
        'applications.shop.release: got a list; need a command; try "./migrate"',
    ),
    (
        {"applications": {"shop": {**SHOP, "cache_seconds": -1}}},
        "applications.shop.cache_seconds: got -1; need a whole number from 0 to 31536000; try 0",
    ),
    (
        {"applications": {"shop": {**SHOP, "timeout_seconds": 0}}},
        "applications.shop.timeout_seconds: got 0; need a whole number from 1 to 86400; try 30",
    ),
    (
        {"applications": {"hello": {"image": "hello-world", "path": "/x/"}}},
        'applications.hello.path: got "/x/"; '
        "need a port beside it, as nothing leads to a job; try port: 8080",
    ),
    (
        {"applications": {"shop": {**SHOP, "path": "/a/"}, "web": {**SHOP, "path": "/a/b/"}}},
        'applications.web.path: got "/a/b/"; need one apart from "/a/" of shop; try "/web/"',
    ),
    (
        {"applications": {"shop": {**SHOP, "path": "/a/"}, "web": {**SHOP, "path": "/a/"}}},
        'applications.web.path: got "/a/"; need one apart from "/a/" of shop; try "/web/"',
    ),
    (
        {"nodes": 3, "node": {"memory": 8192}, "manager": {"memory": 2048}},
        "node.memory: got 3 x 8 GiB + manager 2 GiB = 26 GiB; "
        "need at most 15 GiB, which this computer has free; try smaller or fewer nodes",
    ),
]


@pytest.mark.parametrize(("raw", "text"), MISTAKES, ids=[text.split(";")[0] for _, text in MISTAKES])
def test_a_mistake_is_named_with_what_is_needed_and_what_to_try(raw, text):
    with pytest.raises(ConfigError) as caught:
        parse(raw, HOST)
    assert caught.value.errors == (text,)


def test_all_mistakes_are_told_at_once():
    raw = {
        "nodes": 99,
        "manager": {"cpus": 0, "ram": 1},
        "applications": {"shop": {"source": "apps/shop", "port": "x", "secrets": {"KEY": 1}}, "Web": SHOP},
        "forward": {},
    }
    with pytest.raises(ConfigError) as caught:
        parse(raw)
    assert [error.split(":")[0] for error in caught.value.errors] == [
        "forward",
        "nodes",
        "manager.ram",
        "manager.cpus",
        "applications.Web",
        "applications.shop.port",
        "applications.shop.secrets.KEY",
    ]
    assert str(caught.value) == "\n".join(caught.value.errors)


@pytest.mark.parametrize("value", [12345, ["hunter2"], {"a": "hunter2"}])
def test_a_wrong_secret_is_never_shown(value):
    with pytest.raises(ConfigError) as caught:
        parse({"applications": {"shop": {**SHOP, "secrets": {"KEY": value}}}})
    assert "12345" not in str(caught.value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("value", ["NaN", "Infinity", "1e400", "-1", "[]", "null "])
def test_strange_text_as_a_count_never_crashes(value):
    try:
        assert len(parse({"nodes": value}).nodes) == 2
    except ConfigError as error:
        assert error.errors[0].startswith("nodes: got ")
