"""Scripts that run a container on a node; what they do is proved in tests/resources/test_instance.py."""

import dataclasses
import io
import subprocess
import tarfile

import pytest

from provider.commands import docker
from provider.commands.docker import Container

WEB = Container(
    name="shop-0123456789ab",
    image="manager.matrix:5000/shop@sha256:1",
    application="shop",
    stack="dev",
    instance="shop-node2",
    address="10.10.10.2",
    port=8080,
    memory=256,
)
OPTIONS = [
    "--init", "--read-only",
    "--name", "shop-0123456789ab",
    "--restart", "unless-stopped",
    "--cap-drop", "ALL",
    "--security-opt", "no-new-privileges",
    "--tmpfs", "/tmp:rw,nosuid,nodev,noexec,size=64m,mode=1777",
    "--pids-limit", "256",
    "--memory", "256m",
    "--memory-swap", "256m",
    "--log-driver", "local", "--log-opt", "max-size=10m", "--log-opt", "max-file=3",
    "--label", "matrix.application=shop",
    "--label", "matrix.instance=shop-node2",
    "--label", "matrix.stack=dev",
    "--env", "APPLICATION=shop",
    "--env", "PORT=8080",
    "--env", 'NODE_NAME="$(hostname)"',
    "--label", 'matrix.port="$port"',
    "--publish", '10.10.10.2:"$port":8080/tcp',
]  # fmt: skip


def test_options_of_a_service() -> None:
    assert docker.options(WEB) == OPTIONS


def test_a_job_has_no_port_and_is_not_restarted() -> None:
    options = docker.options(dataclasses.replace(WEB, port=None))
    assert "--publish" not in options
    assert options[options.index("--restart") + 1] == "no"


def test_the_plans_environment_comes_before_ours_and_is_quoted() -> None:
    given = {"NODE_NAME": "node2", "PORT": "81", "TEXT": "it's $HOME"}
    options = docker.options(dataclasses.replace(WEB, environment=given))
    values = [options[at + 1] for at, option in enumerate(options) if option == "--env"]
    assert values == ["APPLICATION=shop", "NODE_NAME=node2", "PORT=81", "'TEXT=it'\"'\"'s $HOME'"]


def test_ports_are_the_same_for_a_name_and_within_their_range() -> None:
    assert docker.candidate_ports("a") == docker.candidate_ports("a")
    assert docker.candidate_ports("a") != docker.candidate_ports("b")
    for name in map(str, range(200)):
        ports = docker.candidate_ports(name)
        assert len(set(ports)) == docker.TRIED_PORTS
        assert all(20000 <= port <= 29999 for port in ports)


def test_secrets_are_in_the_archive_and_in_no_script() -> None:
    files = docker.secret_files({"token": "canary"})
    with tarfile.open(fileobj=io.BytesIO(files)) as tar:
        assert [(entry.name, entry.mode) for entry in tar] == [("token", 0o400)]
    container = dataclasses.replace(WEB, secrets=frozenset({"token"}))
    assert "canary" not in docker.start(container)


SCRIPTS = {
    "a service": docker.start(WEB),
    "a job": docker.start(dataclasses.replace(WEB, port=None)),
    "secrets": docker.start(dataclasses.replace(WEB, secrets=frozenset({"a"}))),
    "a job with secrets": docker.start(dataclasses.replace(WEB, port=None, secrets=frozenset({"a"}))),
    "look": docker.look("a", "http://x/"),
    "restart": docker.restart("a"),
    "watch": docker.watch("a", "http://x/", 1, 5),
    "wait": docker.wait_job("a", 5),
    "remove": docker.remove("a", "i", 30),
}


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
def test_every_script_is_a_shells(script: str) -> None:
    assert subprocess.run(["sh", "-n"], input=script, text=True, capture_output=True).stderr == ""


def test_answers_are_lines_of_words() -> None:
    assert docker.parse("port 20001\nstate running 77 0 0\n\n") == {
        "port": ["20001"],
        "state": ["running", "77", "0", "0"],
    }
