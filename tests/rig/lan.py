"""The cloud's network in jails: the outside, the manager between, a node and a stranger on the inside.

The outside answers on public (TEST-NET) and on private addresses, so that what is refused is refused by
the manager and not by nothing being there.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from services.kernel import kernel_files
from services.network import HostEntry, NetworkSpec
from tests.rig.jail import Jail, connect, until

NETWORK = NetworkSpec()
HOSTS = tuple(HostEntry(f"node{n}", f"52:54:00:aa:00:{n:02x}", f"10.10.10.{n}") for n in range(2, 255))
NODE = HOSTS[0]
STRANGER_MAC = "52:54:00:bb:00:01"
PUBLIC, OTHER_PUBLIC = "203.0.113.80", "198.51.100.7"
PRIVATE = ("10.99.0.1", "172.16.9.9", "192.168.77.7", "169.254.169.254", "100.64.0.9")
RESOLVER = "10.0.2.3"

NAMES = {
    "listed.example": PUBLIC,
    "suffix.example": PUBLIC,
    "deep.under.suffix.example": PUBLIC,
    "unlisted.example": PUBLIC,
    "evil-listed.example": PUBLIC,
    "to-private.example": "192.168.77.7",
    "to-metadata.example": "169.254.169.254",
    "to-loopback.example": "127.0.0.1",
    "to-manager.example": NETWORK.manager,
}

LISTENER = """
import selectors, socket, sys
selector = selectors.DefaultSelector()
for port in map(int, sys.argv[1:]):
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("0.0.0.0", port))
    listener.listen(32)
    selector.register(listener, selectors.EVENT_READ)
while True:
    for key, _ in selector.select():
        peer, _ = key.fileobj.accept()
        peer.settimeout(2)
        try:
            peer.recv(4096)
            peer.sendall(b"HTTP/1.0 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok")
        except OSError:
            pass
        peer.close()
"""


@dataclass(frozen=True)
class Lan:
    outside: Jail
    manager: Jail
    node: Jail
    stranger: Jail


@contextmanager
def lan() -> Iterator[Lan]:
    """Wired, with addresses for all but the stranger, names and web servers outside; no service yet."""
    with ExitStack() as stack:
        made = [stack.enter_context(Jail(name)) for name in ("outside", "manager", "node", "stranger")]
        outside, manager, node, stranger = made
        switch = stack.enter_context(Jail("switch"))
        switch.shell("ip link add segment type bridge && ip link set segment up")
        cables = ((manager, "52:54:00:aa:00:01"), (node, NODE.mac), (stranger, STRANGER_MAC))
        for number, (jail, mac) in enumerate(cables):
            connect(jail, "matrix0", switch, f"port{number}", mac)
            switch.run("ip", "link", "set", f"port{number}", "master", "segment")
        connect(manager, "nat0", outside, "gateway")
        _configure_outside(outside)
        for jail in (manager, node):
            jail.write(kernel_files())
            jail.run("sysctl", "-q", "-p", *(file.path for file in kernel_files()))
        manager.shell(
            "ip address add 10.0.2.15/24 dev nat0; ip route add default via 10.0.2.2\n"
            f"ip address add {NETWORK.manager}/24 dev matrix0\n"
            f"rm -f /etc/resolv.conf; echo nameserver {RESOLVER} >/etc/resolv.conf"
        )
        node.run("ip", "address", "add", f"{NODE.address}/24", "dev", "matrix0")
        stack.enter_context(listen(outside, 22, 80, 443, 8080))
        yield Lan(outside, manager, node, stranger)


def _configure_outside(outside: Jail) -> None:
    addresses = [f"{address}/32" for address in (PUBLIC, OTHER_PUBLIC, *PRIVATE)]
    for address in ("10.0.2.2/24", f"{RESOLVER}/24", *addresses):
        outside.run("ip", "address", "add", address, "dev", "gateway")
    # The way back: without it a packet that got out would look as if it had been refused.
    outside.run("ip", "route", "add", NETWORK.cidr, "via", "10.0.2.15")
    names = [f"--host-record={name},{address}" for name, address in NAMES.items()]
    own = ["--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--pid-file"]
    outside.spawn("dnsmasq", *own, "--bind-interfaces", f"--listen-address={RESOLVER}", *names)


@contextmanager
def listen(jail: Jail, *ports: int) -> Iterator[None]:
    """Answer every request on the ports with 200 while the context is open."""
    with jail.running("python3", "-c", LISTENER, *map(str, ports)):
        until(lambda: all(listening(jail, port) for port in ports), f"{jail.name} listens on {ports}")
        yield


def listening(jail: Jail, port: int) -> bool:
    return bool(jail.run("ss", "-Hltn", f"sport = {port}").stdout.strip())


def reaches(jail: Jail, address: str, port: int, source: str = "") -> bool:
    """Whether a TCP connection is made within a second."""
    origin = ["-s", source] if source else []
    return jail.run("nc", "-z", "-w", "1", *origin, address, str(port), check=False).returncode == 0
