from collections.abc import Iterator

import pytest

from tests.rig.backend import Backend
from tests.rig.router import MISSING, Router


@pytest.fixture(scope="module")
def router(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Router]:
    """One real router for a whole test file: each test has applications of its own on it."""
    if MISSING:
        pytest.skip(f"not installed: {', '.join(MISSING)}")
    with Router(tmp_path_factory.mktemp("router")) as router:
        yield router


@pytest.fixture
def backends() -> Iterator["Backends"]:
    made = Backends()
    yield made
    made.kill()


class Backends:
    """Starts instances and ends those that a test left running."""

    def __init__(self) -> None:
        self._made: list[Backend] = []

    def __call__(self, *names: str) -> list[Backend]:
        started = [Backend(name) for name in names]
        self._made += started
        return started

    def kill(self) -> None:
        for backend in self._made:
            backend.kill()
