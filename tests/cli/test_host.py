"""What is installed on a computer, from where, and what a user who is not root is told."""

import os

import pytest

from cli import apt, host, packages
from cli.errors import CliError
from cli.host import Work, upstream
from cli.packages import COMMON, QEMU, TESTS, Package

EVERYTHING = (*QEMU, *COMMON)
OLD, NEW = (7, 2, 15), (10, 0, 2)
BOOKWORM, TRIXIE = "1:7.2+dfsg-7+deb12u13", "1:10.0.2+ds-2"
EMULATOR = ("qemu-system-x86", "qemu-utils")
MMDEBSTRAP = COMMON[0]


@pytest.mark.parametrize(
    ("lacking", "qemu", "offered", "work"),
    [
        ((), NEW, "", Work()),
        ((MMDEBSTRAP,), NEW, "", Work(plain=("mmdebstrap",))),
        (QEMU, None, TRIXIE, Work(plain=EMULATOR)),
        (QEMU, None, BOOKWORM, Work(backports=EMULATOR)),
        ((), OLD, BOOKWORM, Work(backports=EMULATOR)),
        ((MMDEBSTRAP,), OLD, TRIXIE, Work(plain=(*EMULATOR, "mmdebstrap"))),
        (QEMU, None, "", Work(backports=EMULATOR)),
    ],
    ids=[
        "all there",
        "one missing",
        "a release with a new QEMU",
        "a release with an old QEMU",
        "an old QEMU installed, nothing newer in the release",
        "an old QEMU installed, a newer one in the release",
        "apt knows no QEMU yet",
    ],
)
def test_qemu_comes_from_backports_where_the_release_has_none_that_works(lacking, qemu, offered, work):
    assert host.plan(EVERYTHING, lacking, qemu, offered) == work


def test_where_virtualbox_runs_the_machines_an_old_qemu_does_not_matter():
    wanted = packages.needed("virtualbox")
    assert host.plan(wanted, (MMDEBSTRAP,), OLD, BOOKWORM) == Work(plain=("mmdebstrap",))


@pytest.mark.parametrize(
    ("hypervisor", "source", "emulator"),
    [("qemu", "packages", True), ("virtualbox", "packages", False), ("virtualbox", "iso", True)],
)
def test_an_installer_runs_in_qemu_whatever_runs_the_machines(hypervisor, source, emulator):
    names = [package.name for package in packages.needed(hypervisor, source)]
    assert ("qemu-system-x86" in names) is emulator


@pytest.mark.parametrize(
    ("version", "numbers"),
    [
        ("1:7.2+dfsg-7+deb12u13", (7, 2)),
        ("1:10.0.2+ds-2~bpo12+1", (10, 0, 2)),
        ("8.2.2", (8, 2, 2)),
        ("", ()),
    ],
)
def test_the_upstream_version_is_read_from_debians(version, numbers):
    assert upstream(version) == numbers


def test_who_is_not_root_gets_one_command():
    assert host.by_hand(Work(plain=("a", "b"))) == "sudo apt-get install --yes --no-install-recommends a b"
    assert host.by_hand(Work(plain=("a",), backports=("q",))) == "sudo ./matrix prepare"


def test_nothing_is_installed_for_who_is_not_root(monkeypatch, tmp_path):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    wanted = [Package("no-such-package", "no-such-program", "this test")]
    if not host.shutil.which("apt-get"):
        pytest.skip("this computer has no apt-get")
    with pytest.raises(CliError) as caught:
        host.prepare(wanted, tmp_path / "log")
    assert caught.value.message == (
        "packages are missing on this computer; run this command, then again what you ran:\n"
        "  sudo apt-get install --yes --no-install-recommends no-such-package"
    )


def test_without_apt_the_programs_are_named():
    assert host.without_apt([MMDEBSTRAP]) == (
        "this computer lacks, and has no apt-get to install:\n"
        "  mmdebstrap: makes the base image's files from Debian packages (Debian: mmdebstrap)\n"
        "install them and try again"
    )


def test_what_is_there_needs_no_apt(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "")
    host.prepare([Package("anything", str(tmp_path), "a file that is there")], tmp_path / "log")


@pytest.mark.parametrize("table", [QEMU, COMMON, TESTS])
def test_every_package_says_what_it_is_for_and_how_it_shows(table):
    for package in table:
        assert package.proof
        assert package.reason


def test_a_missing_package_is_one_whose_proof_is_missing(tmp_path):
    there = Package("there", str(tmp_path), "")
    gone = Package("gone", str(tmp_path / "x"), "")
    shell = Package("shell", "sh", "")
    assert packages.missing([there, gone, shell]) == (gone,)


def test_apt_looks_at_its_own_copies_only(tmp_path):
    assert apt.backports_options(tmp_path) == [
        "-o",
        f"Dir::Etc::sourceparts={tmp_path}/sources",
        "-o",
        f"Dir::State::lists={tmp_path}/lists",
        "-o",
        f"Dir::Cache::pkgcache={tmp_path}/pkgcache.bin",
        "-o",
        f"Dir::Cache::srcpkgcache={tmp_path}/srcpkgcache.bin",
    ]


def test_no_daemon_starts_while_test_packages_are_installed(tmp_path, monkeypatch):
    policy = tmp_path / "policy-rc.d"
    monkeypatch.setattr(apt, "POLICY", policy)
    with apt.no_daemons_started([]):
        assert not policy.exists()
    policy.write_text("the user's own")
    with apt.no_daemons_started(["x.service"]):
        assert policy.read_text() == "the user's own"
    assert policy.exists()


def test_a_failed_installation_shows_the_end_of_its_output(tmp_path):
    with pytest.raises(CliError) as caught:
        apt._run(["sh", "-c", "echo some; echo output; exit 3"], tmp_path / "log")
    assert caught.value.message == (
        f"sh -c echo some; echo output; exit 3 failed (all of its output is in {tmp_path}/log)\nsome\noutput"
    )


def test_the_codename_is_read_from_the_release_file(tmp_path):
    (tmp_path / "os-release").write_text('NAME="Debian"\nVERSION_CODENAME=bookworm\n')
    assert host.codename(tmp_path / "os-release") == "bookworm"
