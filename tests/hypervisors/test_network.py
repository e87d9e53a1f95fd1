"""The private network: a real switch, real sockets."""

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from provider.errors import UserError
from provider.hypervisors.qemu import process
from provider.hypervisors.qemu.network import Networks
from tests.rig.guests import daemons

A, B, C = b"\x52\x54\0\0\0\x0a", b"\x52\x54\0\0\0\x0b", b"\x52\x54\0\0\0\x0c"
EVERYONE = b"\xff" * 6
SILENCE = 0.2


class Port:
    """What a QEMU card does: length and frame over a stream."""

    def __init__(self, root: Path) -> None:
        self.link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.link.settimeout(10)
        folder = os.open(root / "dev/networks/internal", os.O_RDONLY)
        self.link.connect(f"/proc/self/fd/{folder}/switch.sock")
        os.close(folder)

    def send(self, to: bytes, source: bytes, text: bytes) -> None:
        frame = to + source + b"\x08\x00" + text
        self.link.sendall(len(frame).to_bytes(4, "big") + frame)

    def receive(self) -> bytes:
        size = int.from_bytes(self._exactly(4), "big")
        return self._exactly(size)[14:]

    def is_silent(self) -> bool:
        self.link.settimeout(SILENCE)
        try:
            return not self.link.recv(1)
        except TimeoutError:
            return True
        finally:
            self.link.settimeout(10)

    def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            part = self.link.recv(size - len(data))
            assert part, "the switch closed the port"
            data += part
        return data


@pytest.fixture
def networks(tmp_path: Path) -> Iterator[Networks]:
    made = Networks(tmp_path)
    made.create("dev", "internal", "10.10.10.0/24")
    yield made
    made.delete("dev", "internal")
    assert list(tmp_path.iterdir()) == []
    assert daemons(tmp_path) == []


def test_frames_reach_whom_they_are_for(networks: Networks, tmp_path: Path) -> None:
    a, b, c = (Port(tmp_path) for _ in range(3))
    a.send(EVERYONE, A, b"who is there?")
    assert (b.receive(), c.receive()) == (b"who is there?", b"who is there?")
    b.send(A, B, b"me")
    assert a.receive() == b"me"
    a.send(B, A, b"for you alone")
    assert b.receive() == b"for you alone"
    assert c.is_silent()


def test_nobody_takes_over_an_address_in_use(networks: Networks, tmp_path: Path) -> None:
    manager, node, rogue = (Port(tmp_path) for _ in range(3))
    manager.send(EVERYONE, A, b"hello")
    assert (node.receive(), rogue.receive()) == (b"hello", b"hello")
    rogue.send(EVERYONE, A, b"I am the manager")
    assert node.is_silent()
    node.send(A, B, b"secret")
    assert manager.receive() == b"secret"
    assert rogue.is_silent()
    manager.link.close()
    time.sleep(SILENCE)
    rogue.send(EVERYONE, A, b"now it is free")
    assert node.receive() == b"now it is free"


def test_a_slow_port_holds_up_nobody(networks: Networks, tmp_path: Path) -> None:
    sender, slow, quick = (Port(tmp_path) for _ in range(3))
    for number in range(3000):
        sender.send(EVERYONE, A, b"%04d" % number + bytes(1400))
        assert quick.receive()[:4] == b"%04d" % number
    assert slow.receive()[:4] == b"0000"


def test_nonsense_closes_its_own_port_only(networks: Networks, tmp_path: Path) -> None:
    broken, a, b = (Port(tmp_path) for _ in range(3))
    broken.link.sendall(b"\xff" * 64)
    assert broken.link.recv(1) == b""
    a.send(EVERYONE, A, b"still there")
    assert b.receive() == b"still there"


def test_a_killed_switch_is_started_again(networks: Networks, tmp_path: Path) -> None:
    daemon = networks._daemon("dev", "internal")
    process.kill(daemon)
    assert process.find(daemon) is None
    networks.ensure("dev", "internal")
    again = process.find(daemon)
    networks.ensure("dev", "internal")
    assert process.find(daemon) == again
    a, b = Port(tmp_path), Port(tmp_path)
    a.send(EVERYONE, A, b"here again")
    assert b.receive() == b"here again"


def test_two_stacks_have_two_switches(networks: Networks, tmp_path: Path) -> None:
    networks.create("prod", "internal", "10.10.10.0/24")
    assert len(daemons(tmp_path)) == 2
    networks.delete("prod", "internal")
    networks.delete("prod", "internal")
    assert len(daemons(tmp_path)) == 1
    assert networks.exists("dev", "internal")


def test_a_long_path_is_no_hindrance(tmp_path: Path) -> None:
    """A unix socket's path may have 107 bytes."""
    root = tmp_path / ("a long folder name, " * 8) / "ünïcode"
    made = Networks(root)
    made.create("dev", "internal", "10.10.10.0/24")
    assert len(str(root)) > 150
    assert (
        made.socket("dev", "internal", root / "dev/machines/node2") == "../../networks/internal/switch.sock"
    )
    Port(root)
    made.delete("dev", "internal")
    assert daemons(tmp_path) == []


def test_a_missing_network_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        Networks(tmp_path).ensure("dev", "internal")
    assert str(error.value) == (
        'network "internal" of stack "dev" does not exist on this computer; run up --refresh'
    )
