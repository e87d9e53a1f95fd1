"""What holds for all tests: the quick ones run first, so that a mistake shows early."""

import pytest

pytest.register_assert_rewrite("tests.rig.image_checks", "tests.rig.image_disk")

RANKS = ("slow", "guest", "cloud")
"""Markers, in the order in which their tests run; what has none runs before them."""
TOO_LONG = "makes an image in an emulated machine, about twenty minutes: ./matrix test --iso"


def rank(item: pytest.Item) -> int:
    return max(
        (RANKS.index(marker.name) + 1 for marker in item.iter_markers() if marker.name in RANKS), default=0
    )


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    asked = "iso" in config.getoption("markexpr")
    for item in items:
        if item.get_closest_marker("iso") and not asked:
            item.add_marker(pytest.mark.skip(reason=TOO_LONG))
    items.sort(key=rank)
