"""Docker's files for a node. That dockerd takes them is shown by the cloud's end-to-end tests."""

import base64
import json

from services.docker import Credentials, docker_files
from services.network import NetworkSpec
from tests.rig.lan import NETWORK

CREDENTIALS = Credentials("matrix", "canary")


def test_what_dockerd_is_told() -> None:
    settings = json.loads(docker_files(NETWORK, "CA")[0].content)
    assert settings["proxies"] == {
        "http-proxy": "http://manager.matrix:3128",
        "https-proxy": "http://manager.matrix:3128",
        "no-proxy": "localhost,127.0.0.0/8,10.10.10.0/24,manager.matrix",
    }
    assert {key: settings[key] for key in ("live-restore", "userland-proxy", "icc", "no-new-privileges")} == {
        "live-restore": True,
        "userland-proxy": False,
        "icc": False,
        "no-new-privileges": True,
    }
    assert (settings["log-driver"], settings["log-opts"]) == ("local", {"max-size": "5m", "max-file": "2"})


def test_the_registry_is_trusted_by_the_stacks_ca_alone() -> None:
    files = {file.path: file for file in docker_files(NetworkSpec("10.77.0.0/24", "lab.test"), "CA PEM\n")}
    assert files["/etc/docker/certs.d/manager.lab.test:5000/ca.crt"].content == "CA PEM\n"
    assert "insecure-registries" not in files["/etc/docker/daemon.json"].content


def test_credentials_are_a_file_of_roots_only_when_asked_for() -> None:
    without, with_them = docker_files(NETWORK, "CA"), docker_files(NETWORK, "CA", credentials=CREDENTIALS)
    assert with_them[:-1] == without
    file = with_them[-1]
    assert (file.path, file.mode, file.owner) == ("/root/.docker/config.json", "0400", "root:root")
    login = json.loads(file.content)["auths"]["manager.matrix:5000"]["auth"]
    assert base64.b64decode(login) == b"matrix:canary"
    assert "canary" not in repr(CREDENTIALS)
