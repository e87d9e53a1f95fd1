"""Varnish's command line interface over TCP: one connection, no varnishadm."""

import hashlib
import json
import socket
import time
from pathlib import Path
from typing import Any, NamedTuple

OK = 200
CHALLENGE = 107
HEADER_BYTES = 13


class Refused(Exception):
    """Varnish answered a command with something else than 200; the text is its own."""


class Unreachable(Exception):
    """No command line interface there, or it went away."""


class Vcl(NamedTuple):
    """One entry of vcl.list; `target` is what a label leads to, `busy` the requests under way in it.

    While the worker process is stopped nothing is under way, and Varnish does not say so.
    """

    name: str
    active: bool
    busy: int
    target: str


class Cli:
    """A session with varnishd. Waits up to `patience` seconds for varnishd to listen."""

    def __init__(self, address: tuple[str, int], secret: Path, patience: float = 5.0) -> None:
        deadline = time.monotonic() + patience
        while True:
            try:
                self._socket = socket.create_connection(address, timeout=10)
                break
            except OSError as error:
                if time.monotonic() > deadline:
                    raise Unreachable(f"varnishd at {address[0]}:{address[1]}: {error}") from error
                time.sleep(0.1)
        status, text = self._answer()
        if status == CHALLENGE:
            proof = text[:32].encode() + b"\n" + secret.read_bytes() + text[:32].encode() + b"\n"
            self.ask("auth", hashlib.sha256(proof).hexdigest())

    def ask(self, *words: str, timeout: float = 300.0) -> str:
        """Send one command and return the answer's text. Raises Refused, Unreachable."""
        self._socket.settimeout(timeout)
        self._socket.sendall((" ".join(map(_quoted, words)) + "\n").encode())
        status, text = self._answer()
        if status != OK:
            raise Refused(text.strip())
        return text

    def running(self) -> bool:
        return bool(json.loads(self.ask("status", "-j"))[3] == "running")

    def vcls(self) -> dict[str, Vcl]:
        """Everything loaded, labels too, by name; not what is discarded and only ends its requests."""
        listed = json.loads(self.ask("vcl.list", "-j"))[3:]
        return {entry["name"]: _vcl(entry) for entry in listed if entry["status"] != "discarded"}

    def close(self) -> None:
        self._socket.close()

    def _answer(self) -> tuple[int, str]:
        status, length = self._exactly(HEADER_BYTES).split()
        return int(status), self._exactly(int(length) + 1)[:-1].decode(errors="replace")

    def _exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            try:
                part = self._socket.recv(count - len(data))
            except OSError as error:
                raise Unreachable(f"varnishd's answer: {error or 'timed out'}") from error
            if not part:
                raise Unreachable("varnishd closed its command line interface")
            data += part
        return data


def _vcl(entry: dict[str, Any]) -> Vcl:
    target = entry.get("label", {}).get("name", "")
    return Vcl(entry["name"], entry["status"] == "active", entry.get("busy", 0), target)


def _quoted(word: str) -> str:
    plain = word and all(character.isalnum() or character in "._-/*" for character in word)
    return word if plain else '"' + word.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
