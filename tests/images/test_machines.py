"""A machine is the same wherever its disk came from: one list of assertions for all sources."""

import hashlib
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.rig import image_checks, image_disk
from tests.rig.base_images import cloud_image, packages_image
from tests.rig.cloudimage import build as cloudimage


@pytest.fixture(autouse=True)
def needs_qemu() -> None:
    if shutil.which("qemu-system-x86_64") is None:
        pytest.skip("qemu-system-x86_64 is not on PATH")


@pytest.mark.guest
def test_two_machines_from_packages_share_no_identity(tmp_path: Path) -> None:
    disk = packages_image(tmp_path).disk
    with image_checks.machine(tmp_path, disk, "node2") as host:
        first = image_checks.check(host)
    alone = tmp_path / "alone" / "disk.qcow2"
    alone.parent.mkdir()
    alone.symlink_to(disk)
    with image_checks.machine(tmp_path, alone, "node3") as host:
        second = image_checks.facts(host)
    assert "BOOT_IMAGE=" not in first["started"][0]
    assert second["started"][0].startswith("BOOT_IMAGE=/boot/vmlinuz root=LABEL=root "), (
        "by the disk's own GRUB"
    )
    assert len(first["identity"]) == len(second["identity"]) >= 3, "machine id, instance id, host key"
    assert set(first["identity"]).isdisjoint(second["identity"])
    assert first["packages"] == second["packages"]


@pytest.mark.iso
@pytest.mark.timeout(5400)
def test_a_machine_from_a_cloud_image(tmp_path: Path) -> None:
    given = cloudimage.build()
    digest = hashlib.sha256(given.read_bytes()).hexdigest()
    image = cloud_image(tmp_path, given, digest)
    assert sorted(image.files) == ["disk.qcow2", "initrd", "vmlinuz"]
    subprocess.run(["qemu-img", "check", "-q", image.disk], check=True)
    with image_disk.root_files(image.disk, tmp_path) as root:
        image_disk.check_sealed(root)
    with image_checks.machine(tmp_path, image.disk, "node2") as host:
        known = image_checks.check(host)
    with image_checks.machine(tmp_path, packages_image(tmp_path).disk, "node2") as host:
        assert image_checks.facts(host)["packages"] == known["packages"]
