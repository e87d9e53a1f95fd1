"""Waiting in tests for what happens soon."""

import time
from typing import Any


def wait_until(condition: Any, seconds: float = 10.0) -> None:
    """Raises AssertionError when the condition does not become true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.05)
