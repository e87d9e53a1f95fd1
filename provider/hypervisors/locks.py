"""One lock a machine, shared by all drivers of this process."""

import threading
from collections import defaultdict

_guard = threading.Lock()
_locks: defaultdict[str, threading.RLock] = defaultdict(threading.RLock)


def lock(name: str) -> threading.RLock:
    with _guard:
        return _locks[name]
