"""The real image, made from the mirror into the cache (or found there), looked into without a boot."""

import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from provider.errors import UserError
from provider.images import disk, recipe
from provider.images.cache import Image
from provider.images.packages import GRUB
from provider.images.requirements import check_keyring, check_tools, check_user, find
from provider.mirrors import machine_mirror, offered
from provider.resources.base import Context
from provider.resources.base_image import BaseImageResource

pytestmark = pytest.mark.guest


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    handler = BaseImageResource()
    context = Context("dev", "base-image", tmp_path_factory.mktemp("project"), print, threading.Event())
    inputs, failures = handler.check(context, {"source": {"from": "packages"}})
    assert failures == []
    known = handler.preview(context, inputs)
    if "path" not in known:
        try:
            check_tools()
            check_user()
            check_keyring(recipe.RELEASE)
            offered(machine_mirror(), recipe.RELEASE)
        except UserError as error:
            pytest.skip(str(error))
    made = handler.create(context, inputs)
    found = handler._cache.find(made.identifier)
    assert found is not None
    return found


@pytest.fixture(scope="module")
def raw(image: Image, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("image") / "disk.raw"
    subprocess.run(["qemu-img", "convert", "-O", "raw", image.disk, path], check=True)
    yield path
    path.unlink()


@pytest.fixture(scope="module")
def ask(raw: Path) -> Iterator[Callable[[str], str]]:
    """A question to debugfs about the root file system."""
    if find("debugfs") is None:
        pytest.skip("needs debugfs (e2fsprogs)")
    partition = raw.with_name("root.ext4")
    offset = disk.FIRST_SECTOR * disk.SECTOR >> 20
    copy = ["dd", f"if={raw}", f"of={partition}", "bs=1M", f"skip={offset}", "conv=sparse", "status=none"]
    subprocess.run(copy, check=True)

    def answer(request: str) -> str:
        argv = [str(find("debugfs")), "-R", request, str(partition)]
        return subprocess.run(argv, capture_output=True, text=True, check=True).stdout

    yield answer
    partition.unlink()


def names(listing: str) -> set[str]:
    return {line.split("/")[5] for line in listing.splitlines() if line.count("/") > 5} - {".", ".."}


def test_files_beside_the_disk(image: Image) -> None:
    assert sorted(image.files) == ["disk.qcow2", "initrd", "vmlinuz"]
    assert (image.folder / "vmlinuz").read_bytes()[:4] == b"\x7fELF"
    assert image.files["initrd"].size < 3 << 20
    assert image.disk_size == 8


def test_the_disk_has_a_boot_loader_of_its_own(raw: Path) -> None:
    with raw.open("rb") as file:
        head = file.read(1024)
    assert head[:440] == (GRUB / "boot.img").read_bytes()[:440]
    assert head[510:512] == b"\x55\xaa"
    assert any(head[512:]), "GRUB's core image follows"


def test_nothing_is_shared_by_two_machines(ask: Callable[[str], str]) -> None:
    assert ask("cat /etc/machine-id") == ""
    assert not [name for name in names(ask("ls -p /etc/ssh")) if name.startswith("ssh_host_")]
    assert "cloud" not in names(ask("ls -p /var/lib"))
    assert "random-seed" not in names(ask("ls -p /var/lib/systemd"))
    assert names(ask("ls -p /home")) == set()
    assert names(ask("ls -p /var/lib/docker")) == set()
    assert "matrix:" not in ask("cat /etc/passwd")
    assert names(ask("ls -p /var/lib/apt/lists")) <= {"lock", "partial"}


def test_all_is_there(ask: Callable[[str], str]) -> None:
    status = ask("cat /var/lib/dpkg/status")
    installed = {
        line.removeprefix("Package: ") for line in status.splitlines() if line.startswith("Package: ")
    }
    assert set(recipe.PACKAGES) <= installed
    assert "Status: install ok unpacked" not in status
    for program in ("dnsmasq", "squid", "varnishd", "dockerd", "sshd", "nft"):
        assert "Inode: " in ask(f"stat /usr/sbin/{program}"), program
    assert "Inode: " in ask("stat /usr/bin/docker-registry")


def test_services(ask: Callable[[str], str]) -> None:
    enabled = names(ask("ls -p /etc/systemd/system/multi-user.target.wants"))
    assert {"docker.service", "ssh.service", "systemd-networkd.service", "cloud-init.target"} <= enabled
    assert "matrix-lease.path" in names(ask("ls -p /etc/systemd/system/systemd-networkd.service.wants"))
    off = {"squid", "varnish", "varnishncsa", "docker-registry", "dnsmasq", "prometheus-node-exporter"}
    assert enabled.isdisjoint({f"{name}.service" for name in off})
    for masked in ("systemd-networkd-wait-online.service", "systemd-logind.service", "apt-daily.timer"):
        assert 'Fast link dest: "/dev/null"' in ask(f"stat /etc/systemd/system/{masked}"), masked


def test_settings_are_the_recipe_s(ask: Callable[[str], str]) -> None:
    for name, content, mode in recipe.settings():
        assert ask(f"cat /{name}") == content.decode(), name
        assert f"Mode:  {mode:04o}" in ask(f"stat /{name}"), name
        assert "User:     0   Group:     0" in ask(f"stat /{name}"), name


def test_modules_for_both_ways_of_booting_are_unpacked(ask: Callable[[str], str]) -> None:
    (kernel,) = names(ask("ls -p /usr/lib/modules"))
    for module in ("block/virtio_blk", "ata/ahci", "scsi/sd_mod", "net/virtio_net"):
        assert "Type: regular" in ask(f"stat /usr/lib/modules/{kernel}/kernel/drivers/{module}.ko"), module
    boot = names(ask("ls -p /boot"))
    assert {"vmlinuz", "initrd-any", "grub"} <= boot
