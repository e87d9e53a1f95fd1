"""Application images by a real builder into a real registry; only the tunnel to it is left out."""

import dataclasses
import json
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from provider import ssh
from provider.containers import builder, push
from provider.containers.registry import Registry, Unavailable
from provider.errors import Cancelled, UserError
from provider.resources.application_image import ApplicationImageResource
from provider.resources.base import UNKNOWN, Context, Failure
from tests.rig import building
from tests.rig.container_registry import RealRegistry, certificates, container_registry
from tests.rig.local_host import LocalHost

pytestmark = pytest.mark.slow
IMAGES = ApplicationImageResource()


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealRegistry]:
    with container_registry(tmp_path_factory.mktemp("registry")) as real:
        yield real


@pytest.fixture
def shown() -> list[str]:
    return []


@pytest.fixture
def context(tmp_path: Path, shown: list[str], monkeypatch: pytest.MonkeyPatch) -> Context:
    monkeypatch.setattr(ssh, "connect", lambda connection: LocalHost())
    monkeypatch.setattr(builder, "cache_folder", lambda: building.CACHE)
    return Context("dev", "shop-image", tmp_path, shown.append, threading.Event(), timeout=20)


def inputs(registry: RealRegistry, **origin: str) -> dict[str, Any]:
    return {
        "repository": "shop",
        "connection": {"host": "manager"},
        "machine": "first",
        "registry": dict(registry.wire),
        **origin,
    }


def checked(context: Context, given: dict[str, Any]) -> dict[str, Any]:
    result, failures = IMAGES.check(context, given)
    assert failures == []
    return result


@contextmanager
def opened(registry: RealRegistry) -> Iterator[Registry]:
    with Registry(registry.wire, registry.port) as client:
        yield client


def test_build_push_read_delete_twice(context: Context, registry: RealRegistry, shown: list[str]) -> None:
    building.a_builder()
    building.write_source(context.project / "app")
    given = checked(context, inputs(registry, source="app"))
    made = IMAGES.create(context, given)
    digest = made.outputs["digest"]
    assert made.identifier == f"shop@{digest}"
    assert made.outputs["reference"] == f"manager.matrix:{registry.port}/shop@{digest}"
    assert shown[0] == "building"
    assert "waiting for the registry" in shown
    found = IMAGES.read(context, made.identifier, given, {**given, **made.outputs})
    assert found is not None
    assert (found.inputs, found.outputs) == (given, made.outputs)
    for _ in range(2):
        IMAGES.delete(context, made.identifier, {**given, **made.outputs})
        assert IMAGES.read(context, made.identifier, given, {**given, **made.outputs}) is None


def test_what_is_pushed_is_what_was_built(context: Context, registry: RealRegistry, tmp_path: Path) -> None:
    """An independent program copies it out of the registry, with TLS and password checked."""
    if shutil.which("skopeo") is None:
        pytest.skip("not installed: skopeo")
    building.a_builder()
    building.write_source(context.project / "app", "a page")
    made = IMAGES.create(context, checked(context, inputs(registry, source="app")))
    (tmp_path / "certs").mkdir()
    (tmp_path / "certs/ca.crt").write_text(registry.wire["ca"])
    login = f"--src-creds=matrix:{registry.wire['password']}"
    where = f"docker://127.0.0.1:{registry.port}/shop@{made.outputs['digest']}"
    argv = ["skopeo", "copy", "-q", login, f"--src-cert-dir={tmp_path}/certs", where, f"dir:{tmp_path}/copy"]
    subprocess.run(argv, check=True, timeout=60)
    manifest = json.loads((tmp_path / "copy/manifest.json").read_text())
    config = json.loads(
        (tmp_path / "copy" / manifest["config"]["digest"].removeprefix("sha256:")).read_text()
    )
    assert config["config"]["User"] == "10001"
    assert config["created"].startswith("1970-01-01T00:00:00")
    assert len(manifest["layers"]) == len(config["rootfs"]["diff_ids"])


def test_the_same_source_gives_the_same_digest_elsewhere(
    context: Context, registry: RealRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another folder, other file times and an empty store: as if on another computer."""
    building.a_builder()
    building.write_source(context.project / "app", "a page")
    first = IMAGES.create(context, checked(context, inputs(registry, source="app")))
    monkeypatch.setattr(builder, "cache_folder", lambda: tmp_path / "another cache")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    building.write_source(context.project / "other", "a page")
    second = IMAGES.create(context, checked(context, inputs(registry, source="other")))
    assert second.identifier == first.identifier


def test_an_image_stays_while_another_resource_needs_it(context: Context, registry: RealRegistry) -> None:
    """A changed comment makes a new resource with the same image; the old one is deleted after it."""
    building.a_builder()
    folder = building.write_source(context.project / "app", "kept")
    old_inputs = checked(context, inputs(registry, source="app"))
    old = IMAGES.create(context, old_inputs)
    with (folder / "Dockerfile").open("a") as file:
        file.write("# a comment\n")
    new_inputs = checked(context, inputs(registry, source="app"))
    assert IMAGES.replaced_by(old_inputs, new_inputs) == {"source_digest"}
    new = IMAGES.create(context, new_inputs)
    assert new.identifier == old.identifier
    for _ in range(2):
        IMAGES.delete(context, old.identifier, {**old_inputs, **old.outputs})
        assert IMAGES.read(context, new.identifier, new_inputs, new.outputs) is not None
    IMAGES.delete(context, new.identifier, {**new_inputs, **new.outputs})
    assert IMAGES.read(context, new.identifier, new_inputs, new.outputs) is None


def test_a_layer_of_another_application_is_not_sent_again(
    context: Context, registry: RealRegistry, shown: list[str]
) -> None:
    building.a_builder()
    building.write_source(context.project / "app", "shared")
    IMAGES.create(context, checked(context, inputs(registry, source="app")))
    shown.clear()
    IMAGES.create(context, {**checked(context, inputs(registry, source="app")), "repository": "shared"})
    assert not [line for line in shown if line.startswith("pushing layer")]


def test_an_archive_needs_no_builder(
    context: Context, registry: RealRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool = building.a_builder()
    folder = building.write_source(tmp_path / "app", "archived")
    tool.build(folder, folder / "Dockerfile", "localhost/matrix-test/archived", "building")
    tool.save("localhost/matrix-test/archived", context.project / "hello.tar")
    monkeypatch.setattr(builder, "PROGRAMS", ())
    given = checked(context, inputs(registry, archive="hello.tar"))
    made = IMAGES.create(context, given)
    assert IMAGES.read(context, made.identifier, given, {}) is not None


def test_a_public_image(context: Context, registry: RealRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    """From a registry that the user's own settings know; here one on 127.0.0.1 stands for it."""
    building.a_builder()
    building.write_source(context.project / "app", "public")
    made = IMAGES.create(
        context, {**checked(context, inputs(registry, source="app")), "repository": "public"}
    )
    with opened(registry) as client:
        image = client.manifest_digest("public", made.outputs["tag"])
    settings = context.project / "registries.conf"
    address = f"127.0.0.1:{registry.port}"
    settings.write_text(f'[[registry]]\nlocation = "{address}"\ninsecure = true\n')
    login = context.project / "auth.json"
    encoded = ssl.base64.b64encode(f"matrix:{registry.wire['password']}".encode()).decode()  # type: ignore[attr-defined]
    login.write_text(json.dumps({"auths": {address: {"auth": encoded}}}))
    monkeypatch.setenv("CONTAINERS_REGISTRIES_CONF", str(settings))
    monkeypatch.setenv("REGISTRY_AUTH_FILE", str(login))
    given = checked(context, inputs(registry, image=f"{address}/public:{made.outputs['tag']}"))
    copied = IMAGES.create(context, given)
    assert copied.outputs["digest"] == image
    assert copied.identifier.startswith("shop@")


def test_an_unreachable_public_image_names_the_way_out(context: Context, registry: RealRegistry) -> None:
    building.a_builder()
    with pytest.raises(UserError) as raised:
        IMAGES.create(context, inputs(registry, image="127.0.0.1:1/hello-world"))
    text = str(raised.value)
    assert text.startswith("image: 127.0.0.1:1/hello-world cannot be pulled to this computer\n")
    assert "connection refused" in text
    assert text.endswith("give a file made by `docker save` elsewhere as archive: instead")


def test_a_failed_step_shows_the_build(context: Context, registry: RealRegistry) -> None:
    building.a_builder()
    folder = building.write_source(context.project / "app")
    with (folder / "Dockerfile").open("a") as file:
        file.write('RUN ["/bin/busybox", "cat", "/no/such/file"]\n')
    with pytest.raises(UserError) as raised:
        IMAGES.create(context, checked(context, inputs(registry, source="app")))
    assert str(raised.value).startswith(f"building {folder}: buildah ended with exit code ")
    assert "can't open '/no/such/file'" in str(raised.value)


MISTAKES: dict[str, tuple[dict[str, str], str]] = {
    "no origin": ({}, "source: got none of them; need exactly one of source, archive and image; try source"),
    "two origins": (
        {"source": "a", "image": "b"},
        "source: got source and image; need exactly one of source, archive and image; try source",
    ),
    "no folder": ({"source": "a"}, 'source: got "a"; need a folder below {0}; it does not exist there'),
    "no archive": (
        {"archive": "a.tar"},
        'archive: got "a.tar"; need a file below {0}, made by `docker save`; it does not exist there',
    ),
}


@pytest.mark.parametrize(("origin", "expected"), MISTAKES.values(), ids=MISTAKES)
def test_mistakes_at_preview(context: Context, origin: dict[str, str], expected: str) -> None:
    given = {"repository": "shop", "connection": UNKNOWN, "registry": UNKNOWN, **origin}
    assert IMAGES.check(context, given)[1] == [Failure(expected.format(context.project))]


def test_check_is_deterministic_and_takes_its_own_output(context: Context) -> None:
    building.write_source(context.project / "app")
    given = {"repository": "shop", "connection": UNKNOWN, "registry": UNKNOWN, "source": "app"}
    once = checked(context, given)
    assert checked(context, once) == once
    assert len(once["source_digest"]) == 64


def test_the_registry_may_come_up_later(context: Context, tmp_path: Path, shown: list[str]) -> None:
    building.a_builder()
    building.write_source(context.project / "app")
    with container_registry(tmp_path / "late") as late:
        late.stop()
        timer = threading.Timer(1.5, late.start)
        timer.start()
        made = IMAGES.create(context, checked(context, inputs(late, source="app")))
        timer.join()
        assert made.identifier.startswith("shop@sha256:")


def test_without_a_registry_read_keeps_and_delete_goes_on(context: Context, tmp_path: Path) -> None:
    with container_registry(tmp_path / "gone") as gone:
        given = inputs(gone, source="app")
    state = {**given, "digest": "sha256:1", "reference": "r", "tag": "t"}
    found = IMAGES.read(context, "shop@sha256:1", given, state)
    assert found is not None
    assert found.inputs == given
    IMAGES.delete(context, "shop@sha256:1", state)


def test_an_interrupt_ends_the_wait(context: Context, tmp_path: Path) -> None:
    building.a_builder()
    building.write_source(context.project / "app")
    with container_registry(tmp_path / "gone") as gone:
        given = checked(context, inputs(gone, source="app"))
    with_deadline = dataclasses.replace(context, timeout=60)
    threading.Timer(1.0, context.cancelled.set).start()
    with pytest.raises(Cancelled):
        IMAGES.create(with_deadline, given)


def test_another_certificate_is_refused(context: Context, registry: RealRegistry) -> None:
    building.a_builder()
    building.write_source(context.project / "app")
    given = checked(context, inputs(registry, source="app"))
    given["registry"]["ca"] = certificates("127.0.0.1")[0].decode()
    with pytest.raises(UserError, match="its certificate is not this stack's"):
        IMAGES.create(context, given)


def test_a_wrong_password_is_refused_and_never_shown(context: Context, registry: RealRegistry) -> None:
    building.a_builder()
    building.write_source(context.project / "app")
    given = checked(context, inputs(registry, source="app"))
    given["registry"]["password"] = "canary"
    with pytest.raises(UserError) as raised:
        IMAGES.create(context, given)
    host = registry.wire["host"]
    assert str(raised.value) == f"registry {host}: refuses the stack's user name and password"


def test_two_applications_pushed_at_once_share_a_layer(context: Context, registry: RealRegistry) -> None:
    building.a_builder()
    building.write_source(context.project / "app", "at once")
    given = checked(context, inputs(registry, source="app"))
    results: list[str] = []

    def create(name: str) -> None:
        results.append(IMAGES.create(context, {**given, "repository": name}).identifier)

    threads = [threading.Thread(target=create, args=(name,)) for name in ("one", "two", "three")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(result.partition("@")[0] for result in results) == ["one", "three", "two"]


def test_release_of_an_absent_image_is_no_error(registry: RealRegistry) -> None:
    with opened(registry) as client:
        push.release(client, "never-pushed", "for-x", f"sha256:{'0' * 64}")


def test_a_silent_port_is_unavailable(registry: RealRegistry) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        with Registry(registry.wire, closed.getsockname()[1]) as client, pytest.raises(Unavailable):
            client.ready()
