"""What a machine's seed says, word for word where it is short."""

import base64
import gzip
from typing import Any

import pytest
import yaml

from cloudinit.render import (
    CardSpec,
    HostSeed,
    card_files,
    manager_cards,
    meta_data,
    network_config,
    node_cards,
    user_data,
)
from services.files import File

SEED = HostSeed(
    user="matrix",
    authorized_keys=("ssh-ed25519 AAAALOGIN dev login\n",),
    host_private_key="-----BEGIN KEY-----\nAAAA\n-----END KEY-----\n",
    host_public_key="ssh-ed25519 AAAAHOST",
)


def config(**changes: Any) -> dict[str, Any]:
    values = {name: getattr(SEED, name) for name in SEED.__dataclass_fields__}
    return dict(yaml.safe_load(user_data(HostSeed(**{**values, **changes}))))


def unpacked(entry: dict[str, str]) -> str:
    data = base64.b64decode(entry["content"])
    return (gzip.decompress(data) if entry["encoding"] == "gz+b64" else data).decode()


def test_the_smallest_seed() -> None:
    assert user_data(SEED).startswith("#cloud-config\n")
    assert config() == {
        "cloud_init_modules": ["write_files", "bootcmd", "users_groups", "ssh"],
        "cloud_config_modules": [],
        "cloud_final_modules": [],
        "users": [
            {
                "name": "matrix",
                "gecos": "cloudmatrix",
                "shell": "/bin/bash",
                "lock_passwd": True,
                "sudo": "ALL=(ALL) NOPASSWD:ALL",
                "ssh_authorized_keys": ["ssh-ed25519 AAAALOGIN dev login"],
            }
        ],
        "ssh_pwauth": False,
        "disable_root": True,
        "ssh_deletekeys": True,
        "ssh_publish_hostkeys": {"enabled": False},
        "ssh_keys": {"ed25519_private": SEED.host_private_key, "ed25519_public": "ssh-ed25519 AAAAHOST"},
    }


@pytest.mark.parametrize(
    ("content", "encoding"),
    [("short\n", "b64"), ("", "b64"), ("long line\n" * 100, "gz+b64"), ("Grüße: {{ '\"\\ }} #\n", "b64")],
)
def test_files_arrive_as_they_are(content: str, encoding: str) -> None:
    file = File("/etc/some where", content, "0640", "root:proxy")
    entry = config(files=(file,))["write_files"][0]
    assert {key: entry[key] for key in ("path", "permissions", "owner", "encoding")} == {
        "path": "/etc/some where",
        "permissions": "0640",
        "owner": "root:proxy",
        "encoding": encoding,
    }
    assert unpacked(entry) == content


def test_units_start_early_and_are_enabled_late() -> None:
    said = config(
        units=("a.service", "b.service"), units_off=("c.service",), files=(File("/etc/sysctl.d/9.conf", ""),)
    )
    assert said["bootcmd"] == [
        ["sysctl", "-q", "-p", "/etc/sysctl.d/9.conf"],
        ["systemctl", "start", "--no-block", "a.service", "b.service"],
        ["systemctl", "stop", "--no-block", "c.service"],
    ]
    quiet = ["env", "SYSTEMCTL_SKIP_SYSV=1", "systemctl", "-q"]
    assert said["runcmd"] == [
        [*quiet, "enable", "--no-reload", "a.service", "b.service"],
        [*quiet, "disable", "--no-reload", "c.service"],
    ]
    assert (said["cloud_config_modules"], said["cloud_final_modules"]) == (["runcmd"], ["scripts_user"])


def test_the_same_input_gives_the_same_text() -> None:
    files = (File("/etc/long", "text\n" * 1000),)
    seeds = [HostSeed("matrix", ("k",), "p", "q", files, node_cards("52:54:00:00:00:02")) for _ in range(2)]
    assert user_data(seeds[0]) == user_data(seeds[1])


def test_the_host_key_is_not_shown() -> None:
    assert "BEGIN" not in repr(SEED)


@pytest.mark.parametrize(
    ("hostname", "text"),
    [
        (None, 'instance-id: "1f2e"\n'),
        ("manager", 'instance-id: "1f2e"\nlocal-hostname: "manager"\n'),
    ],
)
def test_meta_data(hostname: str | None, text: str) -> None:
    assert meta_data("1f2e", hostname) == text


def test_the_managers_network() -> None:
    cards = manager_cards("52:54:00:00:00:AA", "52:54:00:00:00:bb", "10.10.10.1/24")
    assert (
        network_config(cards)
        == """\
version: 2
ethernets:
  nat0:
    match: {macaddress: "52:54:00:00:00:aa"}
    set-name: nat0
    dhcp4: true
    dhcp-identifier: mac
    dhcp4-overrides: {use-hostname: false, use-ntp: false}
    dhcp6: false
    accept-ra: false
    optional: true
  matrix0:
    match: {macaddress: "52:54:00:00:00:bb"}
    set-name: matrix0
    addresses: [10.10.10.1/24]
    dhcp4: false
    dhcp6: false
    accept-ra: false
    optional: true
"""
    )


def test_a_nodes_network_has_one_card_and_no_gateway() -> None:
    said = yaml.safe_load(network_config(node_cards("52:54:00:00:00:cc")))
    assert list(said["ethernets"]) == ["matrix0"]
    card = said["ethernets"]["matrix0"]
    assert (card["dhcp4"], card["dhcp4-overrides"]["use-domains"]) == (True, "true")


def test_a_card_keeps_its_name_when_the_seed_is_gone() -> None:
    link, network = card_files(CardSpec("matrix0", "52:54:00:00:00:CC"))
    assert link == File(
        "/etc/systemd/network/10-matrix0.link",
        "[Match]\nMACAddress=52:54:00:00:00:cc\n\n[Link]\nName=matrix0\n",
    )
    assert network.path == "/etc/systemd/network/10-cloud-init-matrix0.network.d/matrix.conf"
