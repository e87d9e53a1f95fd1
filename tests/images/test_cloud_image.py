"""A cloud image's file: recognised by its content, refused with what to do, converted and grown once."""

import json
import lzma
import shutil
import subprocess
from pathlib import Path

import pytest

from provider.errors import UserError
from provider.images.cloud import builder, disk

MIB = 1 << 20


@pytest.fixture(autouse=True)
def needs_qemu_img() -> None:
    if shutil.which("qemu-img") is None:
        pytest.skip("needs qemu-img (qemu-utils)")


def raw(folder: Path, size: int = 8 * MIB) -> Path:
    path = folder / "disk.raw"
    with path.open("wb") as file:
        file.truncate(size)
        file.seek(510)
        file.write(b"\x55\xaa")
        file.seek(MIB)
        file.write(b"content")
    return path


def made(form: str, source: Path) -> Path:
    target = source.with_name("image")  # its name says nothing
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", form, source, target], check=True)
    return target


@pytest.mark.parametrize("form", ["qcow2", "raw", "vmdk"])
def test_formats_are_told_from_the_content_and_converted(form: str, tmp_path: Path) -> None:
    image, target = made(form, raw(tmp_path)), tmp_path / "work.raw"
    assert disk.judged(image) == form
    disk.convert(image, form, target)
    facts = json.loads(subprocess.check_output(["qemu-img", "info", "--output=json", target]))
    assert (facts["format"], facts["virtual-size"]) == ("raw", 8 << 30)
    assert facts["actual-size"] < 64 * MIB
    with target.open("rb") as file:
        file.seek(MIB)
        assert file.read(7) == b"content"


def backed(folder: Path) -> bytes:
    raw(folder)
    image = folder / "backed"
    subprocess.run(
        ["qemu-img", "create", "-qf", "qcow2", "-F", "raw", "-b", "disk.raw", image], cwd=folder, check=True
    )
    return image.read_bytes()


def other_format(folder: Path) -> bytes:
    return made("vdi", raw(folder)).read_bytes()


def too_large(folder: Path) -> bytes:
    return made("qcow2", raw(folder, 20 << 30)).read_bytes()


NO_DISK = (
    "is not a disk image: neither qcow2 nor vmdk, nor a raw disk with a boot sector; "
    "for an installer's ISO set base.from to iso"
)
BAD = {
    "text": (lambda folder: b"hello\n" * 200, NO_DISK),
    "a page": (lambda folder: b"\n<html>" * 200, NO_DISK),
    "nothing": (lambda folder: b"", NO_DISK),
    "packed": (
        lambda folder: lzma.compress(bytes(4096)),
        "is packed with xz; unpack it (unxz) and set base.path to the result",
    ),
    "another format": (other_format, "is a disk in the format vdi; need qcow2, vmdk, raw"),
    "needs a file": (backed, "is not whole: it needs disk.raw; convert it with qemu-img first"),
    "too large": (
        too_large,
        "has 20.0 GiB; need 8 GiB at most: take a smaller image of that distribution "
        "(machines grow theirs to what the stack's config says)",
    ),
}


@pytest.mark.parametrize("what", BAD)
def test_what_is_no_cloud_image_is_refused_with_what_to_do(what: str, tmp_path: Path) -> None:
    make, said = BAD[what]
    image = tmp_path / "given.img"
    image.write_bytes(make(tmp_path))
    with pytest.raises(UserError) as error:
        disk.judged(image)
    assert str(error.value).startswith("base image: ")
    assert str(error.value).endswith(f"{image} {said}")


def test_a_damaged_qcow2(tmp_path: Path) -> None:
    image = tmp_path / "given.img"
    image.write_bytes(made("qcow2", raw(tmp_path)).read_bytes()[:60])
    with pytest.raises(
        UserError, match=r"is damaged or not a disk image: .*; check base\.url and base\.sha256$"
    ):
        disk.judged(image)


def test_the_seed_holds_a_finish_for_every_system() -> None:
    files = builder.seed_files(builder.bundles(""))
    assert set(files) == {
        *("user-data", "meta-data", "start"),
        *("finish-debian-trixie", "finish-debian-bookworm", "finish-ubuntu-noble"),
    }
    start = str(files["start"])
    assert "need debian trixie or debian bookworm or ubuntu noble (or a base.mirror that offers it)" in start
    subprocess.run(["sh", "-n"], input=start, text=True, check=True)
