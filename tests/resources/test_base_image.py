"""BaseImage: its life over the real wire on an image that another stack made; its rules without one."""

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from provider.errors import UserError
from provider.images import recipe
from provider.images.cache import Cache
from provider.resources import base_image
from provider.resources.base import UNKNOWN, Context, Failure
from provider.resources.base_image import BaseImageResource
from tests.rig import lifecycle
from tests.rig.lifecycle import Case
from tests.rig.plugin import running

SOURCE = {"from": "packages", "release": "trixie"}


def context(tmp_path: Path, said: list[str] | None = None) -> Context:
    lines = said if said is not None else []
    return Context("dev", "base-image", tmp_path, lines.append, threading.Event())


def small_image(folder: Path, source: Mapping[str, Any], lock: int, context: Context) -> None:
    del lock
    context.progress("making")
    (folder / recipe.DISK).write_text(f"a disk from {source['release']}")


@pytest.fixture
def handler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BaseImageResource:
    """The handler with a cache of its own and a quick builder: what is under test is all but the building."""
    monkeypatch.setattr(base_image, "BUILDERS", {"packages": small_image})
    return BaseImageResource(Cache(tmp_path / "images"))


def test_contract(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    spec = {**SOURCE, "recipe": recipe.digest()}
    made_before = Cache(tmp_path / "cache/cloudmatrix/images").ensure(
        spec,
        recipe.DISK_GIB,
        lambda folder, lock: small_image(folder, SOURCE, lock, context(tmp_path)),
        lambda _: None,
        threading.Event(),
    )
    case = Case("BaseImage", {"source": SOURCE}, name="base-image", unknown="source")
    project = tmp_path / "project"
    project.mkdir()
    with running(project) as plugin:
        inputs = lifecycle.checks_alike(plugin, case)
        lifecycle.previews_the_unknown(plugin, case, inputs)
        made = lifecycle.creates(plugin, case, inputs)
        assert made.identifier == made_before.identifier
        lifecycle.reads_what_it_made(plugin, case, made)
        lifecycle.imports(plugin, case, made)
        plugin.delete(case.urn, made)
        plugin.delete(case.urn, made)
        assert made_before.disk.is_file(), "other stacks may use it"


CHECKED = [
    ({}, ["source: got nothing; need a mapping such as {from: packages}"]),
    ({"source": {}}, []),
    ({"source": SOURCE}, []),
    ({"source": UNKNOWN}, []),
    ({"source": {"from": "packages", "release": UNKNOWN}}, []),
    ({"source": {**SOURCE, "mirror": "file:///srv/debian"}}, []),
    ({"source": {"from": "usb"}}, ['source.from: got "usb"; need packages, iso, cloud']),
    ({"source": {"from": "iso"}}, ["source: got neither; need exactly one of url and path"]),
    (
        {"source": {"from": "iso", "path": "a.iso", "url": "ftp://h/a", "release": "trixie"}},
        [
            "source.release: unknown key with from: iso; need one of from, mirror, path, sha256, url",
            "source: got url and path; need exactly one of url and path",
            'source.url: got "ftp://h/a"; need an http or https address',
            "source.sha256: got nothing; need 64 hex digits, or the address or path of a SHA256SUMS file",
        ],
    ),
    ({"source": {"from": "cloud", "url": UNKNOWN, "sha256": "00" * 32}}, []),
    ({"source": {"from": "cloud", "url": "http://h.example/a.img", "sha256": "00" * 32}}, []),
    ({"source": {"release": "buster"}}, ['source.release: got "buster"; need trixie']),
    ({"source": {"mirror": "debian"}}, ['source.mirror: got "debian"; need a URL; try http://…/debian']),
    (
        {"source": {"relase": "x"}},
        ["source.relase: unknown key with from: packages; need one of from, mirror, release"],
    ),
]


@pytest.mark.parametrize(("inputs", "reasons"), CHECKED)
def test_check(inputs: dict[str, Any], reasons: list[str], tmp_path: Path) -> None:
    _, failures = BaseImageResource().check(context(tmp_path), inputs)
    assert failures == [Failure(reason) for reason in reasons]


def test_check_completes_the_source_and_adds_the_recipe(tmp_path: Path) -> None:
    inputs, _ = BaseImageResource().check(context(tmp_path), {"source": {}})
    assert inputs == {"source": SOURCE, "recipe": recipe.digest()}


REPLACED = [
    ({}, {}, set()),
    ({}, {"recipe": "2"}, {"recipe"}),
    ({}, {"source": {**SOURCE, "release": "forky"}}, {"source"}),
    ({}, {"source": {**SOURCE, "mirror": "http://m.example"}}, set()),
    ({}, {"source": UNKNOWN}, {"source"}),
]


@pytest.mark.parametrize(("before", "after", "keys"), REPLACED)
def test_what_replaces_it(before: dict[str, Any], after: dict[str, Any], keys: set[str]) -> None:
    inputs = {"source": SOURCE, "recipe": "1"}
    assert BaseImageResource().replaced_by({**inputs, **before}, {**inputs, **after}) == keys


def test_preview_knows_what_is_in_the_cache(handler: BaseImageResource, tmp_path: Path) -> None:
    inputs, _ = handler.check(context(tmp_path), {"source": SOURCE})
    assert handler.preview(context(tmp_path), inputs) == {"format": "qcow2", "disk_size": 8}
    made = handler.create(context(tmp_path), inputs)
    assert handler.preview(context(tmp_path), inputs) == made.outputs
    assert handler.preview(context(tmp_path), {**inputs, "source": {**SOURCE, "release": UNKNOWN}}) == {}


def test_create_shows_stages_and_a_second_finds_it(handler: BaseImageResource, tmp_path: Path) -> None:
    said: list[str] = []
    inputs, _ = handler.check(context(tmp_path), {"source": SOURCE})
    made = handler.create(context(tmp_path, said), inputs)
    assert said == ["making"]
    assert handler.create(context(tmp_path, said), inputs) == made
    assert said == ["making"]
    assert Path(made.outputs["path"]).read_text() == "a disk from trixie"


def test_the_mirror_is_no_part_of_the_id(handler: BaseImageResource, tmp_path: Path) -> None:
    plain, _ = handler.check(context(tmp_path), {"source": SOURCE})
    other, _ = handler.check(context(tmp_path), {"source": {**SOURCE, "mirror": "http://m.example/debian"}})
    made = handler.create(context(tmp_path), plain)
    assert handler.create(context(tmp_path), other).identifier == made.identifier
    assert handler.update(context(tmp_path), made.identifier, plain, other) == made.outputs
    found = handler.read(context(tmp_path), made.identifier, other, {})
    assert found is not None
    assert found.inputs == other


def test_a_damaged_image_is_gone_to_a_refresh_and_an_error_to_create(
    handler: BaseImageResource, tmp_path: Path
) -> None:
    inputs, _ = handler.check(context(tmp_path), {"source": SOURCE})
    for reading in (True, False):
        made = handler.create(context(tmp_path), inputs)
        disk = Path(made.outputs["path"])
        disk.chmod(0o644)
        disk.write_text("short")
        if reading:
            said: list[str] = []
            assert handler.read(context(tmp_path, said), made.identifier, inputs, {}) is None
            assert "is damaged: disk.qcow2: expected sha256 " in said[0]
        else:
            with pytest.raises(UserError, match=r"is damaged: disk\.qcow2: expected sha256 .* \(5 bytes\)"):
                handler.create(context(tmp_path), inputs)
