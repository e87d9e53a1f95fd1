"""A small, bounded HTTP load with several clients that counts what it did not get."""

import http.client
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit


@dataclass
class Load:
    """Clients that ask the URLs in turn, about `rate` requests a second in total, until the context ends.

    Stops by itself after `seconds`. A request fails when the answer is not 200 or takes over `patience`.
    """

    urls: Sequence[str]
    clients: int = 4
    rate: float = 20.0
    seconds: float = 600.0
    patience: float = 30.0
    asked: int = 0
    failures: list[str] = field(default_factory=list)
    slowest: float = 0.0

    def __enter__(self) -> "Load":
        self._stop, self._lock = threading.Event(), threading.Lock()
        self._end = time.monotonic() + self.seconds
        self._threads = [threading.Thread(target=self._client, daemon=True) for _ in range(self.clients)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(self.patience + 5)

    def __str__(self) -> str:
        return f"{self.asked} requests, {len(self.failures)} failed, slowest {self.slowest:.2f} s"

    def _client(self) -> None:
        turn = 0
        while not self._stop.wait(self.clients / self.rate) and time.monotonic() < self._end:
            url = self.urls[turn % len(self.urls)]
            turn += 1
            begin = time.monotonic()
            problem = _ask(url, self.patience)
            took = time.monotonic() - begin
            with self._lock:
                self.asked += 1
                self.slowest = max(self.slowest, took)
                if problem:
                    self.failures.append(f"{time.strftime('%H:%M:%S')} {url}: {problem} after {took:.2f} s")


def _ask(url: str, patience: float) -> str:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=patience)
    try:
        connection.request("GET", parts.path or "/")
        answer = connection.getresponse()
        body = answer.read(300)
        return "" if answer.status == 200 else f"status {answer.status} {body[:120]!r}"
    except (OSError, http.client.HTTPException) as error:
        return repr(error)
    finally:
        connection.close()
