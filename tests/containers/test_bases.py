"""Base images from Debian packages, and the sample applications on them, run by a real Docker Engine.

Slow the first time (packages are fetched); what is made stays in the tests' own cache.
"""

import dataclasses
import io
import json
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from provider import mirrors, ssh
from provider.containers import bases, builder, make, prebuild, recipes
from provider.errors import UserError
from provider.resources.application_image import ApplicationImageResource
from provider.resources.base import Context
from provider.resources.instance import InstanceResource
from tests.rig import building
from tests.rig.dockerd import ADDRESS, Node, dockerd
from tests.rig.programs import needs

pytestmark = pytest.mark.slow
PROJECT = Path(__file__).parents[2]
IMAGES, INSTANCES = ApplicationImageResource(), InstanceResource()


@pytest.fixture(autouse=True)
def tests_own_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    needs("buildah", "mmdebstrap")
    try:
        mirrors.machine_mirror()
    except UserError as error:
        pytest.skip(str(error))
    monkeypatch.setattr(builder, "cache_folder", lambda: building.CACHE)


def files_of(name: str, folder: Path) -> dict[str, tarfile.TarInfo]:
    """What a base image holds, by path; base images have one layer."""
    tool = building.a_builder()
    recipe = recipes.RECIPES[f"localhost/matrix/{name}"]
    bases.ensure_one(tool, recipe, lambda text: None)
    tool.save(recipes.exact_name(recipe), folder / "image.tar")
    with tarfile.open(folder / "image.tar") as tar:
        layer = tar.extractfile(json.load(tar.extractfile("manifest.json") or io.BytesIO())[0]["Layers"][0])
        assert layer is not None
        with tarfile.open(fileobj=layer) as inner:
            return {"/" + entry.name.strip("./"): entry for entry in inner.getmembers()}


def test_static_holds_certificates_users_and_nothing_to_run(tmp_path: Path) -> None:
    files = files_of("static", tmp_path)
    assert {"/etc/passwd", "/etc/group", "/etc/ssl/certs/ca-certificates.crt", "/tmp"} <= set(files)
    assert files["/etc/ssl/certs/ca-certificates.crt"].size > 100_000
    assert files["/tmp"].mode & 0o7777 == 0o1777
    assert not [name for name, entry in files.items() if entry.isfile() and entry.mode & 0o111]


def test_base_has_the_libraries_of_a_java_runtime(tmp_path: Path) -> None:
    names = {Path(name).name for name in files_of("base", tmp_path)}
    assert {"libc.so.6", "libm.so.6", "libstdc++.so.6", "libgcc_s.so.1", "libz.so.1"} <= names
    assert "sh" not in names


def test_a_base_image_is_made_once(capsys: pytest.CaptureFixture[str]) -> None:
    shown: list[str] = []
    tool = building.a_builder()
    for _ in range(2):
        bases.ensure_one(tool, recipes.RECIPES["localhost/matrix/static"], shown.append)
    assert len(shown) <= 1


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    building.a_builder()
    with dockerd(tmp_path_factory.mktemp("node")) as real:
        yield real


def context(name: str, project: Path = PROJECT) -> Context:
    return Context("dev", name, project, lambda text: None, threading.Event())


def image(node: Node, name: str, project: Path = PROJECT, **origin: str) -> str:
    given = {"repository": name, "connection": {}, "machine": "first", "registry": node.registry.wire}
    given, failures = IMAGES.check(context(name, project), {**given, **origin})
    assert failures == []
    return str(IMAGES.create(context(name, project), given).outputs["reference"])


def instance(name: str, reference: str, **changes: Any) -> dict[str, Any]:
    given = {"application": name, "connection": {}, "machine": "first", "image": reference, "running": True}
    given |= {"address": ADDRESS, "port": 8080, "health_path": "/health", "memory": 128}
    return {**given, "environment": {}, "secrets": {}, **changes}


@pytest.mark.parametrize("name", ["simplewebapp1", "simplewebapp2"])
def test_a_sample_application(node: Node, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Small, not root, on a read-only root; says who and where it is; ends a request that is under way."""
    monkeypatch.setattr(ssh, "connect", lambda connection: node)
    given = instance(name, image(node, name, source=f"apps/{name}"))
    made = INSTANCES.create(context(name), given)
    container, port = made.outputs["container"], made.outputs["host_port"]
    url = f"http://{ADDRESS}:{port}"
    assert node.run(f"curl -s {url}/").stdout == f"{name} 1.0.0 on node2\n"
    assert node.run(f"curl -s {url}/health").stdout == "ready\n"
    assert node.run(f"curl -sI {url}/").stdout.startswith("HTTP/1.1 200 OK")
    described = json.loads(node.run(f"docker inspect {container}").stdout)[0]
    assert described["Config"]["User"] == "10001"
    log = node.run(f"docker logs {container} 2>&1").stdout
    assert log == f"{name} 1.0.0 listens on port 8080\n"
    INSTANCES.delete(context(name), made.identifier, {**given, **made.outputs})


def test_sigterm_ends_a_sample_application_by_itself(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ssh, "connect", lambda connection: node)
    given = instance("simplewebapp1", image(node, "simplewebapp1", source="apps/simplewebapp1"))
    made = INSTANCES.create(context("simplewebapp1"), given)
    container = made.outputs["container"]
    node.run(f"docker stop -t 30 {container}")
    assert node.run(f"docker inspect -f '{{{{.State.ExitCode}}}}' {container}").stdout.strip() in ("143", "0")
    assert "simplewebapp1 ended" in node.run(f"docker logs {container}").stdout
    INSTANCES.delete(context("simplewebapp1"), made.identifier, {**given, **made.outputs})


def test_the_class_archive_is_used(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """A class archive that does not fit is passed over silently; here it must fit."""
    monkeypatch.setattr(ssh, "connect", lambda connection: node)
    reference = image(node, "simplewebapp1", source="apps/simplewebapp1")
    flags = "java -Xmx32m -Xshare:on -XX:SharedArchiveFile=/app/app.jsa -jar /app/app.jar --warm-up"
    assert "listens on port" in node.run(f"docker run --rm --read-only {reference} {flags}").stdout


def test_hello_world_from_an_archive(node: Node, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The first milestone: an archive into the private registry, and run on a node."""
    monkeypatch.setattr(ssh, "connect", lambda connection: node)
    prebuild.save(PROJECT / "apps/hello", tmp_path / "hello-world.tar", threading.Event(), print)
    reference = image(node, "hello-world", tmp_path, archive="hello-world.tar")
    made = INSTANCES.create(context("hello"), instance("hello", reference, port=None))
    assert made.outputs["log"].startswith("Hello from hello on node2!\n")


def test_the_samples_are_reproducible(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The steps are run twice; with the same base images the same image comes out."""
    tool = building.a_builder()
    first = make.from_source(tool, PROJECT / "apps/simplewebapp1", "repeat", lambda text: None)
    again = dataclasses.replace(tool, commands=_NoCache(tool.commands))
    second = make.from_source(again, PROJECT / "apps/simplewebapp1", "repeat", lambda text: None)
    assert first.digest == second.digest


class _NoCache:
    def __init__(self, commands: Any) -> None:
        self._commands = commands

    def __getattr__(self, name: str) -> Any:
        return getattr(self._commands, name)

    def build(self, *arguments: Any) -> list[str]:
        argv: list[str] = self._commands.build(*arguments)
        return [*argv[:-1], "--no-cache", argv[-1]]


def test_prebuild_names_a_folder_that_is_not_fit(tmp_path: Path) -> None:
    program = [sys.executable, "-m", "provider.containers.prebuild"]
    argv = [*program, "--save", str(tmp_path / "image.tar"), str(tmp_path / "missing")]
    done = subprocess.run(argv, cwd=PROJECT, capture_output=True, text=True, timeout=60)
    expected = f'source: got "missing"; need a folder below {tmp_path}; it does not exist there\n'
    assert (done.returncode, done.stderr) == (1, expected)
