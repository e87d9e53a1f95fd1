"""Pruning removes what nobody uses, and nothing else: neither what is used, nor what is being made."""

import hashlib
import shutil
import subprocess
import threading
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from provider.images import recipe
from provider.images.cache import Cache, Image
from provider.images.lock import FileLock
from provider.images.stock import Item, Stock
from provider.images.usage import Usage
from tests.rig.disks import vdi

PACKAGES = {"from": "packages", "release": "trixie", "recipe": recipe.digest()}
CONTENT = b"an installer"
SUM = hashlib.sha256(CONTENT).hexdigest()
ISO = {"from": "iso", "sha256": SUM, "recipe": recipe.digest()}

needs_qemu_img = pytest.mark.skipif(shutil.which("qemu-img") is None, reason="qemu-img is not installed")


class Place:
    """A cache and the project that looks at it."""

    def __init__(self, folder: Path) -> None:
        self.root, self.project = folder / "cache", folder / "project"
        self.images, self.downloads = self.root / "images", self.root / "downloads"
        self.project.mkdir()
        self.usage = Usage(self.images)

    def image(self, spec: Mapping[str, Any], disk: bytes = b"a disk") -> Image:
        def fill(folder: Path, lock: int) -> None:
            (folder / recipe.DISK).write_bytes(disk)

        return Cache(self.images).ensure(spec, 8, fill, print, threading.Event())

    def download(self, sha256: str = SUM, name: str = "debian.iso") -> Path:
        folder = self.downloads / sha256
        folder.mkdir(parents=True)
        (folder / name).write_bytes(CONTENT)
        (folder / name).chmod(0o444)
        return folder

    def used(self, image: Image, stack: str = "dev") -> None:
        (self.project / ".matrix" / stack).mkdir(parents=True, exist_ok=True)
        self.usage.add(image.identifier, self.project, stack)

    def items(self) -> list[Item]:
        return Stock(self.root, self.project).items()

    def told(self) -> list[tuple[str, str, str]]:
        """Kind, origin and why it is kept, of everything."""
        return [(item.kind, item.origin, self.plain(item.kept)) for item in self.items()]

    def pruned(self) -> list[tuple[str, str]]:
        """Prune everything that is there; what was tried, and why it stayed."""
        paths = [item.path for item in self.items()]
        done = Stock(self.root, self.project).prune(paths)
        return [(item.kind, self.plain(item.kept)) for item in done]

    def plain(self, text: str) -> str:
        return text.replace(str(self.project), "PROJECT")


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_an_empty_cache(place: Place) -> None:
    assert place.items() == []
    assert place.pruned() == []


def test_what_is_there_and_who_uses_it(place: Place) -> None:
    used, old = place.image(ISO), place.image({**PACKAGES, "recipe": "old"})
    place.download()
    place.download("00" * 32, "other.iso")
    place.used(used)
    place.used(used, "prod")
    (place.root / "containers").mkdir()
    items = {item.name: item for item in place.items()}
    assert items[used.identifier[:12]].users == (f"dev in {place.project}", f"prod in {place.project}")
    assert items[old.identifier[:12]].users == ()
    assert items["debian.iso"].users == items[used.identifier[:12]].users
    assert items["other.iso"].size > 0
    assert sorted(place.told()) == [
        ("containers", "container images", "base images of containers, for every build"),
        ("download", "sha256 000000000000", ""),
        ("download", f"sha256 {SUM[:12]}", "its image is in use"),
        ("image", "iso debian.iso", "used by dev in PROJECT"),
        ("image", "packages trixie, outdated", ""),
    ]


def test_pruning_keeps_what_is_used(place: Place) -> None:
    used, old = place.image(ISO), place.image(PACKAGES)
    place.used(used)
    kept, gone = place.download(), place.download("00" * 32)
    assert ("image", "") in place.pruned()
    assert used.folder.is_dir()
    assert kept.is_dir()
    assert not old.folder.exists()
    assert not gone.exists()
    assert Cache(place.images).find(old.identifier) is None
    assert place.image(PACKAGES).disk.read_bytes() == b"a disk", "made anew"


def test_the_disk_that_another_hypervisor_put_beside_it_goes_too(place: Place) -> None:
    image = place.image(PACKAGES)
    for name in ("disk.vdi", "disk.vdi.lock"):
        (image.folder / name).write_bytes(b"converted")
    (image.folder / "disk.vdi").chmod(0o444)
    assert Cache(place.images).find(image.identifier) is not None, "it is no part of the image"
    assert place.pruned() == [("image", "")]
    assert not image.folder.exists()


def test_a_stack_that_was_destroyed_keeps_nothing(place: Place) -> None:
    image = place.image(PACKAGES)
    place.used(image)
    assert place.pruned() == [("image", "used by dev in PROJECT")]
    place.usage.remove(image.identifier, place.project, "dev")
    assert place.pruned() == [("image", "")]


@needs_qemu_img
def test_the_image_of_a_machine_s_disk_stays_also_without_a_note(place: Place) -> None:
    """A machine made before there were notes, or whose note was lost."""
    image = place.image(PACKAGES)
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", image.disk, "1M"], check=True)
    disk = place.project / ".matrix/dev/machines/node2/disk.qcow2"
    disk.parent.mkdir(parents=True)
    make = ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", image.disk, disk]
    subprocess.run(make, check=True)
    assert place.pruned() == [
        ("image", "the disk PROJECT/.matrix/dev/machines/node2/disk.qcow2 depends on it")
    ]
    disk.unlink()
    assert place.pruned() == [("image", "")]


def test_the_image_of_a_virtualbox_machine_s_disk_stays_too(place: Place) -> None:
    image = place.image(PACKAGES)
    own = uuid.uuid4()
    (image.folder / "disk.vdi").write_bytes(vdi(own))
    disk = place.project / ".matrix/dev/machines/node2/disk.vdi"
    disk.parent.mkdir(parents=True)
    disk.write_bytes(vdi(uuid.uuid4(), own))
    assert place.pruned() == [("image", "the disk PROJECT/.matrix/dev/machines/node2/disk.vdi depends on it")]
    disk.write_bytes(vdi(uuid.uuid4(), uuid.uuid4()))
    assert place.pruned() == [("image", "")]


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="who has a file open is asked on Linux alone")
def test_an_image_that_a_process_has_open_stays(place: Place) -> None:
    image = place.image(PACKAGES)
    with image.disk.open("rb") as disk:
        reader = subprocess.Popen(["sleep", "60"], stdin=disk)
    try:
        assert place.pruned() == [("image", f"process {reader.pid} (sleep) has it open")]
    finally:
        reader.kill()
        reader.wait()
    assert place.pruned() == [("image", "")]


def test_what_is_being_made_or_fetched_stays_and_what_was_interrupted_goes(place: Place) -> None:
    place.image(PACKAGES)
    building, fetching = "11" * 32, "22" * 32
    for folder in (
        place.images / f".build-{building}.abc",
        place.images / f".build-{'33' * 32}.abc",
        place.images / ".damaged-444444444444-1",
        place.images / ".pruned-555555555555-77",
        place.downloads / f".part-{fetching}",
        place.downloads / f".part-{'66' * 32}",
    ):
        folder.mkdir(parents=True)
        (folder / "file").write_bytes(b"half")
    with (
        FileLock(place.images / f".lock-{building}") as one,
        FileLock(place.downloads / f".lock-{fetching}") as two,
    ):
        assert one.try_acquire()
        assert two.try_acquire()
        assert place.told() == [
            ("image", "packages trixie", ""),
            ("leftover", "being made", "it is being made"),
            ("leftover", "interrupted", ""),
            ("leftover", "damaged", ""),
            ("leftover", "half removed", ""),
            ("part", "part of a file", "it is being fetched"),
            ("part", "part of a file", ""),
        ]
        assert place.pruned() == [
            ("image", ""),
            ("leftover", "it is being made"),
            ("leftover", ""),
            ("leftover", ""),
            ("leftover", ""),
            ("part", "it is being fetched"),
            ("part", "an image is being made, perhaps from it"),
        ]
    assert place.pruned() == [("leftover", ""), ("part", ""), ("part", "")]
    assert place.items() == []


def test_an_image_whose_manifest_is_damaged_goes(place: Place) -> None:
    image = place.image(PACKAGES)
    (image.folder / "manifest.json").write_text("{")
    assert place.told() == [("leftover", "damaged", "")]
    assert place.pruned() == [("leftover", "")]
    assert not image.folder.exists()


def test_a_download_stays_while_an_image_is_being_made(place: Place) -> None:
    place.download()
    (place.images / f".build-{'11' * 32}.abc").mkdir(parents=True)
    with FileLock(place.images / f".lock-{'11' * 32}") as lock:
        assert lock.try_acquire()
        assert ("download", "an image is being made, perhaps from it") in place.pruned()
    assert ("download", "") in place.pruned()


def test_a_stack_that_comes_between_the_look_and_the_removal_keeps_its_image(place: Place) -> None:
    image, stock = place.image(PACKAGES), Stock(place.root, place.project)
    (item,) = stock.items()
    place.used(image)
    assert place.plain(stock._prune_image(item)) == "used by dev in PROJECT"
    assert image.disk.is_file()


def test_only_what_was_chosen_is_removed(place: Place) -> None:
    first, second = place.image(PACKAGES), place.image(ISO)
    (done,) = Stock(place.root, place.project).prune([first.folder])
    assert (done.path, done.kept) == (first.folder, "")
    assert second.folder.is_dir()
