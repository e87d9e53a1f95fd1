"""The seeds of a real manager and a real node, and what must not be in them."""

import base64
import gzip
import subprocess
import sys

import pytest
import yaml

from cloudinit.hosts import manager_seed, node_seed
from cloudinit.render import HostSeed, user_data
from tests.rig.debian import unpacked
from tests.rig.jail import missing
from tests.rig.lan import HOSTS, NETWORK
from tests.rig.sshd import new_key

HOST, LOGIN = new_key(), new_key()
KEYS = {
    "authorized_key": LOGIN.public,
    "host_private_key": HOST.private,
    "host_public_key": HOST.public,
}
MANAGER = manager_seed(
    NETWORK,
    HOSTS,
    ["mirror.example.org"],
    nat_mac="52:54:00:aa:01:01",
    internal_mac="52:54:00:aa:00:01",
    **KEYS,
)
NODE = node_seed(NETWORK, "CA PEM\n", "10.10.10.2", internal_mac=HOSTS[0].mac, **KEYS)

VALIDATE = """
import json, sys, jsonschema, yaml
schema = json.load(open(sys.argv[1]))
for error in jsonschema.Draft4Validator(schema).iter_errors(yaml.safe_load(sys.stdin)):
    print(error.message)
"""


def test_the_manager_starts_what_others_wait_for() -> None:
    assert MANAGER.units == ("matrix-firewall.service", "dnsmasq.service", "squid.service")
    assert MANAGER.units_late == ("matrix-router.service", "prometheus-node-exporter.service")
    assert MANAGER.units_off == ("docker.service", "containerd.service")
    paths = {file.path for file in MANAGER.files}
    assert paths >= {"/etc/dnsmasq.conf", "/etc/hosts", "/etc/squid/squid.conf", "/etc/matrix/firewall.nft"}


def test_a_node_has_docker_ready_before_it_first_starts() -> None:
    paths = {file.path for file in NODE.files}
    assert paths >= {"/etc/docker/daemon.json", "/etc/docker/certs.d/manager.matrix:5000/ca.crt"}
    assert not any(path.startswith(("/etc/dnsmasq", "/etc/squid")) for path in paths)


@pytest.mark.parametrize("seed", [MANAGER, NODE], ids=["manager", "node"])
def test_the_only_secret_is_the_machines_own_host_key(seed: HostSeed) -> None:
    said = yaml.safe_load(user_data(seed))
    assert said.pop("ssh_keys") == {"ed25519_private": HOST.private, "ed25519_public": HOST.public}
    texts = [str(said)]
    for entry in said["write_files"]:
        data = base64.b64decode(entry["content"])
        texts.append((gzip.decompress(data) if entry["encoding"] == "gz+b64" else data).decode())
        assert entry["permissions"] in ("0644", "0755")  # nothing here needs to be hidden
    assert not [text for text in texts if "PRIVATE" in text or LOGIN.private in text]


def test_253_nodes_fit_into_a_small_seed() -> None:
    """NoCloud has no limit, but emulated machines read slowly."""
    assert len(user_data(MANAGER)) < 48 * 1024


@pytest.mark.parametrize("seed", [MANAGER, NODE], ids=["manager", "node"])
def test_cloud_init_finds_the_seed_valid(seed: HostSeed) -> None:
    assert schema_errors(user_data(seed)) == []


def test_cloud_init_finds_a_mistake() -> None:
    wrong = user_data(NODE).replace("encoding: b64", "encoding: zip", 1)
    assert [error for error in schema_errors(wrong) if "'zip' is not one of" in error]


def schema_errors(text: str) -> list[str]:
    """What cloud-init's own schema, from Debian's package, says of user-data."""
    if reason := missing("apt-get", "dpkg-deb"):
        pytest.skip(reason)
    packages = unpacked("cloud-init", "python3-jsonschema", "python3-attr", "python3-pyrsistent")
    modules = packages / "usr/lib/python3/dist-packages"
    schema = modules / "cloudinit/config/schemas/schema-cloud-config-v1.json"
    said = subprocess.run(
        [sys.executable, "-c", VALIDATE, schema],
        input=text,
        env={"PYTHONPATH": str(modules)},
        capture_output=True,
        text=True,
        check=True,
    )
    return said.stdout.splitlines()
