"""One file over HTTP into a partial file that survives: a broken transfer goes on where it stopped."""

import errno
import http.client
import json
import os
import re
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from provider.errors import Cancelled, UserError
from provider.images import web
from provider.images.web import WebError

CHUNK = 1 << 18
MARGIN = 64 << 20
"""Bytes of the disk that stay free."""
MB = 1_000_000


@dataclass(frozen=True)
class Patience:
    """`stall`: seconds without a byte that count as a break. `tries`: breaks in a row that bring nothing new.
    `pause`: seconds before the first new try, doubled for each further one."""

    stall: float = 30.0
    tries: int = 3
    pause: float = 1.0


@dataclass
class Download:
    """A file on its way. `part` grows; `part`'s note says what it is a part of."""

    address: str
    part: Path
    progress: Callable[[str], None]
    cancelled: threading.Event
    patience: Patience = field(default_factory=Patience)
    size: int | None = None
    """Bytes of the whole file, once a server has told it."""

    @property
    def name(self) -> str:
        return web.file_name(self.address)

    @property
    def note(self) -> Path:
        return self.part.with_name(self.part.name + ".json")

    def run(self) -> bool:
        """Complete the partial file; True when it is put together from several transfers. UserError: it
        cannot be had; what has come is kept for the next run, unless the disk is full."""
        resumed, fruitless = self._have() > 0, 0
        if resumed and self._have() == self._noted().get("size"):
            return True
        while True:
            before = self._have()
            try:
                self._once()
                return resumed
            except WebError as error:
                if self.cancelled.is_set():
                    raise Cancelled(f"{self.name}: fetching was interrupted; {self._kept()}") from None
                fruitless = 0 if self._have() > before else fruitless + 1
                if error.lasting or fruitless >= self.patience.tries:
                    raise UserError(self._failure(error)) from None
                resumed = resumed or self._have() > 0
                self.progress(f"{error}; trying again")
            except OSError as error:
                raise self._disk_failure(error) from None
            if self.cancelled.wait(self.patience.pause * 2 ** max(fruitless - 1, 0)):
                raise Cancelled(f"{self.name}: fetching was interrupted; {self._kept()}")

    def forget(self) -> None:
        """Remove the part and its note."""
        self.part.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)

    def _once(self) -> None:
        """One transfer to the end of the file. WebError: it broke; OSError: the disk refuses."""
        try:
            response = web.open_address(self.address, self.patience.stall, self._wishes())
        except WebError as error:
            if error.status == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and self._have():
                self.forget()  # it is no part of what is there now
                raise WebError("the file has changed", status=error.status) from None
            raise
        with response, self._stopped_by_cancel(response):
            start = self._begin(response)
            with self.part.open("r+b" if start else "wb") as file:
                if start:
                    file.truncate(start)
                    file.seek(start)
                for chunk in self._chunks(response, start):
                    file.write(chunk)
        if self.size is not None and self._have() != self.size:
            raise WebError("the connection broke")

    def _wishes(self) -> dict[str, str]:
        have = self._have()
        if not have:
            return {}
        noted = self._noted()
        # Another mirror has other validators; whether the parts fit, the sum will tell.
        validator = noted.get("validator") if noted.get("address") == self.address else None
        return {"Range": f"bytes={have}-", **({"If-Range": validator} if validator else {})}

    def _begin(self, response: http.client.HTTPResponse) -> int:
        """Where in the file this answer begins; notes what it is a part of."""
        if "html" in (kind := response.headers.get_content_type()):
            raise WebError(f"the server answers with a page ({kind}) instead of a file", lasting=True)
        length = response.headers.get("Content-Length", "")
        start, self.size = 0, int(length) if length.isdecimal() else None
        if response.status == http.HTTPStatus.PARTIAL_CONTENT:
            span = re.fullmatch(
                r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", "").strip()
            )
            if span is None or int(span[1]) != self._have():
                self.forget()
                raise WebError("the server sent another part than was asked for")
            start, self.size = int(span[1]), None if span[2] == "*" else int(span[2])
        self._check_space(start)
        etag, modified = response.headers.get("ETag", ""), response.headers.get("Last-Modified", "")
        strong = "" if etag.startswith("W/") else etag
        noted = {"address": self.address, "validator": strong or modified, "size": self.size}
        self.note.write_text(json.dumps(noted))
        return start

    def _check_space(self, have: int) -> None:
        free = shutil.disk_usage(self.part.parent).free
        if self.size is not None and self.size - have + MARGIN > free:
            raise UserError(
                f"base image: {self.name} has {_mb(self.size)}, of which {_mb(self.size - have)} are to be "
                f"fetched, and {self.part.parent} has {_mb(free)} free; "
                "free some, or set XDG_CACHE_HOME to a folder with more room"
            )

    def _chunks(self, response: http.client.HTTPResponse, start: int) -> Iterator[bytes]:
        meter = Meter(self.name, start, self.size)
        while True:
            try:
                chunk = response.read1(CHUNK)
            except TimeoutError:
                raise WebError(f"no byte came for {self.patience.stall:g} s") from None
            except (OSError, ValueError, http.client.HTTPException) as error:
                raise web.explained(error) from None
            if self.cancelled.is_set():
                raise WebError("interrupted")
            if not chunk:
                return
            yield chunk
            if text := meter.count(len(chunk)):
                self.progress(text)

    @contextmanager
    def _stopped_by_cancel(self, response: http.client.HTTPResponse) -> Iterator[None]:
        """A read that waits for bytes ends when the user interrupts: its connection is shut."""
        done = threading.Event()
        with socket.fromfd(response.fileno(), socket.AF_INET, socket.SOCK_STREAM) as connection:

            def watch() -> None:
                while not done.wait(0.2):
                    if self.cancelled.is_set():
                        with suppress(OSError):
                            connection.shutdown(socket.SHUT_RDWR)
                        return

            thread = threading.Thread(target=watch, daemon=True)
            thread.start()
            try:
                yield
            finally:
                done.set()
                thread.join()

    def _have(self) -> int:
        return self.part.stat().st_size if self.part.is_file() else 0

    def _noted(self) -> Mapping[str, Any]:
        try:
            noted: dict[str, Any] = json.loads(self.note.read_text())
        except (OSError, ValueError):
            return {}
        return noted

    def _kept(self) -> str:
        have = self._have()
        if not have:
            self.forget()
            return "nothing had come"
        of = f" of {_mb(self.size)}" if self.size else ""
        return f"{_mb(have)}{of} are kept, and the next run goes on from there"

    def _failure(self, error: WebError) -> str:
        advice = "check base.url" if error.lasting else "check the network and run again"
        return f"base image: {self.address} cannot be fetched: {error}; {self._kept()}; {advice}"

    def _disk_failure(self, error: OSError) -> UserError:
        folder = self.part.parent
        self.forget()
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            of = f" of {_mb(self.size)}" if self.size else ""
            return UserError(
                f"base image: no space is left in {folder} for {self.name}{of}; what had come was removed; "
                "free some, or set XDG_CACHE_HOME to a folder with more room"
            )
        return UserError(
            f"base image: {self.name} cannot be written to {folder}: {error.strerror}; check its rights"
        )


class Meter:
    """Tells how far a transfer is, once a second at most, and changes only."""

    def __init__(self, name: str, have: int, size: int | None) -> None:
        self._name, self._have, self._size = name, have, size
        self._began = self._told = time.monotonic()
        self._fetched = 0

    def count(self, length: int) -> str:
        """A line after `length` more bytes, "" when none is due."""
        self._have += length
        self._fetched += length
        now = time.monotonic()
        if now - self._told < 1.0 and self._have != self._size:
            return ""
        self._told = now
        rate = self._fetched / max(now - self._began, 0.001)
        done = f"{self._have * 100 // self._size} % of {_mb(self._size)}" if self._size else _mb(self._have)
        return f"fetching {self._name}: {done}, {rate / MB:.1f} MB/s"


def _mb(size: int) -> str:
    """Decimal, as the distributions' sites and file managers show sizes."""
    if size >= 10_000 * MB:
        return f"{size / 1000 / MB:.1f} GB"
    return f"{size / MB:.1f} MB" if size >= MB // 10 else f"{size} bytes"


def keep(part: Path, target: Path) -> None:
    """Make a complete part the file itself, on disk before it counts."""
    with part.open("rb+") as file:
        os.fsync(file.fileno())
    part.chmod(0o444)
    target.parent.mkdir(parents=True, exist_ok=True)
    part.replace(target)
