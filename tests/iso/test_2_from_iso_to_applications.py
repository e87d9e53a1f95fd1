"""The way of a user with an installer ISO: from the file to an application that answers."""

import hashlib
import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from provider.images.cache import MANIFEST, default_root
from provider.images.remove import remove
from tests.rig import image_checks, image_disk
from tests.rig.base_images import packages_image
from tests.rig.cloud import Cloud

pytestmark = [pytest.mark.iso, pytest.mark.timeout(7200)]

APPLICATION = "simplewebapp1"


@pytest.fixture(scope="module")
def cloud(netinst: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    made = Cloud(tmp_path_factory.mktemp("cloud") / "cloudmatrix")
    digest = hashlib.sha256(netinst.read_bytes()).hexdigest()
    _forget(digest)
    made.settings["base"] = {"from": "iso", "path": str(netinst), "sha256": digest}
    made.settings["nodes"] = 1
    made.settings["applications"] = {
        APPLICATION: {**made.settings["applications"][APPLICATION], "nodes": ["node2"]}
    }
    made.write_settings()
    yield made
    made.matrix("destroy", "--yes", check=False)


def _forget(digest: str) -> None:
    """Remove what an earlier run has made of the ISO, so that this one installs it."""
    for manifest in default_root().glob(f"*/{MANIFEST}"):
        if json.loads(manifest.read_text())["spec"].get("sha256") == digest:
            remove(manifest.parent)


def disk(cloud: Cloud) -> Path:
    return default_root() / str(cloud.resources()["base-image"]["id"]) / "disk.qcow2"


def test_an_iso_becomes_a_cloud_whose_application_answers(
    cloud: Cloud, netinst: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done = cloud.matrix("up", "--yes", timeout=6600)
    image = disk(cloud)
    with capsys.disabled():
        print(f"\n{done.output}")
        print(f"ISO {netinst.stat().st_size >> 20} MiB, disk {image.stat().st_size >> 20} MiB")
    code, text = cloud.get(f"/{APPLICATION}/")
    assert (code, "node2" in text) == (200, True)


def test_a_second_up_installs_nothing(cloud: Cloud) -> None:
    before = cloud.resources()
    begin = time.monotonic()
    cloud.matrix("up", "--yes")
    print(f"second up: {time.monotonic() - begin:.2f} s")
    assert cloud.changed(before) == set()


def test_two_machines_of_one_disk_share_nothing_that_is_theirs(cloud: Cloud) -> None:
    names = ("manager", "node2")
    ids = {cloud.host(name).run("cat /etc/machine-id").stdout for name in names}
    keys = {cloud.host(name).sudo("cat /etc/ssh/ssh_host_ed25519_key.pub").stdout for name in names}
    assert (len(ids), len(keys)) == (2, 2)


def test_its_disk_is_sealed_and_makes_the_same_machine_as_one_from_packages(
    cloud: Cloud, tmp_path: Path
) -> None:
    with image_disk.root_files(disk(cloud), tmp_path) as root:
        image_disk.check_sealed(root)
    with image_checks.machine(tmp_path, disk(cloud), "node3") as host:
        known = image_checks.check(host)
    with image_checks.machine(tmp_path, packages_image(tmp_path).disk, "node3") as host:
        assert image_checks.facts(host)["packages"] == known["packages"]
