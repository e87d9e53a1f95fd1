"""ISOs with Debian's real installer on them, made once and kept in the user's cache."""

from pathlib import Path

import pytest

from tests.rig.netinst.archive import Missing
from tests.rig.netinst.build import build

REASON = "installs a whole Debian in an emulated machine, about half an hour: ./matrix test --iso"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    asked = "iso" in config.getoption("markexpr")
    for item in items:
        if item.get_closest_marker("iso") and not asked:
            item.add_marker(pytest.mark.skip(reason=REASON))


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
