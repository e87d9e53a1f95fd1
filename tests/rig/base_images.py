"""Base images, made by the product or found in the user's cache; skips a test that lacks what makes them."""

import threading
from pathlib import Path

import pytest

from provider.errors import UserError
from provider.images import recipe
from provider.images.cache import Cache, Image
from provider.images.requirements import check_keyring, check_tools, check_user
from provider.mirrors import machine_mirror, offered
from provider.resources.base import Context
from provider.resources.base_image import BaseImageResource


def packages_image(folder: Path) -> Image:
    return _made(folder, BaseImageResource(), {"from": "packages"})


def cloud_image(folder: Path, file: Path, sha256: str) -> Image:
    """Made anew, in a cache of its own in `folder`."""
    source = {"from": "cloud", "path": str(file), "sha256": sha256}
    return _made(folder, BaseImageResource(Cache(folder / "images")), source)


def _made(folder: Path, handler: BaseImageResource, source: dict[str, str]) -> Image:
    context = Context("dev", "base-image", folder, print, threading.Event())
    try:
        mirror = machine_mirror().main
    except UserError as error:
        pytest.skip(str(error))
    inputs, failures = handler.check(context, {"source": {**source, "mirror": mirror}})
    assert failures == []
    if "path" not in handler.preview(context, inputs) and source["from"] == "packages":
        _skip_without_tools()
    found = handler._cache.find(handler.create(context, inputs).identifier)
    assert found is not None
    return found


def _skip_without_tools() -> None:
    try:
        check_tools()
        check_user()
        check_keyring(recipe.RELEASE)
        offered(machine_mirror(), recipe.RELEASE)
    except UserError as error:
        pytest.skip(str(error))
