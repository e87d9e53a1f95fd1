"""BaseImage: its life over the real wire on an image that another stack made; its rules without one."""

import hashlib
import threading
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from provider.errors import UserError
from provider.images import recipe
from provider.images.cache import Cache
from provider.images.fetch import fetch
from provider.images.usage import Usage
from provider.resources import base_image
from provider.resources.base import UNKNOWN, Context, Failure
from provider.resources.base_image import BaseImageResource
from tests.rig import lifecycle
from tests.rig.lifecycle import Case
from tests.rig.plugin import Plugin, State, running
from tests.rig.web import Site, answers, serving

SOURCE = {"from": "packages", "release": "trixie"}


def context(tmp_path: Path, said: list[str] | None = None) -> Context:
    lines = said if said is not None else []
    return Context("dev", "base-image", tmp_path, lines.append, threading.Event())


def small_image(folder: Path, source: Mapping[str, Any], lock: int, context: Context) -> None:
    del lock
    context.progress("making")
    (folder / recipe.DISK).write_text(f"a disk from {source['release']}")


def from_file(folder: Path, source: Mapping[str, Any], lock: int, context: Context) -> None:
    """What every builder from a file does first: the rest is theirs."""
    file = fetch(source, context.progress, context.cancelled)
    (folder / recipe.DISK).write_bytes(file.read_bytes())


@pytest.fixture
def handler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BaseImageResource:
    """The handler with a cache of its own and a quick builder: what is under test is all but the building."""
    monkeypatch.setattr(
        base_image, "BUILDERS", {"packages": small_image, "iso": from_file, "cloud": from_file}
    )
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


CONTENT = b"an image of a disk"
SUM = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Site]:
    """Where a cloud image is published with its sum; the cache is the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serving(Site({"/a.qcow2": CONTENT, "/SHA256SUMS": f"{SUM}  a.qcow2\n".encode()})) as site:
        yield site


def published(site: Site) -> dict[str, Any]:
    return {"from": "cloud", "url": f"{site.address}/a.qcow2", "sha256": f"{site.address}/SHA256SUMS"}


def checked(
    handler: BaseImageResource,
    tmp_path: Path,
    source: Mapping[str, Any],
    old: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    inputs, failures = handler.check(replace(context(tmp_path), old=old or {}), {"source": source})
    assert failures == []
    return inputs


def test_a_published_sum_is_read_once_and_stays(
    handler: BaseImageResource, tmp_path: Path, site: Site
) -> None:
    """So that an unchanged stack needs no network, and no publisher replaces its machines."""
    inputs = checked(handler, tmp_path, published(site))
    assert inputs == {"source": published(site), "recipe": recipe.digest("cloud"), "source_digest": SUM}
    made = handler.create(context(tmp_path), inputs)
    assert Path(made.outputs["path"]).read_bytes() == CONTENT
    site.requests.clear()
    site.files["/SHA256SUMS"] = f"{'0' * 64}  a.qcow2\n".encode()
    assert checked(handler, tmp_path, published(site), inputs) == inputs
    assert site.requests == []
    changed = {**published(site), "sha256": f"{site.address}/./SHA256SUMS"}
    site.files["/./SHA256SUMS"] = site.files["/SHA256SUMS"]
    new = checked(handler, tmp_path, changed, inputs)
    assert new["source_digest"] == "0" * 64
    assert handler.replaced_by(inputs, new) == {"source_digest"}


def test_sums_that_cannot_be_had_are_a_failure_of_the_first_preview(
    handler: BaseImageResource, tmp_path: Path, site: Site
) -> None:
    site.troubles = [answers(404)]
    _, failures = handler.check(context(tmp_path), {"source": published(site)})
    assert failures == [
        Failure(
            f"base.sha256: {site.address}/SHA256SUMS cannot be read: the server answered 404 Not Found; "
            "check the address and the network, or give the 64 hex digits themselves"
        )
    ]


def test_the_address_is_no_part_of_the_image(handler: BaseImageResource, tmp_path: Path, site: Site) -> None:
    inputs = checked(handler, tmp_path, published(site))
    made = handler.create(context(tmp_path), inputs)
    own = tmp_path / "own.qcow2"
    own.write_bytes(CONTENT)
    for source in (
        {"from": "cloud", "path": "own.qcow2"},
        {"from": "cloud", "path": str(own), "sha256": SUM},
    ):
        other = checked(handler, tmp_path, source, inputs)
        assert handler.replaced_by(inputs, other) == set()
        assert handler.update(context(tmp_path), made.identifier, inputs, other) == made.outputs
        found = handler.read(context(tmp_path), made.identifier, other, {})
        assert found is not None
        assert found.inputs == other
    iso = checked(handler, tmp_path, {**published(site), "from": "iso"}, inputs)
    assert handler.replaced_by(inputs, iso) == {"source", "recipe"}


def test_a_changed_file_replaces_the_image_and_a_missing_one_does_not(
    handler: BaseImageResource, tmp_path: Path, site: Site
) -> None:
    own, source = tmp_path / "own.qcow2", {"from": "cloud", "path": "own.qcow2"}
    own.write_bytes(CONTENT)
    inputs = checked(handler, tmp_path, source)
    handler.create(context(tmp_path), inputs)
    own.unlink()
    assert checked(handler, tmp_path, source, inputs) == inputs
    own.write_bytes(b"another")
    new = checked(handler, tmp_path, source, inputs)
    assert handler.replaced_by(inputs, new) == {"source_digest"}
    assert handler.preview(context(tmp_path), new) == {"format": "qcow2", "disk_size": 8}


def test_a_missing_file_is_a_failure_of_the_first_preview(handler: BaseImageResource, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    need = "need the path of a file; a relative one begins in the project's folder"
    for source, reason in (
        ({"from": "iso", "path": "gone.iso"}, f"{tmp_path}/gone.iso does not exist"),
        ({"from": "iso", "path": "gone.iso", "sha256": SUM}, f"{tmp_path}/gone.iso does not exist"),
        ({"from": "cloud", "path": "folder"}, f"{tmp_path}/folder is a folder"),
    ):
        _, failures = handler.check(context(tmp_path), {"source": source})
        assert failures == [Failure(f"base.path: {reason}; {need}")]


def test_preview_says_which_machines_a_new_image_replaces(site: Site, tmp_path: Path) -> None:
    """Over the wire, as an engine asks: the new image's id is unknown, so each machine is made anew."""
    project = tmp_path / "project"
    project.mkdir()
    own = project / "own.qcow2"
    own.write_bytes(CONTENT)
    urn, machine_urn = Plugin.urn("BaseImage", "base-image"), Plugin.urn("VirtualMachine", "node2-vm")
    with running(project) as plugin:
        inputs, _ = plugin.check(urn, {"source": {"from": "cloud", "path": "own.qcow2"}})
        image = State("old", inputs, {**inputs, "path": "/cache/old/disk.qcow2"})
        machine = {"hostname": "node2", "image": {"id": "old", "path": "/cache/old/disk.qcow2"}}
        made = State("uuid", machine, machine)
        assert plugin.diff(urn, image, inputs).changed == []

        own.write_bytes(b"another disk")
        new, _ = plugin.check(urn, {"source": {"from": "cloud", "path": "own.qcow2"}}, olds=inputs)
        assert plugin.diff(urn, image, new).replaces == ["source_digest"]
        known = plugin.preview(urn, new)
        assert {"id", "path"}.isdisjoint(known)
        found = plugin.diff(machine_urn, made, {**machine, "image": {"id": UNKNOWN, "path": UNKNOWN}})
        assert found.replaces == ["image"]
        elsewhere = {**machine, "image": {"id": "old", "path": "/elsewhere/disk.qcow2"}}
        assert plugin.diff(machine_urn, made, elsewhere).replaces == []


def test_who_uses_an_image_is_noted_from_its_creation_to_its_deletion(
    handler: BaseImageResource, tmp_path: Path
) -> None:
    inputs, _ = handler.check(context(tmp_path), {"source": SOURCE})
    made, usage = handler.create(context(tmp_path), inputs), Usage(tmp_path / "images")
    assert [user.stack for user in usage.noted(made.identifier)] == ["dev"]
    handler.delete(context(tmp_path), made.identifier, {})
    assert usage.noted(made.identifier) == []
    handler.read(context(tmp_path), made.identifier, inputs, {})
    assert [user.project for user in usage.noted(made.identifier)] == [tmp_path]
    usage.forget(made.identifier)
    handler.check(replace(context(tmp_path), old=inputs), {"source": SOURCE})
    assert [user.stack for user in usage.noted(made.identifier)] == ["dev"]


def test_a_failed_build_is_not_noted(
    handler: BaseImageResource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any) -> None:
        raise UserError("no network")

    monkeypatch.setattr(base_image, "BUILDERS", {"packages": fails})
    inputs, _ = handler.check(context(tmp_path), {"source": SOURCE})
    with pytest.raises(UserError, match="no network"):
        handler.create(context(tmp_path), inputs)
    assert Usage(tmp_path / "images").projects() == set()


def test_packages_are_refused_where_they_cannot_be_unpacked(
    handler: BaseImageResource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.platform", "darwin")
    reason = (
        "base.from: packages can be unpacked on Linux alone; "
        "set base to an installer ISO (from: iso) or a cloud image (from: cloud)"
    )
    inputs, failures = handler.check(context(tmp_path), {"source": SOURCE})
    assert failures == [Failure(reason)]
    handler.create(context(tmp_path), inputs)
    assert handler.check(context(tmp_path), {"source": SOURCE}) == (inputs, [])


def test_over_the_wire_the_sum_of_the_state_is_kept(site: Site, tmp_path: Path) -> None:
    """The engine hands the old inputs to check: what is published now is not looked at."""
    case = Case("BaseImage", {"source": published(site)}, name="base-image")
    project = tmp_path / "project"
    project.mkdir()
    with running(project) as plugin:
        inputs, failures = plugin.check(case.urn, case.inputs)
        assert failures == []
        assert inputs["source_digest"] == SUM
        site.files.clear()
        assert plugin.check(case.urn, case.inputs, olds=inputs) == (inputs, [])
        moved = {"source": {**published(site), "url": f"{site.address}/b.qcow2"}}
        _, failures = plugin.check(case.urn, moved, olds=inputs)
        assert [failure[:13] for failure in failures] == ["base.sha256: "]


def test_a_file_that_is_no_installer_is_told_at_preview(handler: BaseImageResource, tmp_path: Path) -> None:
    (tmp_path / "own.iso").write_bytes(CONTENT)
    _, failures = handler.check(context(tmp_path), {"source": {"from": "iso", "path": "own.iso"}})
    assert failures == [
        Failure(
            "own.iso: is not an ISO image; base.from: iso needs an installer's ISO, "
            "and a disk image (qcow2, raw, vmdk) needs from: cloud"
        )
    ]
