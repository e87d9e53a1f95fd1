"""The registry with the rendered files: TLS, the password, a push and a pull."""

import hashlib
import json
from collections.abc import Iterator

import bcrypt
import pytest

from services.files import File
from services.registry import ready, registry_files, registry_host
from tests.rig.certificates import authority, issue
from tests.rig.jail import Jail, missing, until
from tests.rig.lan import NETWORK, Lan

USER, PASSWORD = "matrix", "correct horse"
HASH = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
URL = f"https://{NETWORK.manager}:5000/v2/"
CA = "/etc/registry-ca.crt"


@pytest.fixture(scope="module")
def registry(network: Lan, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Jail]:
    """A node that knows the stack's CA, with the registry running on the manager."""
    if reason := missing("docker-registry", "curl", "openssl"):
        pytest.skip(reason)
    ca = authority("the stack's CA")
    certificate, key = issue(ca, NETWORK.manager_name, [NETWORK.manager])
    log = tmp_path_factory.mktemp("registry") / "log"
    network.node.write([File(CA, ca.certificate)])
    manager = network.manager
    # The package makes this account; the rendered files name it.
    manager.shell("getent passwd docker-registry >/dev/null || useradd -r docker-registry")
    manager.shell("mkdir -p /var/lib/docker-registry && chown docker-registry /var/lib/docker-registry")
    with manager.start(registry_files(NETWORK, certificate, key, USER, HASH), log) as daemon:
        answers = ready(NETWORK)
        until(
            lambda: manager.shell(answers, check=False).returncode == 0 or daemon.poll() is not None,
            "registry",
        )
        assert daemon.poll() is None, log.read_text()
        yield network.node


def curl(node: Jail, *arguments: str, stdin: str = "") -> str:
    return node.run("curl", "-s", "-m", "10", "--cacert", CA, *arguments, stdin=stdin, check=False).stdout


def status(node: Jail, *arguments: str) -> str:
    return curl(node, "-o", "/dev/null", "-w", "%{http_code}", *arguments)


def header(response: str, name: str) -> str:
    return next(line.split(": ")[1] for line in response.splitlines() if line.lower().startswith(name))


def login(password: str = PASSWORD) -> tuple[str, str]:
    return ("-u", f"{USER}:{password}")


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ((URL,), "401"),
        ((*login(), URL), "200"),
        ((*login("wrong"), URL), "401"),
        (("-u", f"other:{PASSWORD}", URL), "401"),
        (("-X", "POST", f"{URL}app/blobs/uploads/"), "401"),
        (("-X", "PUT", f"{URL}app/manifests/latest"), "401"),
        (("-X", "DELETE", f"{URL}app/manifests/latest"), "401"),
        ((*login(), f"{URL}app/manifests/latest"), "404"),
        ((f"http://{NETWORK.manager}:5000/v2/",), "400"),  # no plain text
    ],
)
def test_who_gets_what(registry: Jail, arguments: tuple[str, ...], code: str) -> None:
    assert status(registry, *arguments) == code


def test_the_certificate_is_the_stacks_own(registry: Jail) -> None:
    unknown = registry.run("curl", "-s", "-m", "10", URL, check=False)
    assert unknown.returncode == 60  # issuer not known


@pytest.mark.parametrize(("version", "accepted"), [("-tls1_1", False), ("-tls1_2", True), ("-tls1_3", True)])
def test_tls_versions(registry: Jail, version: str, accepted: bool) -> None:
    connect = ["openssl", "s_client", "-connect", f"{NETWORK.manager}:5000", version, "-CAfile", CA]
    # Debian's OpenSSL refuses TLS 1.1 itself unless told otherwise, and then the test would say nothing.
    done = registry.run(*connect, "-cipher", "ALL:@SECLEVEL=0", check=False)
    assert ("Verify return code: 0 (ok)" in done.stdout and done.returncode == 0) is accepted


def test_a_push_a_pull_and_a_deletion(registry: Jail) -> None:
    layer = "a layer"
    digest = "sha256:" + hashlib.sha256(layer.encode()).hexdigest()
    started = curl(registry, *login(), "-X", "POST", "-D", "-", f"{URL}app/blobs/uploads/")
    location = header(started, "location")
    assert location.startswith("/v2/app/blobs/uploads/")  # relative, so right through a tunnel too
    octets = ("-H", "Content-Type: application/octet-stream")
    upload = f"https://{NETWORK.manager}:5000{location}&digest={digest}"
    assert status(registry, *login(), "-X", "PUT", *octets, "--data-binary", layer, upload) == "201"
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
        "config": {
            "mediaType": "application/vnd.docker.container.image.v1+json",
            "size": 7,
            "digest": digest,
        },
        "layers": [],
    }
    kind = ("-H", f"Content-Type: {manifest['mediaType']}")
    put = ("-X", "PUT", *kind, "--data-binary", json.dumps(manifest), "-D", "-")
    made = curl(registry, *login(), *put, f"{URL}app/manifests/1")
    manifest_digest = header(made, "docker-content-digest")
    assert curl(registry, *login(), f"{URL}app/blobs/{digest}") == layer
    assert curl(registry, *login(), f"{URL}app/tags/list") == '{"name":"app","tags":["1"]}\n'
    assert status(registry, *login(), "-X", "DELETE", f"{URL}app/manifests/{manifest_digest}") == "202"


def test_secrets_are_for_the_registrys_user_alone() -> None:
    files = registry_files(NETWORK, "CERTIFICATE", "KEY", USER, HASH)
    shut = {file.path: (file.mode, file.owner) for file in files if file.mode != "0644"}
    assert shut == {
        "/etc/docker/registry/tls.key": ("0400", "docker-registry:docker-registry"),
        "/etc/docker/registry/htpasswd": ("0400", "docker-registry:docker-registry"),
    }


def test_its_name_in_an_images_reference() -> None:
    assert registry_host(NETWORK) == "manager.matrix:5000"
