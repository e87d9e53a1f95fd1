"""A learning layer-2 switch for QEMU's `stream` network cards; runs as a program of its own.

    python switch.py --id NAME --socket PATH

One connection is one port. A frame travels as four bytes of length and the frame itself. Cards connect
again by themselves when the switch was restarted, the switch keeps nothing. It ends when its socket is gone.
Only the standard library: it must start fast and run from its path alone.
"""

import argparse
import os
import selectors
import signal
import socket
import time
from pathlib import Path

LONGEST_FRAME = 65_550
READ = 256 * 1024
BACKLOG = 1024 * 1024
"""Bytes waiting for one slow port; what comes beyond is dropped, as a real switch does."""
ADDRESSES_PER_PORT = 64
LIVENESS = 5.0


class Port:
    """One card's connection."""

    def __init__(self, link: socket.socket) -> None:
        self.link = link
        self.received = bytearray()
        self.waiting = bytearray()
        self.addresses: set[bytes] = set()


class Switch:
    """A MAC address belongs to the port that used it first, until that port closes: no card can take over
    the address of another one that is connected."""

    def __init__(self, listener: socket.socket) -> None:
        self.selector = selectors.DefaultSelector()
        self.listener = listener
        self.ports: set[Port] = set()
        self.table: dict[bytes, Port] = {}
        listener.setblocking(False)
        self.selector.register(listener, selectors.EVENT_READ)

    def turn(self, timeout: float) -> None:
        """Serve what is ready now; new ports first, so that they miss nothing sent after they connected."""
        touched: set[Port] = set()
        ready = self.selector.select(timeout)
        if any(key.data is None for key, _ in ready):
            self._accept()
        for key, mask in ready:
            if key.data in self.ports and mask & selectors.EVENT_READ:
                self._receive(key.data, touched)
            if key.data in self.ports and mask & selectors.EVENT_WRITE:
                touched.add(key.data)
        for port in touched & self.ports:
            self._flush(port)

    def _accept(self) -> None:
        while True:
            try:
                link, _ = self.listener.accept()
            except OSError:
                return
            link.setblocking(False)
            port = Port(link)
            self.ports.add(port)
            self.selector.register(link, selectors.EVENT_READ, port)

    def _receive(self, port: Port, touched: set[Port]) -> None:
        try:
            data = port.link.recv(READ)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._close(port)
            return
        port.received += data
        buffer, at, end = port.received, 0, len(port.received)
        while end - at >= 4:
            size = int.from_bytes(buffer[at : at + 4], "big")
            if size > LONGEST_FRAME:
                self._close(port)
                return
            if end - at < 4 + size:
                break
            self._forward(port, bytes(buffer[at : at + 4 + size]), touched)
            at += 4 + size
        del buffer[:at]

    def _forward(self, port: Port, packet: bytes, touched: set[Port]) -> None:
        destination, source = packet[4:10], packet[10:16]
        if len(source) < 6:
            return
        owner = self.table.get(source)
        if owner is None and not source[0] & 1 and len(port.addresses) < ADDRESSES_PER_PORT:
            owner = self.table[source] = port
            port.addresses.add(source)
        if owner is not port:
            return
        known = None if destination[0] & 1 else self.table.get(destination)
        for target in (known,) if known else self.ports:
            if target is not port and len(target.waiting) + len(packet) <= BACKLOG:
                target.waiting += packet
                touched.add(target)

    def _flush(self, port: Port) -> None:
        try:
            while port.waiting:
                sent = port.link.send(port.waiting)
                del port.waiting[:sent]
        except BlockingIOError:
            pass
        except OSError:
            self._close(port)
            return
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if port.waiting else 0)
        if self.selector.get_key(port.link).events != events:
            self.selector.modify(port.link, events, port)

    def _close(self, port: Port) -> None:
        self.selector.unregister(port.link)
        port.link.close()
        self.ports.discard(port)
        for address in port.addresses:
            self.table.pop(address, None)


def listen(path: Path) -> socket.socket:
    """Listen under another name first: whoever finds the socket finds it answering."""
    fresh = path.with_name(f"{path.name}.new")
    fresh.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(fresh))
    fresh.chmod(0o600)
    listener.listen(64)
    fresh.replace(path)
    return listener


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--id", required=True, help="only to be recognised among processes")
    parser.add_argument("--socket", required=True, type=Path, help="relative to the working folder")
    options = parser.parse_args()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.umask(0o077)
    switch = Switch(listen(options.socket))
    mine = options.socket.stat().st_ino
    while _is(options.socket, mine):
        look = time.monotonic() + LIVENESS
        while time.monotonic() < look:
            switch.turn(LIVENESS)


def _is(path: Path, inode: int) -> bool:
    try:
        return path.stat().st_ino == inode
    except OSError:
        return False


if __name__ == "__main__":
    main()
