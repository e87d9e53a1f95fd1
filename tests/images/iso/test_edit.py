"""The edited copy of an ISO: menus and answers changed, all else untouched; too little room is said."""

import pytest

from cloudinit.installer import Answers, before_partitioning, finish_install, preseed
from provider.errors import UserError
from provider.images.iso import boot, edit, media
from provider.images.iso.reader import SECTOR, opened
from provider.images.iso.recognise import recognise
from tests.rig.cpio import unpack
from tests.rig.installer_iso import contents, debian_files, ubuntu_files, write_iso

ANSWERS = Answers("http://mirror.example/debian")


def prepare(tmp_path, files):
    iso = write_iso(tmp_path / "given.iso", files)
    return iso, media.prepare(iso, recognise(iso), ANSWERS, b"the finish", tmp_path)


def test_debian_starts_at_once_with_its_answers_in_a_file_nobody_needs(tmp_path):
    _, discs = prepare(tmp_path, debian_files())
    words = "auto=true priority=critical DEBIAN_FRONTEND=text TERM=dumb console=ttyS0,115200"
    assert contents(discs.installer, "/isolinux/isolinux.cfg").decode() == (
        "serial 0 115200\ndefault install\nprompt 0\ntimeout 1\nlabel install\n"
        "kernel /install.amd/vmlinuz\n"
        f"append {words} initrd=/install.amd/initrd.gz,/README.html ---\n"
    )
    assert contents(discs.installer, "/boot/grub/grub.cfg").decode() == (
        "set timeout=0\nset default=0\nmenuentry install {\n"
        f"    linux /install.amd/vmlinuz {words} ---\n"
        "    initrd /install.amd/initrd.gz /README.html\n}\n"
    )
    files = unpack(contents(discs.installer, "/README.html"))
    assert files["preseed.cfg"] == (0o100644, preseed(ANSWERS).encode())
    assert files["usr/lib/finish-install.d/08hw-detect"] == (0o100755, b"#!/bin/sh\n")
    assert files["usr/lib/cloudmatrix/before-partitioning"] == (0o100755, before_partitioning().encode())
    assert files["usr/lib/finish-install.d/94zseal"] == (0o100755, finish_install().encode())


def test_ubuntu_keeps_its_menus_and_starts_every_kernel_with_autoinstall(tmp_path):
    _, discs = prepare(tmp_path, ubuntu_files())
    words = "autoinstall console=ttyS0,115200 fsck.mode=skip"
    grub = contents(discs.installer, "/boot/grub/grub.cfg").decode()
    assert grub == ubuntu_files()["/boot/grub/grub.cfg"].decode().replace("timeout=30", "timeout=0").replace(
        "vmlinuz  ---", f"vmlinuz {words} ---"
    )
    loopback = contents(discs.installer, "/boot/grub/loopback.cfg").decode()
    assert f"linux\t/casper/vmlinuz iso-scan/filename=${{iso_path}} {words} ---\n" in loopback
    assert loopback.startswith("set timeout=0\n")


def test_only_the_changed_files_differ(tmp_path):
    files = debian_files()
    iso, discs = prepare(tmp_path, files)
    changed = ("/isolinux/isolinux.cfg", "/boot/grub/grub.cfg", "/README.html")
    for path, content in files.items():
        assert (contents(discs.installer, path) == content) == (path not in changed)
        assert contents(iso, path) == content
    assert discs.installer.stat().st_size == iso.stat().st_size


def test_the_image_keeps_its_uuid(tmp_path):
    """Which is the date of its last change."""
    iso = write_iso(tmp_path / "given.iso", {"/x": b"x"})
    whole = bytearray(iso.read_bytes())
    whole[16 * SECTOR + 830 : 16 * SECTOR + 846] = b"2025090610220000"
    iso.write_bytes(whole)
    edit.edited_copy(iso, tmp_path / "copy.iso", {"/x": b"y"})
    copy = (tmp_path / "copy.iso").read_bytes()
    assert copy[16 * SECTOR + 830 : 16 * SECTOR + 846] == b"2025090610220000"
    assert contents(tmp_path / "copy.iso", "/x") == b"y"


def test_the_second_disc_of_debian_holds_the_finish(tmp_path):
    _, discs = prepare(tmp_path, debian_files())
    assert contents(discs.companion, "/bundle") == b"the finish"
    with opened(discs.companion) as disc:
        assert (disc.volume, disc.size("/user-data")) == ("CIDATA", None)


def test_the_second_disc_of_ubuntu_is_a_seed_too(tmp_path):
    _, discs = prepare(tmp_path, ubuntu_files())
    assert contents(discs.companion, "/bundle") == b"the finish"
    assert contents(discs.companion, "/meta-data") == b""
    assert contents(discs.companion, "/user-data").startswith(b"#cloud-config\n")


@pytest.mark.parametrize(("size", "room"), [(0, 0), (1, SECTOR), (SECTOR, SECTOR), (SECTOR + 1, 2 * SECTOR)])
def test_a_file_has_the_room_of_its_sectors(tmp_path, size, room):
    iso = write_iso(tmp_path / "given.iso", {"/x": b"x" * size})
    with opened(iso) as image:
        assert edit.room(image, "/x") == room
        assert edit.room(image, "/y") == 0


@pytest.mark.parametrize("length", [0, 1, SECTOR - 1, SECTOR, SECTOR + 1, 3 * SECTOR])
def test_any_length_within_the_room(tmp_path, length):
    iso = write_iso(tmp_path / "given.iso", {"/x": b"x" * (2 * SECTOR + 1), "/y": b"y" * 5000})
    content = bytes(range(256)) * 24
    edit.edited_copy(iso, tmp_path / "copy.iso", {"/x": content[:length]})
    assert contents(tmp_path / "copy.iso", "/x") == content[:length]
    assert contents(tmp_path / "copy.iso", "/y") == b"y" * 5000


def test_answers_go_into_the_first_file_that_is_long_enough(tmp_path):
    _, discs = prepare(tmp_path, debian_files() | {"/README.html": b""})
    menu = contents(discs.installer, "/isolinux/isolinux.cfg")
    assert b"initrd=/install.amd/initrd.gz,/README.txt ---" in menu
    assert "preseed.cfg" in unpack(contents(discs.installer, "/README.txt"))


def test_answers_that_fit_nowhere(tmp_path):
    iso = write_iso(tmp_path / "given.iso", {"/README.html": b"." * 10, "/README.txt": b""})
    with opened(iso) as image, pytest.raises(UserError) as caught:
        edit.carrier(image, media.CARRIERS, 2049, "given.iso")
    assert str(caught.value) == (
        "given.iso: the answers to the installer's questions have 2049 bytes and fit into no file of the ISO "
        "that could hold them (bytes of room: /README.html 2048); use the distribution's own, unchanged ISO"
    )


def test_no_file_for_the_answers(tmp_path):
    files = {path: content for path, content in debian_files().items() if "README" not in path}
    with pytest.raises(UserError, match=r"\(bytes of room: no such file\); use the distribution's own"):
        prepare(tmp_path, files)
    assert [path.name for path in tmp_path.iterdir()] == ["given.iso"]


def test_a_menu_without_room(tmp_path):
    iso = write_iso(tmp_path / "given.iso", ubuntu_files() | {"/boot/grub/loopback.cfg": b""})
    with opened(iso) as image, pytest.raises(UserError) as caught:
        edit.check(image, {"/boot/grub/loopback.cfg": b"x"}, "given.iso")
    assert str(caught.value) == (
        "given.iso: the new /boot/grub/loopback.cfg has 1 bytes; the ISO has room for 0; "
        "use the distribution's own, unchanged ISO"
    )


def test_menus_that_are_missing(tmp_path):
    def without(files, *paths):
        return {path: content for path, content in files.items() if path not in paths}

    with pytest.raises(UserError) as caught:
        prepare(tmp_path, without(debian_files(), *media.DEBIAN_MENUS))
    assert str(caught.value) == (
        "given.iso: has no /isolinux/isolinux.cfg and no /boot/grub/grub.cfg; "
        "use the distribution's own, unchanged ISO"
    )
    with pytest.raises(UserError) as caught:
        prepare(tmp_path, without(ubuntu_files(), "/boot/grub/grub.cfg"))
    assert str(caught.value) == (
        "given.iso: has no /boot/grub/grub.cfg; use the distribution's own, unchanged ISO"
    )
    with pytest.raises(UserError) as caught:
        prepare(tmp_path, ubuntu_files() | {"/boot/grub/grub.cfg": b"set timeout=30\n"})
    assert str(caught.value) == (
        "given.iso: /boot/grub/grub.cfg: starts no /casper kernel; use the distribution's own, unchanged ISO"
    )


def test_a_copy_that_fails_leaves_nothing(tmp_path):
    iso = write_iso(tmp_path / "given.iso", {"/x": b"x"})
    with pytest.raises(UserError, match=r"^given\.iso: no edited copy could be made in "):
        edit.edited_copy(iso, tmp_path / "copy.iso", {"/x": b"x" * 2049})
    assert not (tmp_path / "copy.iso").exists()


@pytest.mark.parametrize(
    ("line", "edited"),
    [
        ("linux /casper/vmlinuz ---", "linux /casper/vmlinuz W ---"),
        ("\tlinux\t/casper/vmlinuz  ---", "\tlinux\t/casper/vmlinuz W ---"),
        (
            "  linuxefi /casper/vmlinuz.efi quiet --- splash",
            "  linuxefi /casper/vmlinuz.efi quiet W --- splash",
        ),
        ("linux /casper/hwe-vmlinuz", "linux /casper/hwe-vmlinuz W"),
    ],
)
def test_words_go_before_what_is_for_the_installed_system(line, edited):
    assert boot.autoinstall(f"set timeout=5\n{line}\n", "x", "W").decode() == f"set timeout=0\n{edited}\n"
