"""ISOs with Debian's real installer on them, made once and kept in the user's cache."""

from pathlib import Path

import pytest

from tests.rig.netinst.archive import Missing
from tests.rig.netinst.build import build


@pytest.fixture(scope="session")
def netinst() -> Path:
    """A netinst that can install."""
    return _made(whole=True)


@pytest.fixture(scope="session")
def short_netinst() -> Path:
    """A netinst that comes as far as the network."""
    return _made(whole=False)


def _made(whole: bool) -> Path:
    try:
        return build(whole)
    except Missing as error:
        pytest.skip(str(error))
