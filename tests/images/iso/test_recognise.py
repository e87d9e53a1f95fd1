"""What an ISO is, is read from the ISO; what is not known is refused by name, with the list of what is."""

import pytest

from provider.errors import UserError
from provider.images import recipe
from provider.images.iso import recognise
from provider.images.iso.recognise import Installer
from tests.rig.installer_iso import DEBIAN_INFO, UBUNTU_INFO, debian_files, ubuntu_files, write_iso

KNOWN = recognise.known()
DEBIAN = ("/install.amd/vmlinuz", "/install.amd/initrd.gz")
UBUNTU = ("/casper/vmlinuz", "/casper/initrd")


def without(files, *paths):
    return {path: content for path, content in files.items() if path not in paths}


def test_the_list_names_what_the_finish_can_do():
    assert KNOWN == (
        "Debian 13 (trixie), 12 (bookworm) netinst or first CD, DVD or BD; Ubuntu Server 24.04 (noble); "
        "both for amd64"
    )
    for _, release in recipe.SYSTEMS:
        assert f"({release})" in KNOWN


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (debian_files(), Installer("debian", "trixie", "13.1.0", "netinst", *DEBIAN)),
        (
            debian_files(DEBIAN_INFO.replace("NETINST", "DVD Binary-1")),
            Installer("debian", "trixie", "13.1.0", "disc", *DEBIAN),
        ),
        (
            debian_files('Debian GNU/Linux testing "Sid" - Official Snapshot amd64 NETINST 20251001-02:11'),
            Installer("debian", "trixie", "testing", "netinst", *DEBIAN),
        ),
        (ubuntu_files(), Installer("ubuntu", "noble", "24.04.3", "live-server", *UBUNTU)),
        (
            ubuntu_files(UBUNTU_INFO.replace("24.04.3", "24.04")),
            Installer("ubuntu", "noble", "24.04", "live-server", *UBUNTU),
        ),
    ],
    ids=["netinst", "dvd", "weekly", "ubuntu", "first ubuntu"],
)
def test_known(tmp_path, files, expected):
    assert recognise.recognise(write_iso(tmp_path / "any-name.iso", files)) == expected


BUSTER = 'Debian GNU/Linux 10.13.0 "Buster" - Official amd64 NETINST 20220910-18:03'
LIVE = "Official Debian GNU/Linux Live 13.1.0 gnome 2025-09-06T10:28"
REFUSED = {
    "old Debian": (
        debian_files(BUSTER, "buster"),
        f'is "{BUSTER}", whose release buster is not supported',
    ),
    "Debian for arm64": (
        debian_files(DEBIAN_INFO.replace("amd64", "arm64")),
        f'is "{DEBIAN_INFO.replace("amd64", "arm64")}", which is for arm64',
    ),
    "second DVD": (
        debian_files(DEBIAN_INFO.replace("NETINST", "DVD Binary-2")),
        f'is "{DEBIAN_INFO.replace("NETINST", "DVD Binary-2")}", which is not the first of its set',
    ),
    "Debian live": ({"/.disk/info": LIVE.encode(), "/live/vmlinuz": b"k"}, f'is "{LIVE}"'),
    "Debian without its kernel": (
        without(debian_files(), *DEBIAN),
        f'is "{DEBIAN_INFO}", but has no /install.amd/vmlinuz and no /install.amd/initrd.gz',
    ),
    "Ubuntu desktop": (
        ubuntu_files('Ubuntu 24.04.3 LTS "Noble Numbat" - Release amd64 (20250805.1)'),
        'is "Ubuntu 24.04.3 LTS "Noble Numbat" - Release amd64 (20250805.1)", which is not the server\'s',
    ),
    "Ubuntu for arm64": (
        ubuntu_files(UBUNTU_INFO.replace("amd64", "arm64")),
        f'is "{UBUNTU_INFO.replace("amd64", "arm64")}", which is for arm64',
    ),
    "another Ubuntu": (
        ubuntu_files('Ubuntu-Server 22.04.5 LTS "Jammy Jellyfish" - Release amd64 (20240911)'),
        'is "Ubuntu-Server 22.04.5 LTS "Jammy Jellyfish" - Release amd64 (20240911)", '
        "whose release jammy is not supported",
    ),
    "Ubuntu without casper": (
        without(ubuntu_files(), "/casper/initrd"),
        f'is "{UBUNTU_INFO}", but has no /casper/initrd',
    ),
    "Fedora": ({"/.discinfo": b"1744240000.0\nFedora 42\nx86_64\n"}, 'is "Fedora-S-dvd-42"'),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_by_name(tmp_path, case):
    files, what = REFUSED[case]
    path = write_iso(tmp_path / "given.iso", files, "Fedora-S-dvd-42")
    with pytest.raises(UserError) as caught:
        recognise.recognise(path)
    assert str(caught.value) == (
        f"given.iso: {what}; it cannot be installed unattended; need one of: {KNOWN}"
    )


def test_without_any_name(tmp_path):
    path = write_iso(tmp_path / "given.iso", {"/x": b"x"}, "")
    with pytest.raises(UserError, match=r"^given\.iso: is \"an ISO without a name\"; "):
        recognise.recognise(path)


@pytest.mark.parametrize(
    "content", [b"", b"QFI\xfb" + bytes(100), bytes(64 * 1024)], ids=["0", "qcow2", "zeroes"]
)
def test_not_an_iso(tmp_path, content):
    path = tmp_path / "given.iso"
    path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        recognise.recognise(path)
    assert str(caught.value) == (
        "given.iso: is not an ISO image; base.from: iso needs an installer's ISO, "
        "and a disk image (qcow2, raw, vmdk) needs from: cloud"
    )


def test_truncated(tmp_path):
    path = write_iso(tmp_path / "given.iso", debian_files())
    whole = path.stat().st_size
    with path.open("r+b") as stream:
        stream.truncate(whole - 1)
    with pytest.raises(UserError) as caught:
        recognise.recognise(path)
    assert str(caught.value) == (f"given.iso: is truncated: has {whole - 1} of {whole} bytes; fetch it again")


def test_damaged(tmp_path):
    path = write_iso(tmp_path / "given.iso", debian_files())
    with path.open("r+b") as stream:
        stream.seek(17 * 2048)
        stream.write(b"\xff" * 4 * 2048)
    with pytest.raises(UserError, match=r"^given\.iso: the ISO image is damaged \(.*\); fetch it again$"):
        recognise.recognise(path)


def test_not_there(tmp_path):
    with pytest.raises(UserError, match=r"^given\.iso: cannot be read: No such file or directory$"):
        recognise.recognise(tmp_path / "given.iso")
