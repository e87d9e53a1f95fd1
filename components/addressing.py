"""Addresses that follow from names alone, so that they are the same on every run."""

import hashlib

PREFIX = "52:54:00"
"""Locally administered, and no maker's."""


def mac(stack: str, host: str, card: str) -> str:
    """The hardware address of a host's `card` ("nat" or "internal"), lower case."""
    digest = hashlib.sha256(f"{stack}/{host}/{card}".encode()).digest()
    return ":".join([PREFIX, *(f"{byte:02x}" for byte in digest[:3])])
