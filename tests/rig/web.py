"""A web server on 127.0.0.1 that serves files and, when told, breaks, stalls, lies and redirects."""

import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Trouble = Callable[["Handler", "Site"], None]


@dataclass
class Site:
    """`files` by path. `troubles` are taken one a request, in order; None is a good answer, as is their end.
    `ranges`: whether parts can be asked for. `requests` holds the path and the Range of each."""

    files: dict[str, bytes] = field(default_factory=dict)
    troubles: list[Trouble | None] = field(default_factory=list)
    ranges: bool = True
    etag: str = '"1"'
    kind: str = "application/octet-stream"
    requests: list[tuple[str, str]] = field(default_factory=list)
    address: str = ""
    released: threading.Event = field(default_factory=threading.Event)
    """Set when the server ends: whoever stalls may go."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    site: Site

    def do_GET(self) -> None:
        site = self.site
        self.close_connection = True
        wanted = self.headers.get("Range", "")
        site.requests.append((self.path, wanted))
        trouble = site.troubles.pop(0) if site.troubles else None
        if trouble:
            trouble(self, site)
        else:
            good(self, site)

    def log_message(self, format: str, *args: object) -> None:
        del format, args


def good(handler: Handler, site: Site, *, cut: int | None = None, length: bool = True) -> int:
    """A right answer; with `cut`, only so many bytes of it. Returns how many bytes it announced."""
    content = site.files.get(handler.path)
    if content is None:
        handler.send_error(404)
        return 0
    start = _start(handler, site)
    body = content[start:]
    if start >= len(content) > 0:
        handler.send_response(416)
        handler.send_header("Content-Range", f"bytes */{len(content)}")
        handler.send_header("Content-Length", "0")
        handler.end_headers()
        return 0
    handler.send_response(206 if start else 200)
    if start:
        handler.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
    handler.send_header("Content-Type", site.kind)
    if length:
        handler.send_header("Content-Length", str(len(body)))
    if site.etag:
        handler.send_header("ETag", site.etag)
    handler.end_headers()
    handler.wfile.write(body if cut is None else body[:cut])
    handler.wfile.flush()
    return len(body)


def _start(handler: Handler, site: Site) -> int:
    match = re.fullmatch(r"bytes=(\d+)-", handler.headers.get("Range", ""))
    if not match or not site.ranges:
        return 0
    condition = handler.headers.get("If-Range", "")
    return int(match[1]) if condition in ("", site.etag) else 0


def breaks(after: int) -> Trouble:
    """Ends the connection after so many bytes of the body."""
    return lambda handler, site: [good(handler, site, cut=after), None][1]


def stalls(after: int) -> Trouble:
    """Sends so many bytes and then nothing."""

    def trouble(handler: Handler, site: Site) -> None:
        good(handler, site, cut=after)
        site.released.wait(60)

    return trouble


def slowly(piece: int, pause: float) -> Trouble:
    """Sends all, piece by piece."""

    def trouble(handler: Handler, site: Site) -> None:
        good(handler, site, cut=0)
        content = site.files[handler.path][_start(handler, site) :]
        for begin in range(0, len(content), piece):
            handler.wfile.write(content[begin : begin + piece])
            handler.wfile.flush()
            time.sleep(pause)

    return trouble


def answers(status: int, **headers: str) -> Trouble:
    def trouble(handler: Handler, site: Site) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return trouble


def without_length(handler: Handler, site: Site) -> None:
    good(handler, site, length=False)


def wrong_part(handler: Handler, site: Site) -> None:
    """Claims to send a part, and sends another."""
    content = site.files[handler.path]
    handler.send_response(206)
    handler.send_header("Content-Range", f"bytes 0-{len(content) - 1}/{len(content)}")
    handler.send_header("Content-Length", str(len(content)))
    handler.end_headers()
    handler.wfile.write(content)


@contextmanager
def serving(site: Site) -> Iterator[Site]:
    """The site at `site.address`, without a slash at its end."""
    handler = type("SiteHandler", (Handler,), {"site": site})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        site.address = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield site
        finally:
            site.released.set()
            server.shutdown()
            thread.join()
