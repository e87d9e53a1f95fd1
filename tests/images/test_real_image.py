"""The real image, made from the mirror into the cache (or found there), looked into without a boot."""

from collections.abc import Iterator

import pytest

from provider.images import recipe
from provider.images.cache import Image
from provider.images.packages import GRUB
from tests.rig.base_images import packages_image
from tests.rig.image_disk import RootFiles, check_sealed, root_files

pytestmark = pytest.mark.guest


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    return packages_image(tmp_path_factory.mktemp("project"))


@pytest.fixture(scope="module")
def root(image: Image, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RootFiles]:
    with root_files(image.disk, tmp_path_factory.mktemp("image")) as files:
        yield files


def test_files_beside_the_disk(image: Image) -> None:
    assert sorted(image.files) == ["disk.qcow2", "initrd", "vmlinuz"]
    assert (image.folder / "vmlinuz").read_bytes()[:4] == b"\x7fELF"
    assert image.files["initrd"].size < 3 << 20
    assert image.disk_size == 8


def test_the_disk_has_a_boot_loader_of_its_own(root: RootFiles) -> None:
    with root.raw.open("rb") as file:
        head = file.read(1024)
    assert head[:440] == (GRUB / "boot.img").read_bytes()[:440]
    assert head[510:512] == b"\x55\xaa"
    assert any(head[512:]), "GRUB's core image follows"


def test_nothing_is_shared_by_two_machines(root: RootFiles) -> None:
    check_sealed(root)


def test_nothing_is_left_of_the_making(root: RootFiles) -> None:
    assert root.names("/etc/apt/apt.conf.d") == {"01autoremove", "70debconf", "99cloudmatrix"}
    assert root.names("/etc/dpkg/dpkg.cfg.d") == {"99cloudmatrix"}
    assert not root.exists("/usr/sbin/policy-rc.d"), "apt would start no service"
    assert not root.exists("/usr/sbin/start-stop-daemon.REAL")
    assert root.ask("cat /usr/sbin/start-stop-daemon").startswith("\x7fELF"), "the real one"


def test_all_is_there(root: RootFiles) -> None:
    status = root.ask("cat /var/lib/dpkg/status")
    installed = {
        line.removeprefix("Package: ") for line in status.splitlines() if line.startswith("Package: ")
    }
    assert set(recipe.PACKAGES) <= installed
    assert "Status: install ok unpacked" not in status
    for program in ("dnsmasq", "squid", "varnishd", "dockerd", "sshd", "nft"):
        assert root.exists(f"/usr/sbin/{program}"), program
    assert root.exists("/usr/bin/docker-registry")


def test_services(root: RootFiles) -> None:
    enabled = root.names("/etc/systemd/system/multi-user.target.wants")
    assert {"docker.service", "ssh.service", "systemd-networkd.service", "cloud-init.target"} <= enabled
    assert "matrix-lease.path" in root.names("/etc/systemd/system/systemd-networkd.service.wants")
    off = {"squid", "varnish", "varnishncsa", "docker-registry", "dnsmasq", "prometheus-node-exporter"}
    assert enabled.isdisjoint({f"{name}.service" for name in off})
    for masked in ("systemd-networkd-wait-online.service", "systemd-logind.service", "apt-daily.timer"):
        assert 'Fast link dest: "/dev/null"' in root.ask(f"stat /etc/systemd/system/{masked}"), masked


def test_settings_are_the_recipe_s(root: RootFiles) -> None:
    for name, content, mode in recipe.settings():
        assert root.ask(f"cat /{name}") == content.decode(), name
        assert f"Mode:  {mode:04o}" in root.ask(f"stat /{name}"), name
        assert "User:     0   Group:     0" in root.ask(f"stat /{name}"), name


def test_modules_for_both_ways_of_booting_are_unpacked(root: RootFiles) -> None:
    (kernel,) = root.names("/usr/lib/modules")
    for module in ("block/virtio_blk", "ata/ahci", "scsi/sd_mod", "net/virtio_net"):
        assert "Type: regular" in root.ask(f"stat /usr/lib/modules/{kernel}/kernel/drivers/{module}.ko"), (
            module
        )
    boot = root.names("/boot")
    assert {"vmlinuz", "initrd-any", "grub"} <= boot
