"""From an ISO to the machine that installs it: where its packages come from, and what it is given."""

import hashlib
import re
import shutil
import threading
from pathlib import Path

import pytest

from cloudinit.installer import Answers
from provider.errors import UserError
from provider.images.iso import builder, media
from provider.images.iso.recognise import Installer
from provider.mirrors import Mirror
from provider.resources.base import Context
from tests.rig.installer_iso import debian_files, write_iso

DEBIAN = Installer("debian", "trixie", "13.1.0", "netinst", "/install.amd/vmlinuz", "/install.amd/initrd.gz")
UBUNTU = Installer("ubuntu", "noble", "24.04.3", "live-server", "/casper/vmlinuz", "/casper/initrd")
NAMED = "http://named.example/debian"


@pytest.fixture
def machine(monkeypatch):
    """This machine's apt: its mirror and its proxy, changeable."""
    settings = {"mirror": "http://machine.example/debian", "proxies": []}
    monkeypatch.setattr(builder, "machine_mirror", lambda: Mirror(settings["mirror"]))
    monkeypatch.setattr(builder, "proxies", lambda: settings["proxies"])
    return settings


@pytest.mark.parametrize(
    ("installer", "source", "mirror"),
    [
        (DEBIAN, {}, "http://machine.example/debian"),
        (DEBIAN, {"mirror": NAMED}, NAMED),
        (UBUNTU, {}, ""),
        (UBUNTU, {"mirror": NAMED}, NAMED),
    ],
)
def test_the_mirror_is_the_configs_or_for_debian_the_machines(machine, installer, source, mirror):
    assert builder.answers_for(installer, source) == Answers(mirror=mirror)


def test_without_any_mirror_the_error_says_what_to_set(monkeypatch):
    def none():
        raise UserError("base.mirror: no Debian mirror in …")

    monkeypatch.setattr(builder, "machine_mirror", none)
    with pytest.raises(UserError, match=r"^base\.mirror: no Debian mirror"):
        builder.answers_for(DEBIAN, {})
    assert builder.answers_for(UBUNTU, {}).mirror == ""


def test_a_mirror_of_files_is_out_of_reach(machine):
    machine["mirror"] = "file:/srv/debian"
    with pytest.raises(UserError) as caught:
        builder.answers_for(DEBIAN, {})
    assert str(caught.value) == (
        "base.mirror: got file:/srv/debian; the machine in which the ISO is installed reaches mirrors by "
        "http and https only; set base.mirror to such a one"
    )


@pytest.mark.parametrize(
    ("options", "proxy"),
    [
        ([], ""),
        (['Acquire::https::Proxy "http://other.example:3128"'], ""),
        (['Acquire::http::Proxy "http://proxy.example:3128"'], "http://proxy.example:3128"),
        (['Acquire::http::Proxy "DIRECT"'], ""),
    ],
)
def test_the_proxy_is_the_one_of_the_machines_apt(machine, options, proxy):
    machine["proxies"] = options
    assert builder.answers_for(DEBIAN, {}).proxy == proxy


def test_what_is_on_this_computer_has_another_address_inside():
    answers = Answers("http://127.0.0.1:8080/debian", "http://localhost:3128")
    assert builder.outside(answers) == Answers("http://10.0.2.2:8080/debian", "http://10.0.2.2:3128")
    assert builder.outside(Answers(NAMED)) == Answers(NAMED)


def test_the_machine_that_installs(tmp_path):
    discs = media.Discs(tmp_path / "installer.iso", tmp_path / "finish.iso")
    for installer, memory in ((DEBIAN, 2048), (UBUNTU, 4096)):
        job = builder.job(installer, tmp_path, tmp_path / "disk.raw", discs)
        assert job.cdroms == (discs.installer, discs.companion)
        assert (job.boot, job.memory, job.silence) == ("cdrom", memory, 600.0)
        assert job.name == f"base image from {installer.title}"
        assert re.fullmatch(r"iso-(debian|ubuntu)-[\d.]+\.log", job.console.name)


def context(shown, project=Path()):
    return Context("test", "base", project, shown.append, threading.Event())


def test_what_is_not_an_installer_costs_nothing(machine, tmp_path):
    file = tmp_path / "notes.iso"
    file.write_bytes(b"shopping list")
    folder = tmp_path / "image"
    folder.mkdir()
    with pytest.raises(UserError, match=r"^notes\.iso: is not an ISO image; "):
        builder.build(folder, source(file), 0, context([]))
    assert list(folder.iterdir()) == []


@pytest.mark.guest
def test_an_iso_that_does_not_boot_is_told_within_a_minute_or_so(machine, tmp_path, monkeypatch):
    """The whole way with the real machine, to an installer that never says anything."""
    if not shutil.which("qemu-system-x86_64"):
        pytest.skip("qemu-system-x86_64 is not on PATH")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(builder.finish, "bundle", lambda *_: b"the finish")
    monkeypatch.setattr(builder.workshop, "STARTING", 10.0)
    iso = write_iso(tmp_path / "debian.iso", debian_files())
    folder, shown = tmp_path / "image", []
    folder.mkdir()
    with pytest.raises(UserError) as caught:
        builder.build(folder, source(iso), 0, context(shown))
    assert str(caught.value).startswith(
        "base image from Debian 13.1.0 (trixie): failed while starting: it took longer than 10 s\n"
    )
    assert shown[-2:] == ["preparing the ISO of Debian 13.1.0 (trixie)", "starting the machine"]


def source(file):
    return {"from": "iso", "path": str(file), "sha256": hashlib.sha256(file.read_bytes()).hexdigest()}
