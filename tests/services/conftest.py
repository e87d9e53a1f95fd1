from collections.abc import Iterator

import pytest

from tests.rig import jail
from tests.rig.lan import Lan, lan


@pytest.fixture(scope="session")
def network() -> Iterator[Lan]:
    """One network in namespaces for all tests of services."""
    reason = jail.missing("ip", "nsenter", "unshare", "setpriv", "dnsmasq", "nc", "ss", "python3")
    if reason:
        pytest.skip(f"network namespaces: {reason}")
    with lan() as made:
        yield made
