"""Where an application's replicas run: evenly, and so that a change of the nodes moves few of them."""

import hashlib
from collections.abc import Iterable

from config.model import Placement, number


def spread(application: str, replicas: int, nodes: Iterable[str]) -> tuple[Placement, ...]:
    """No node gets two more than another. Which nodes get the odd ones is decided by rendezvous hashing, so
    that each application has an order of its own, and a new node takes only what it wins from the others."""
    names = list(nodes)
    if not names:
        return ()
    rounds, rest = divmod(replicas, len(names))
    favourites = sorted(names, key=lambda node: _score(application, node))[:rest]
    return tuple(
        Placement(node, copy)
        for node in sorted(names, key=number)
        for copy in range(1, rounds + (node in favourites) + 1)
    )


def _score(application: str, node: str) -> bytes:
    return hashlib.sha256(f"{node}/{application}".encode()).digest()
