"""One real cloud, raised once; the tests of this folder share it and run in the order of their names."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.rig.cloud import Cloud

PATIENCE = 2400
"""Seconds for one test: the first one makes the base image and raises the whole cloud."""
NEEDED = ("qemu-system-x86_64", "mmdebstrap", "buildah")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(item.path).parent == Path(__file__).parent:
            item.add_marker(pytest.mark.cloud)
            item.add_marker(pytest.mark.timeout(PATIENCE))


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    if os.geteuid() != 0 and (missing := [tool for tool in NEEDED if shutil.which(tool) is None]):
        pytest.skip(f"not installed: {', '.join(missing)}; run ./matrix up once, or install them")
    # While working on a test: keep the cloud in this folder from one run to the next.
    kept = os.environ.get("CLOUDMATRIX_KEEP")
    made = Cloud(Path(kept) if kept else tmp_path_factory.mktemp("cloud") / "cloudmatrix")
    made.write_settings()
    yield made
    if not kept:
        made.matrix("destroy", "--yes", check=False)
