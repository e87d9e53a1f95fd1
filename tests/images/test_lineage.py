"""What a disk builds on is read from the disk: qcow2 names a file, VirtualBox's format a UUID."""

import shutil
import subprocess
import uuid
from pathlib import Path

import pytest

from provider.images.lineage import is_parent, parent_of
from tests.rig.disks import vdi

needs_qemu_img = pytest.mark.skipif(shutil.which("qemu-img") is None, reason="qemu-img is not installed")


def qemu_img(*words: str | Path) -> None:
    subprocess.run(["qemu-img", *words], check=True, stdout=subprocess.DEVNULL)


@needs_qemu_img
def test_a_clone_names_its_backing_file(tmp_path: Path) -> None:
    image, clone = tmp_path / "image" / "disk.qcow2", tmp_path / "clone.qcow2"
    image.parent.mkdir()
    qemu_img("create", "-f", "qcow2", image, "1M")
    assert parent_of(image) is None
    for given in (image, Path("image/disk.qcow2")):
        qemu_img("create", "-f", "qcow2", "-F", "qcow2", "-b", given, clone)
        assert parent_of(clone) == image
        assert is_parent(image, image.parent)
    assert not is_parent(image, tmp_path)


@needs_qemu_img
def test_a_virtualbox_disk_of_its_own_has_no_parent(tmp_path: Path) -> None:
    disk = tmp_path / "disk.vdi"
    qemu_img("create", "-f", "vdi", disk, "1M")
    assert parent_of(disk) is None
    own = uuid.UUID(bytes_le=disk.read_bytes()[392:408])
    assert is_parent(own, tmp_path)


def test_a_differencing_disk_names_its_parent(tmp_path: Path) -> None:
    """Laid out as one that VirtualBox 7.2 made."""
    own, clone = uuid.uuid4(), tmp_path / "clone" / "disk.vdi"
    clone.parent.mkdir()
    (tmp_path / "disk.vdi").write_bytes(vdi(own))
    clone.write_bytes(vdi(uuid.uuid4(), own))
    assert parent_of(clone) == own
    assert is_parent(own, tmp_path)
    assert not is_parent(own, clone.parent)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"QFI",
        b"QFI\xfb",
        b"QFI\xfb" + bytes(16),
        b"QFI\xfb" + b"\xff" * 100,
        b"no disk" * 99,
        vdi(uuid.UUID(int=1)),
    ],
)
def test_what_is_no_clone_has_no_parent(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "disk").write_bytes(content)
    assert parent_of(tmp_path / "disk") is None
    assert parent_of(tmp_path / "gone") is None
