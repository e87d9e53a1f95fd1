"""When a running call is told to stop."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Calls:
    """The calls under way, and the event that tells them the user interrupted.

    The engine calls Cancel on an interrupt, and again at the end of every run, when nothing is under way.
    So a cancel means the calls under way and those that join them; once the last has returned, the next
    call belongs to another run.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running = 0
        self._cancelled = threading.Event()

    @contextmanager
    def call(self) -> Iterator[threading.Event]:
        with self._lock:
            self._running += 1
            cancelled = self._cancelled
        try:
            yield cancelled
        finally:
            with self._lock:
                self._running -= 1
                if not self._running and self._cancelled.is_set():
                    self._cancelled = threading.Event()

    def cancel(self) -> None:
        with self._lock:
            if self._running:
                self._cancelled.set()
