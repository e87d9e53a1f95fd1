"""Real components that a test needs: without them it is skipped, and the reason says which."""

import shutil

import pytest


def needs(*programs: str) -> None:
    missing = [name for name in programs if shutil.which(name) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")
