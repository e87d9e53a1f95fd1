"""A stack whose provider is served, over real gRPC, by the test's own process."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.rig.lab_provider import serve
from tests.rig.stack import PASSPHRASE, Stack


@pytest.fixture
def stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stack]:
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", PASSPHRASE)
    monkeypatch.delenv("PULUMI_BACKEND_URL", raising=False)
    stack = Stack(tmp_path)
    server, port = serve(stack.lab)
    monkeypatch.setenv("PULUMI_DEBUG_PROVIDERS", f"lab:{port}")
    yield stack
    server.stop(None)


@pytest.fixture
def plugin_stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stack:
    """A stack whose provider is started by the engine as a plugin process."""
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", PASSPHRASE)
    monkeypatch.delenv("PULUMI_BACKEND_URL", raising=False)
    monkeypatch.delenv("PULUMI_DEBUG_PROVIDERS", raising=False)
    return Stack(tmp_path)
