"""A machine is the same wherever its disk came from: one list of assertions for all sources."""

import hashlib
import shutil
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from provider.errors import UserError
from provider.images.cache import Cache, Image
from provider.mirrors import machine_mirror
from provider.resources.base import Context
from provider.resources.base_image import BaseImageResource
from tests.rig import image_checks, image_disk
from tests.rig.cloudimage.build import build as cloud_image


@pytest.fixture
def base_image(tmp_path: Path) -> Callable[..., Image]:
    """The image of a source, made by the product or found in the user's cache."""

    def make(cache: Cache | None = None, **source: str) -> Image:
        handler = BaseImageResource(cache) if cache else BaseImageResource()
        context = Context("dev", "base-image", tmp_path, print, threading.Event())
        try:
            mirror = machine_mirror().main
        except UserError as error:
            pytest.skip(str(error))
        inputs, failures = handler.check(context, {"source": {**source, "mirror": mirror}})
        assert failures == []
        made = handler.create(context, inputs)
        found = handler._cache.find(made.identifier)
        assert found is not None
        return found

    return make


@pytest.fixture(autouse=True)
def needs_qemu() -> None:
    if shutil.which("qemu-system-x86_64") is None:
        pytest.skip("qemu-system-x86_64 is not on PATH")


@pytest.mark.guest
def test_two_machines_from_packages_share_no_identity(
    base_image: Callable[..., Image], tmp_path: Path
) -> None:
    disk = base_image(**{"from": "packages"}).disk
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
def test_a_machine_from_a_cloud_image(base_image: Callable[..., Image], tmp_path: Path) -> None:
    given = cloud_image()
    digest = hashlib.sha256(given.read_bytes()).hexdigest()
    image = base_image(Cache(tmp_path / "images"), **{"from": "cloud", "path": str(given), "sha256": digest})
    assert sorted(image.files) == ["disk.qcow2", "initrd", "vmlinuz"]
    subprocess.run(["qemu-img", "check", "-q", image.disk], check=True)
    with image_disk.root_files(image.disk, tmp_path) as root:
        image_disk.check_sealed(root)
    with image_checks.machine(tmp_path, image.disk, "node2") as host:
        known = image_checks.check(host)
    with image_checks.machine(tmp_path, base_image(**{"from": "packages"}).disk, "node2") as host:
        assert image_checks.facts(host)["packages"] == known["packages"]
