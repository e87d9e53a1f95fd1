"""What a stack config means when it is right."""

import pytest

from config import Base, Forwards, HostFacts, Network, Placement, Secret, Size, parse

SHOP = {"source": "apps/shop", "port": 8080}


def test_the_smallest_stack_is_an_empty_one():
    config = parse({})
    assert config.hypervisor == "auto"
    assert config.manager == Size(cpus=2, memory=1536, disk=8)
    assert config.nodes == {name: Size(cpus=2, memory=1024, disk=8) for name in ("node2", "node3")}
    assert config.network == Network(cidr="10.10.10.0/24", domain="matrix")
    assert config.forwards == Forwards(ssh=2222, http=6081, address="127.0.0.1")
    assert config.base == Base(source="packages", release="trixie", mirror=None)
    assert config.egress == ()
    assert config.applications == ()


SUM = "0123456789abcdef" * 4
BASES = [
    ({}, {"from": "packages", "release": "trixie"}),
    (
        {"from": "packages", "mirror": "file:///srv/debian"},
        {"from": "packages", "release": "trixie", "mirror": "file:///srv/debian"},
    ),
    ({"from": "iso", "path": "debian.iso"}, {"from": "iso", "path": "debian.iso"}),
    (
        {"from": "cloud", "path": r"C:\images\a.qcow2", "sha256": "SHA256SUMS"},
        {"from": "cloud", "path": r"C:\images\a.qcow2", "sha256": "SHA256SUMS"},
    ),
    (
        {
            "from": "iso",
            "url": "https://h.example/a.iso",
            "sha256": SUM.upper(),
            "mirror": "http://m.example",
        },
        {"from": "iso", "url": "https://h.example/a.iso", "sha256": SUM, "mirror": "http://m.example"},
    ),
    (
        {"from": "cloud", "url": "https://h.example/a.img", "sha256": "https://h.example/SHA256SUMS"},
        {"from": "cloud", "url": "https://h.example/a.img", "sha256": "https://h.example/SHA256SUMS"},
    ),
]


@pytest.mark.parametrize(("base", "wire"), BASES)
def test_a_base_image_is_made_from_packages_or_from_a_file(base, wire):
    assert parse({"base": base}).base.wire == wire


def test_an_application_needs_a_source_only_and_is_on_every_node():
    (shop,) = parse({"applications": {"shop": SHOP}}).applications
    assert (shop.name, shop.source, shop.image, shop.archive) == ("shop", "apps/shop", None, None)
    assert (shop.port, shop.path, shop.strip, shop.health_path) == (8080, "/shop/", True, "/")
    assert (shop.memory, shop.release, shop.cache_seconds, shop.timeout_seconds) == (256, None, 0, 30)
    assert shop.placements == (Placement("node2"), Placement("node3"))


@pytest.mark.parametrize(
    ("nodes", "names"),
    [
        (0, []),
        (1, ["node2"]),
        (2.0, ["node2", "node3"]),
        ("3", ["node2", "node3", "node4"]),  # what `pulumi config set nodes 3` stores
        ({"node10": {}, "node9": None}, ["node9", "node10"]),
        ('{"node7": {}}', ["node7"]),  # how Pulumi hands over a mapping
        ({}, []),
    ],
)
def test_nodes_are_a_count_or_names(nodes, names):
    assert list(parse({"nodes": nodes}).nodes) == names


def test_a_node_takes_the_sizes_it_does_not_name_from_node():
    config = parse({"node": {"memory": 2048, "disk": 20}, "nodes": {"node2": {"cpus": 4}, "node3": {}}})
    assert config.nodes == {"node2": Size(4, 2048, 20), "node3": Size(2, 2048, 20)}


def test_a_job_has_no_port_and_runs_on_one_node():
    (job,) = parse({"nodes": 5, "applications": {"hello": {"image": "hello-world"}}}).applications
    assert job.port is None
    assert len(job.placements) == 1


def test_chosen_nodes_are_taken_as_they_are():
    plan = {"shop": {**SHOP, "nodes": ["node3", "node2"]}}
    (shop,) = parse({"nodes": 3, "applications": plan}).applications
    assert shop.placements == (Placement("node2"), Placement("node3"))


def test_applications_are_in_the_order_of_their_names_whoever_wrote_the_mapping():
    plan = {"web": {**SHOP}, "api": {**SHOP}}
    assert [application.name for application in parse({"applications": plan}).applications] == ["api", "web"]


def test_an_application_at_the_root_answers_beside_the_others():
    config = parse({"applications": {"site": {**SHOP, "path": "/"}, "shop": SHOP}})
    assert [application.path for application in config.applications] == ["/shop/", "/"]


def test_secrets_are_wrapped_and_never_shown():
    config = parse({"applications": {"shop": {**SHOP, "secrets": {"KEY": "hunter2"}}}})
    assert config.applications[0].secrets == {"KEY": Secret("hunter2")}
    assert "hunter2" not in repr(config)
    assert "hunter2" not in f"{config.applications[0].secrets['KEY']}"


def test_egress_keeps_its_order():
    assert parse({"egress": [".example.org", "example.com"]}).egress == (".example.org", "example.com")


def test_hosts_have_the_address_of_their_number():
    network = parse({"network": {"cidr": "192.168.77.0/24", "domain": "cloud.test"}}).network
    assert network.manager_address == "192.168.77.1"
    assert network.address("node254") == "192.168.77.254"
    assert network.fqdn("node2") == "node2.cloud.test"


def test_memory_may_be_used_up_to_the_last_mib():
    sizes = {"nodes": 1, "node": {"memory": 1024}, "manager": {"memory": 1024}}
    assert parse(sizes, HostFacts(memory=2048)).manager.memory == 1024
