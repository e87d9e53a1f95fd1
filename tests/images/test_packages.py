"""What is asked of mmdebstrap, and what this machine must have first: each lack is one clear message."""

import os
import shutil
from pathlib import Path

import pytest

from provider.errors import UserError
from provider.images import apt, packages, recipe, requirements
from provider.mirrors import Mirror

MIRROR = Mirror("http://m.example/debian", "", "http://s.example/debian-security")


def test_source_lines_leave_out_what_is_not_offered() -> None:
    assert apt.source_lines(MIRROR, "trixie", "/k.gpg") == [
        "deb [signed-by=/k.gpg] http://m.example/debian trixie main",
        "deb [signed-by=/k.gpg] http://s.example/debian-security trixie-security main",
    ]


def test_an_archive_on_this_machine_is_copied_from() -> None:
    """Inside the tree, where apt runs, the path of a file: address leads nowhere."""
    assert apt.source_lines(Mirror("file:///srv/debian"), "trixie", "/k.gpg") == [
        "deb [signed-by=/k.gpg] copy:///srv/debian trixie main",
    ]


@pytest.mark.parametrize(("uid", "extra"), [(0, []), (1000, ["--user", "--map-root-user", "--map-auto"])])
def test_what_mmdebstrap_starts_ends_with_us(uid: int, extra: list[str]) -> None:
    assert packages.namespaces(uid) == [
        *("setpriv", "--pdeathsig", "KILL", "unshare", *extra),
        *("--mount", "--pid", "--fork", "--kill-child"),
    ]


def test_mmdebstrap_s_arguments() -> None:
    outputs = packages.Outputs("/proc/self/fd/60", "/proc/self/fd/61", "/proc/self/fd/62")
    argv = packages.bootstrap_argv(
        "trixie", ["deb http://m.example trixie main"], Path("/a b/o.tar"), outputs, 0
    )
    start = argv.index("mmdebstrap")
    assert argv[:start] == packages.namespaces(0)
    assert argv[start + 1] == "--mode=root"
    assert argv[-3:] == ["trixie", "/dev/null", "deb http://m.example trixie main"]
    assert "--customize-hook=tar-in '/a b/o.tar' /" in argv
    harvest = argv[-4]
    assert harvest.startswith("--customize-hook=FILL='mke2fs -q -F -t ext4 ")
    assert "KERNEL=/proc/self/fd/61 INITRD=/proc/self/fd/62 sh -c " in harvest
    assert harvest.endswith(' harvest "$1"')


def test_missing_tools_are_named_at_once_with_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    present = ("mke2fs", "setpriv", "unshare", "qemu-img")
    monkeypatch.setattr(requirements, "find", lambda tool: f"/usr/bin/{tool}" if tool in present else None)
    with pytest.raises(UserError) as error:
        requirements.check_tools(tmp_path / "boot.img")
    assert str(error.value) == (
        "base image: mmdebstrap, grub-mkimage, GRUB's boot.img not found; "
        "run: apt-get install --no-install-recommends mmdebstrap grub-common grub-pc-bin"
    )


def test_too_little_space(tmp_path: Path) -> None:
    free = shutil.disk_usage(tmp_path).free
    (tmp_path / ".build").mkdir()
    with pytest.raises(UserError) as error:
        requirements.check_space(tmp_path / ".build", needed=free * 2)
    assert str(error.value).startswith("base image: ")
    assert f"GiB free in {tmp_path}; making it needs {free * 2 / (1 << 30):.1f} GiB; free some" in str(
        error.value
    )


def test_the_archive_keys_of_the_release(tmp_path: Path) -> None:
    ring = tmp_path / "debian-archive-keyring.gpg"
    ring.touch()
    (tmp_path / "debian-archive-bookworm-stable.gpg").touch()
    with pytest.raises(UserError) as error:
        requirements.check_keyring("trixie", tmp_path)
    assert str(error.value) == (
        f"base image: the archive keys of Debian trixie are not in {tmp_path}; "
        "run: apt-get install --no-install-recommends debian-archive-keyring "
        "(from this release's updates or backports when that is already the newest)"
    )
    (tmp_path / "debian-archive-trixie-stable.gpg").touch()
    assert requirements.check_keyring("trixie", tmp_path) == ring


def test_apt_s_proxy_is_handed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not Path("/usr/bin/apt-config").exists():
        pytest.skip("needs apt")
    config = tmp_path / "apt.conf"
    config.write_text('Acquire::http::Proxy "http://127.0.0.1:3142";\nAcquire::https::Proxy "";\n')
    monkeypatch.setenv("APT_CONFIG", str(config))
    assert apt.proxies() == ['Acquire::http::Proxy "http://127.0.0.1:3142"']


def test_descriptors_keep_away_from_those_apt_uses(tmp_path: Path) -> None:
    with packages._shared(tmp_path / "disk.raw") as descriptor:
        assert descriptor >= packages.LOWEST_DESCRIPTOR
        assert os.fstat(descriptor).st_mode & 0o777 == 0o666
    assert (tmp_path / "disk.raw").stat().st_mode & 0o777 == 0o644


def test_package_names_are_well_formed_and_named_once() -> None:
    assert all(name == name.lower() and "," not in name and " " not in name for name in recipe.PACKAGES)
    assert len(set(recipe.PACKAGES)) == len(recipe.PACKAGES)
