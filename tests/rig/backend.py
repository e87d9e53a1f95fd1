"""A small application as a process of its own, so that a test can kill it: what routers must cope with.

/health        200, or what PUT /health?status=503 set
/echo          what arrived: method, url, headers, body length, the instance's name
/slow?seconds=1
/redirect?to=/login
/cookies       several Set-Cookie headers
/half          half of the promised body, then the connection is closed; whole on an instance named "good"
/hang          accepts and never answers; answers on an instance named "good"
/cached?control=max-age=1   a counter, to see what is answered from a cache
/first         closes the connection without an answer the first time, answers from then on
/close         closes the connection without an answer after reading the body
/socket        a websocket handshake, then an echo of bytes
"""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

COOKIES = (
    "a=1; Path=/",
    "b=2; path=/deep; HttpOnly",
    "c=3; Expires=Wed, 01 Jan 2031 00:00:00 GMT",
    "d=4; HttpOnly; Path=/shop/x",
    "__Host-e=5; Secure; Path=/",
)


class Application(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60
    name = "backend"
    health = 200
    counts: dict[str, int] = {}  # noqa: RUF012 - one process, one instance
    lock = threading.Lock()

    def handle_any(self) -> None:
        parts = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        with self.lock:
            self.counts[parts.path] = self.counts.get(parts.path, 0) + 1
        action = getattr(self, f"on{parts.path.replace('/', '_')}", None)
        if action is None:
            self.answer(404, {"name": self.name, "url": self.path})
        else:
            action(query, body)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_OPTIONS = do_PATCH = handle_any

    def on_(self, query: dict[str, str], body: bytes) -> None:
        self.answer(200, {"name": self.name, "url": self.path})

    def on_health(self, query: dict[str, str], body: bytes) -> None:
        if self.command == "PUT":
            type(self).health = int(query["status"])
            self.answer(200, {})
        else:
            self.answer(self.health, {"name": self.name})

    def on_counts(self, query: dict[str, str], body: bytes) -> None:
        self.answer(200, self.counts)

    def on_echo(self, query: dict[str, str], body: bytes) -> None:
        headers = {key.lower(): value for key, value in self.headers.items()}
        value = {"name": self.name, "method": self.command, "url": self.path, "headers": headers}
        self.answer(200, {**value, "body": len(body)})

    def on_slow(self, query: dict[str, str], body: bytes) -> None:
        time.sleep(float(query["seconds"]))
        self.answer(200, {"name": self.name})

    def on_redirect(self, query: dict[str, str], body: bytes) -> None:
        self.answer(302, {}, [("Location", query["to"])])

    def on_cookies(self, query: dict[str, str], body: bytes) -> None:
        self.answer(200, {}, [("Set-Cookie", cookie) for cookie in COOKIES])

    def on_cached(self, query: dict[str, str], body: bytes) -> None:
        headers = [("Cache-Control", query["control"])] if "control" in query else []
        headers += [("Set-Cookie", "a=1")] if "cookie" in query else []
        self.answer(
            int(query.get("status", 200)), {"count": self.counts["/cached"], "name": self.name}, headers
        )

    def on_half(self, query: dict[str, str], body: bytes) -> None:
        if self.name == "good":
            self.answer(200, {"name": self.name})
            return
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf of it")
        self.close_connection = True

    def on_hang(self, query: dict[str, str], body: bytes) -> None:
        if self.name != "good":
            time.sleep(8)
        self.answer(200, {"name": self.name})

    def on_first(self, query: dict[str, str], body: bytes) -> None:
        if self.counts["/first"] == 1:
            self.close_connection = True
        else:
            self.answer(200, {"name": self.name})

    def on_close(self, query: dict[str, str], body: bytes) -> None:
        self.close_connection = True

    def on_socket(self, query: dict[str, str], body: bytes) -> None:
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.end_headers()
        self.wfile.write(self.rfile.read(5))
        self.close_connection = True

    def answer(self, status: int, value: object, headers: Sequence[tuple[str, str]] = ()) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for key, text in headers:
            self.send_header(key, text)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


class Backend:
    """A running instance; `port` is where it listens on 127.0.0.1."""

    def __init__(self, name: str = "backend", port: int = 0) -> None:
        self.name = name
        self._process = subprocess.Popen(
            [sys.executable, "-S", __file__, name, str(port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())

    def kill(self) -> None:
        if self._process.returncode is None:
            self._process.kill()
            self._process.communicate()

    @property
    def pid(self) -> int:
        return self._process.pid


def end_with_the_test() -> None:
    """The pipe to standard input closes when the test's process ends, however it ends."""
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    threading.Thread(target=end_with_the_test, daemon=True).start()
    Application.name = sys.argv[1]
    server = Server(("127.0.0.1", int(sys.argv[2])), Application)
    sys.stdout.write(f"{server.server_port}\n")
    sys.stdout.flush()
    server.serve_forever()
