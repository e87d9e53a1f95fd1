"""QEMU's command lines, word by word."""

from pathlib import Path

import pytest

from provider.hypervisors.base import NAT, Card, Forward, Machine
from provider.hypervisors.qemu import argv

UUID = "6f2b8a5e-7c0d-5b1e-9d43-3c9a4f1e2b70"
MANAGER = Machine(
    uuid=UUID,
    name="manager",
    stack="dev",
    folder=Path("/p/.matrix/dev/machines/manager"),
    image=Path("/cache/i/disk.qcow2"),
    cpus=2,
    memory=1536,
    disk=8,
    cards=(Card(NAT, "52:54:00:00:00:01"), Card("internal", "52:54:00:00:00:02")),
    forwards=(Forward("ssh", "127.0.0.1", 2222, 22),),
    seed=Path("/p,q/seed.iso"),
)
BOOT = argv.Boot(Path("/cache/i/vmlinuz"), Path("/cache/i/initrd"), "root=/dev/vda1")
SOCKETS = ["", "../../networks/internal/switch.sock"]


def words(version: argv.Version = (10, 0, 2), accelerator: str = "tcg") -> str:
    return " ".join(argv.run(MANAGER, argv.Host(version, accelerator), BOOT, SOCKETS))


@pytest.mark.parametrize(
    "part",
    [
        "qemu-system-x86_64 -name dev-manager -uuid 6f2b8a5e-7c0d-5b1e-9d43-3c9a4f1e2b70 "
        "-no-user-config -nodefaults -display none -sandbox "
        "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
        "-accel tcg,thread=single -cpu max -smp 2 -m 1536M",
        "-chardev socket,id=monitor,path=qmp.sock,server=on,wait=off -mon monitor,mode=control",
        "-chardev file,id=console,path=console.log,append=on -serial chardev:console",
        "-drive if=none,id=disk,file=disk.qcow2,format=qcow2,cache=writeback,discard=unmap",
        "-kernel /cache/i/vmlinuz -initrd /cache/i/initrd -append root=/dev/vda1",
        "-drive if=none,id=seed-drive,file=/p,,q/seed.iso,format=raw,readonly=on",
        "-netdev user,id=nat,ipv6=off,hostfwd=tcp:127.0.0.1:2222-:22 "
        "-device virtio-net-pci,netdev=nat,mac=52:54:00:00:00:01,romfile=",
        "-netdev stream,id=card1,server=off,addr.type=unix,addr.path=../../networks/internal/switch.sock,"
        "reconnect-ms=500 -device virtio-net-pci,netdev=card1,mac=52:54:00:00:00:02,romfile=",
    ],
)
def test_a_machine(part: str) -> None:
    assert part in words()


def test_kvm_takes_the_host_processor() -> None:
    assert "-accel kvm -cpu host" in words(accelerator="kvm")


def test_an_older_qemu_counts_its_reconnects_in_seconds() -> None:
    assert ",reconnect=1 " in words(version=(8, 2, 0))


def test_without_a_kernel_the_disk_boots_itself() -> None:
    assert "-kernel" not in argv.run(MANAGER, argv.Host((10, 0, 2), "tcg"), None, SOCKETS)


def test_every_forward_names_its_address() -> None:
    """Without an address QEMU listens on all of them."""
    assert argv.hostfwd_rule(Forward("http", "127.0.0.1", 6081, 80)) == "tcp:127.0.0.1:6081-:80"
