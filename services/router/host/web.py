"""One GET, without the weight of http.client: importing that takes longer than the request."""

import socket
from typing import NamedTuple


class Answer(NamedTuple):
    """`status` is 0 when there was none; then `error` says why. `by_router`: no application made it."""

    status: int
    by_router: bool
    error: str

    def __str__(self) -> str:
        return f"answered {self.status}" if self.status else self.error


def get(address: str, port: int, path: str, seconds: float) -> Answer:
    """GET the path and read the head of the answer; every step may take `seconds`."""
    request = f"GET {path} HTTP/1.1\r\nHost: {_host(address)}:{port}\r\nConnection: close\r\n\r\n"
    head = b""
    try:
        with socket.create_connection((address, port), timeout=seconds) as connection:
            connection.sendall(request.encode())
            while b"\r\n\r\n" not in head and len(head) < 65536:
                part = connection.recv(4096)
                if not part:
                    break
                head += part
    except TimeoutError:
        return Answer(0, False, f"no answer within {seconds:g} s")
    except OSError as error:
        return Answer(0, False, error.strerror or str(error))
    words = head.split(b"\r\n", 1)[0].split()
    if len(words) < 2 or not words[0].startswith(b"HTTP/") or not words[1].isdigit():
        return Answer(0, False, "no HTTP answer")
    return Answer(int(words[1]), b"\r\nx-router:" in head.lower(), "")


def _host(address: str) -> str:
    return f"[{address}]" if ":" in address else address
