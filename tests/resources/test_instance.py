"""Instances on a real Docker Engine: what a container is given, when it counts as made, what is left of it.

The engine runs in namespaces on this computer (tests/rig/dockerd.py); its images come from a real registry
by digest, over TLS and with a password, as on a node.
"""

import dataclasses
import json
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from provider import ssh
from provider.containers import archive, push
from provider.containers.registry import Registry
from provider.errors import Cancelled, UserError
from provider.resources import instance
from provider.resources.base import UNKNOWN, Context, Failure
from provider.resources.instance import InstanceResource, container_name
from tests.rig import building
from tests.rig.dockerd import ADDRESS, MANAGER, REGISTRY_PORT, Node, dockerd

pytestmark = pytest.mark.slow
INSTANCES = InstanceResource()
HTTPD = ["/bin/busybox", "httpd", "-f", "-v", "-p", "8080", "-h", "/www"]
SECRETS_SHOWN = "/bin/busybox id -u; /bin/busybox cat /run/secrets/*; exec "
COMMANDS = {
    "web": HTTPD,
    "exits": ["/bin/sh", "-c", "echo no database; exit 3"],
    "hangs": ["/bin/busybox", "nc", "-ll", "-p", "8080", "-e", "/bin/busybox", "sleep", "600"],
    "silent": ["/bin/busybox", "sleep", "600"],
    "shows": ["/bin/sh", "-c", SECRETS_SHOWN + " ".join(HTTPD)],
    "job": ["/bin/sh", "-c", "echo for $APPLICATION on $NODE_NAME with $(/bin/busybox cat /run/secrets/*)"],
    "failing-job": ["/bin/sh", "-c", "echo table exists; exit 4"],
    "long-job": ["/bin/busybox", "sleep", "600"],
}


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    building.a_builder()
    with dockerd(tmp_path_factory.mktemp("node")) as real:
        yield real


@pytest.fixture(scope="module")
def images(node: Node, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A reference for each of COMMANDS: one image with one page, that only differ in what they run."""
    folder = building.write_source(tmp_path_factory.mktemp("source"), "this is web")
    (folder / "passwd").write_text("app:x:10001:10001::/:/bin/sh\n")
    with (folder / "Dockerfile").open("a") as file:
        file.write("COPY passwd /etc/passwd\n")
    tool = building.a_builder()
    tool.build(folder, folder / "Dockerfile", "localhost/matrix-test/instance", "building")
    tool.save("localhost/matrix-test/instance", folder / "image.tar")
    references = {}
    with node.forward(MANAGER, REGISTRY_PORT) as port, Registry(node.registry.wire, port) as registry:
        for name in COMMANDS:
            image = archive.read(folder / "image.tar", folder / "layers", rewrite=partial(running, name))
            digest = push.push(registry, name, "test", image, lambda text: None)
            references[name] = f"manager.matrix:{REGISTRY_PORT}/{name}@{digest}"
    return references


def running(name: str, config: bytes) -> bytes:
    document = json.loads(config)
    document["config"].update(Cmd=COMMANDS[name], User="app" if name == "shows" else "10001")
    return json.dumps(document).encode()


@pytest.fixture
def shown() -> list[str]:
    return []


@pytest.fixture
def context(
    tmp_path: Path, node: Node, shown: list[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Context]:
    monkeypatch.setattr(ssh, "connect", lambda connection: node)
    monkeypatch.setattr(instance, "SLICE", 1)
    node.commands.clear()
    yield Context("dev", "web-node2", tmp_path, shown.append, threading.Event())
    node.run("docker ps -aq | xargs -r docker rm -f >/dev/null; rm -rf /var/lib/matrix /run/matrix-*")


def inputs(images: dict[str, str], name: str = "web", **changes: Any) -> dict[str, Any]:
    given = {
        "application": "shop",
        "connection": {"host": "node2"},
        "machine": "first",
        "image": images[name],
        "address": ADDRESS,
        "port": 8080,
        "health_path": "/",
        "environment": {"GREETING": 'it\'s a "day" $HOME'},
        "secrets": {},
        "memory": 64,
        "running": True,
    }
    return {**given, **changes}


def inspect(node: Node, name: str) -> dict[str, Any]:
    return dict(json.loads(node.run(f"docker inspect {name}").stdout)[0])


def containers(node: Node) -> list[str]:
    return sorted(node.run("docker ps -a --format '{{.Names}}'").stdout.split())


def test_create_read_stop_mend_delete_twice(
    context: Context, node: Node, images: dict[str, str], shown: list[str]
) -> None:
    given = inputs(images)
    made = INSTANCES.create(context, given)
    name, port = made.outputs["container"], made.outputs["host_port"]
    assert made.identifier == f"{ADDRESS}/{name}"
    assert name == container_name(context, given)
    assert 20000 <= port <= 29999
    assert node.run(f"curl -s http://{ADDRESS}:{port}/").stdout == "this is web\n"
    assert shown[:2] == ["pulling and starting", "waiting for health"]
    state = {**given, **made.outputs}
    found = INSTANCES.read(context, made.identifier, given, state)
    assert found is not None
    assert (found.inputs, found.outputs) == (given, made.outputs)

    node.run(f"docker stop -t 0 {name}")
    found = INSTANCES.read(context, made.identifier, given, state)
    assert found is not None
    assert found.inputs == {**given, "running": False}
    assert INSTANCES.replaced_by(found.inputs, given) == frozenset()
    assert INSTANCES.update(context, made.identifier, {**state, "running": False}, given) == made.outputs
    assert node.run(f"curl -s http://{ADDRESS}:{port}/").stdout == "this is web\n"

    for _ in range(2):
        INSTANCES.delete(context, made.identifier, state)
        assert INSTANCES.read(context, made.identifier, given, state) is None
    assert containers(node) == []
    assert (
        images["web"] not in node.run("docker images --digests --format '{{.Repository}}@{{.Digest}}'").stdout
    )
    assert node.run(
        "ls /var/lib/matrix/secrets /var/lib/matrix/instances /run/matrix-ports"
    ).stdout.split() == [
        "/run/matrix-ports:",
        "/var/lib/matrix/instances:",
        "/var/lib/matrix/secrets:",
    ]


def test_what_a_container_is_given(context: Context, node: Node, images: dict[str, str]) -> None:
    made = INSTANCES.create(context, inputs(images))
    found = inspect(node, made.outputs["container"])
    host, config = found["HostConfig"], found["Config"]
    assert host["CapDrop"] == ["ALL"]
    assert host["SecurityOpt"] == ["no-new-privileges"]
    assert host["ReadonlyRootfs"] is True
    assert host["Privileged"] is False
    assert host["Memory"] == host["MemorySwap"] == 64 * 1024 * 1024
    assert host["PidsLimit"] == 256
    assert host["RestartPolicy"]["Name"] == "unless-stopped"
    assert host["LogConfig"] == {"Type": "local", "Config": {"max-file": "3", "max-size": "10m"}}
    assert host["Binds"] is None
    port = str(made.outputs["host_port"])
    assert host["PortBindings"] == {"8080/tcp": [{"HostIp": ADDRESS, "HostPort": port}]}
    assert config["User"] == "10001"
    labels = {key: value for key, value in config["Labels"].items() if key.startswith("matrix.")}
    expected = {"application": "shop", "stack": "dev", "instance": "web-node2", "port": port}
    assert labels == {f"matrix.{key}": value for key, value in expected.items()}
    own = {"APPLICATION=shop", "PORT=8080", "NODE_NAME=node2", 'GREETING=it\'s a "day" $HOME'}
    assert own <= set(config["Env"])


def test_few_commands_over_ssh(context: Context, node: Node, images: dict[str, str]) -> None:
    made = INSTANCES.create(context, inputs(images))
    assert len(node.commands) == 2
    node.commands.clear()
    INSTANCES.delete(context, made.identifier, {**inputs(images), **made.outputs})
    assert len(node.commands) == 1


@pytest.mark.parametrize("name", ["web", "shows"], ids=["user is a number", "user is a name"])
def test_secrets_are_files_for_the_containers_user_and_nowhere_else(
    context: Context, node: Node, images: dict[str, str], name: str
) -> None:
    given = inputs(images, name, secrets={"database": "canary-1\n", "token": "canary-2\n"})
    made = INSTANCES.create(context, given)
    container = made.outputs["container"]
    assert node.run(f"docker exec {container} /bin/busybox cat /run/secrets/token").stdout == "canary-2\n"
    rights = node.run(
        f"stat -c '%a %u %n' /var/lib/matrix/secrets {f'/var/lib/matrix/secrets/{container}'}/*"
    )
    root = f"/var/lib/matrix/secrets/{container}"
    assert rights.stdout.splitlines() == [
        "700 0 /var/lib/matrix/secrets",
        f"400 10001 {root}/database",
        f"400 10001 {root}/token",
    ]
    assert "canary" not in node.run(f"docker inspect {container}").stdout
    assert not [command for command in node.commands if "canary" in command]
    if name == "shows":
        assert node.run(f"docker logs {container}").stdout.startswith("10001\ncanary-1\ncanary-2\n")
    INSTANCES.delete(context, made.identifier, {**given, **made.outputs})
    assert node.run("ls /var/lib/matrix/secrets").stdout == ""


def test_secrets_outlive_a_restart_of_the_engines_container(
    context: Context, node: Node, images: dict[str, str]
) -> None:
    given = inputs(images, secrets={"token": "canary"})
    made = INSTANCES.create(context, given)
    container = made.outputs["container"]
    node.run(f"docker restart -t 0 {container}")
    assert node.run(f"docker exec {container} /bin/busybox cat /run/secrets/token").stdout == "canary"


FAILURES = {
    "exits": "(exit code 3 before it was healthy|was started again)",
    "hangs": "not healthy after 2 s\nGET http://10.10.10.2:2[0-9]{4}/: no answer in 5 s, need status 200",
    "silent": "not healthy after 2 s\nGET http://10.10.10.2:2[0-9]{4}/: conn.*, need status 200",
}


@pytest.mark.parametrize(("name", "expected"), FAILURES.items(), ids=FAILURES)
def test_an_unhealthy_container_is_judged_and_removed(
    context: Context, node: Node, images: dict[str, str], name: str, expected: str
) -> None:
    hasty = dataclasses.replace(context, timeout=2) if name != "exits" else context
    with pytest.raises(UserError, match=f"^shop on 10.10.10.2: .*{expected}") as raised:
        INSTANCES.create(hasty, inputs(images, name))
    assert str(raised.value).endswith("the container was removed; what served before goes on")
    assert containers(node) == []
    assert node.run("ls /var/lib/matrix/secrets /var/lib/matrix/instances").stdout.count("shop") == 0
    if name == "exits":
        assert "last lines of its log:\nno database\n" in str(raised.value)


def test_a_wrong_status_names_url_and_status(context: Context, node: Node, images: dict[str, str]) -> None:
    with pytest.raises(UserError) as raised:
        INSTANCES.create(
            dataclasses.replace(context, timeout=1), inputs(images, health_path="/no?such=1&page")
        )
    assert "/no?such=1&page: status 404, need status 200\nlast lines of its log:\n" in str(raised.value)
    assert containers(node) == []


def test_an_exit_is_noticed_at_once(context: Context, node: Node, images: dict[str, str]) -> None:
    """Long before the deadline: a few looks at the container, not one for each second of it."""
    with pytest.raises(UserError):
        INSTANCES.create(context, inputs(images, "exits"))
    assert len([command for command in node.commands if "curl" in command]) <= 2


def test_an_image_that_is_not_there(context: Context, node: Node, images: dict[str, str]) -> None:
    missing = images["web"].partition("@")[0] + "@sha256:" + "0" * 64
    with pytest.raises(UserError) as raised:
        INSTANCES.create(context, inputs(images, image=missing))
    assert str(raised.value).startswith("shop on 10.10.10.2: the container cannot be started\n")
    assert "manifest unknown" in str(raised.value)
    assert containers(node) == []


def test_a_retry_adopts_its_own_leftover(context: Context, node: Node, images: dict[str, str]) -> None:
    made = INSTANCES.create(context, inputs(images))
    before = inspect(node, made.outputs["container"])["Id"]
    again = INSTANCES.create(context, inputs(images))
    assert again == made
    assert inspect(node, made.outputs["container"])["Id"] == before


def test_a_container_that_is_adopted_keeps_its_secrets(
    context: Context, node: Node, images: dict[str, str]
) -> None:
    given = inputs(images, secrets={"token": "canary"})
    container = INSTANCES.create(context, given).outputs["container"]
    INSTANCES.create(context, given)
    assert node.run(f"docker exec {container} /bin/busybox cat /run/secrets/token").stdout == "canary"


def test_a_retry_waits_for_the_script_of_a_run_that_was_killed(
    context: Context, node: Node, images: dict[str, str]
) -> None:
    """Both make the same container; the one that comes second adopts it."""
    made = []
    threads = [
        threading.Thread(target=lambda: made.append(INSTANCES.create(context, inputs(images))))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(made) == 3
    assert made[0] == made[1] == made[2]
    assert containers(node) == [made[0].outputs["container"]]


def test_a_leftover_of_an_interrupted_run_goes_and_a_finished_one_stays(
    context: Context, node: Node, images: dict[str, str]
) -> None:
    serving = INSTANCES.create(context, inputs(images)).outputs["container"]
    half = container_name(context, inputs(images, memory=65))
    label = "--label matrix.instance=web-node2 --label matrix.port=20001"
    node.run(f"docker create --name {half} {label} {images['web']}")
    other = "docker create --name foreign --label matrix.instance=web-node3"
    node.run(f"{other} {images['web']}")
    new = INSTANCES.create(context, inputs(images, memory=66)).outputs["container"]
    assert containers(node) == sorted(["foreign", serving, new])


def test_old_and_new_live_side_by_side(context: Context, node: Node, images: dict[str, str]) -> None:
    old = INSTANCES.create(context, inputs(images))
    new = INSTANCES.create(context, inputs(images, environment={"A": "1"}))
    assert old.outputs["host_port"] != new.outputs["host_port"]
    INSTANCES.delete(context, old.identifier, {**inputs(images), **old.outputs})
    assert node.run(f"curl -s http://{ADDRESS}:{new.outputs['host_port']}/").stdout == "this is web\n"


def test_a_taken_port_is_passed_over(context: Context, node: Node, images: dict[str, str]) -> None:
    """By a program that listens, and by a container that is stopped now and comes back with the node."""
    first = INSTANCES.create(context, inputs(images))
    wanted = first.outputs["host_port"]
    INSTANCES.delete(context, first.identifier, {**inputs(images), **first.outputs})
    node.run(f"docker create --name stopped --label matrix.port={wanted} {images['web']}")
    node.run(f"docker run -d --name taken -p {ADDRESS}:{wanted + 1}:8080 {images['web']}")
    second = INSTANCES.create(context, inputs(images))
    assert second.outputs["host_port"] == wanted + 2


def test_instances_created_at_once_get_ports_of_their_own(
    context: Context, node: Node, images: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("provider.commands.docker.candidate_ports", lambda name: list(range(25000, 25010)))
    made: list[int] = []

    def create(number: int) -> None:
        mine = dataclasses.replace(context, name=f"web-{number}")
        made.append(INSTANCES.create(mine, inputs(images)).outputs["host_port"])

    threads = [threading.Thread(target=create, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(set(made)) == 4


def test_a_port_is_kept_over_a_restart(context: Context, node: Node, images: dict[str, str]) -> None:
    made = INSTANCES.create(context, inputs(images))
    node.run(f"docker kill {made.outputs['container']}", check=False)
    node.run(f"docker start {made.outputs['container']}")
    port = made.outputs["host_port"]
    assert (
        node.run(f"curl -s --retry 5 --retry-connrefused http://{ADDRESS}:{port}/").stdout == "this is web\n"
    )


def test_a_job_runs_once_and_keeps_its_log(context: Context, node: Node, images: dict[str, str]) -> None:
    given = inputs(images, "job", port=None, secrets={"token": "a secret"})
    made = INSTANCES.create(context, given)
    assert made.outputs["log"] == "for shop on node2 with a secret"
    assert made.outputs["host_port"] == 0
    found = INSTANCES.read(context, made.identifier, given, {**given, **made.outputs})
    assert found is not None
    assert (found.inputs, found.outputs) == (given, made.outputs)
    started = inspect(node, made.outputs["container"])["State"]["StartedAt"]
    assert INSTANCES.create(context, given) == made
    assert inspect(node, made.outputs["container"])["State"]["StartedAt"] == started


def test_a_failing_job_shows_its_log(context: Context, node: Node, images: dict[str, str]) -> None:
    with pytest.raises(UserError) as raised:
        INSTANCES.create(context, inputs(images, "failing-job", port=None))
    assert str(raised.value) == (
        "shop on 10.10.10.2: the job ended with exit code 4\n"
        "last lines of its log:\ntable exists\n"
        "the container was removed; what served before goes on"
    )
    assert containers(node) == []


@pytest.mark.parametrize(("name", "port"), [("silent", 8080), ("long-job", None)], ids=["service", "job"])
def test_an_interrupt_leaves_nothing(
    context: Context, node: Node, images: dict[str, str], name: str, port: int | None
) -> None:
    timer = threading.Timer(1.0, context.cancelled.set)
    timer.start()
    with pytest.raises(Cancelled):
        INSTANCES.create(context, inputs(images, name, port=port))
    assert containers(node) == []


def test_a_drifted_container_that_does_not_get_well_is_left_to_be_looked_at(
    context: Context, node: Node, images: dict[str, str]
) -> None:
    made = INSTANCES.create(context, inputs(images))
    state = {**inputs(images), **made.outputs, "running": False}
    broken = {**inputs(images), "health_path": "/missing"}
    with pytest.raises(UserError, match="status 404"):
        INSTANCES.update(dataclasses.replace(context, timeout=2), made.identifier, state, broken)
    assert containers(node) == [made.outputs["container"]]


def test_update_makes_a_removed_container_anew(context: Context, node: Node, images: dict[str, str]) -> None:
    made = INSTANCES.create(context, inputs(images))
    state = {**inputs(images), **made.outputs}
    node.run(f"docker rm -f {made.outputs['container']}")
    assert INSTANCES.read(context, made.identifier, inputs(images), state) is None
    assert INSTANCES.update(context, made.identifier, state, inputs(images)) == made.outputs


def test_an_unreachable_node(
    context: Context, images: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Off:
        def sudo(self, *arguments: Any, **options: Any) -> None:
            raise ssh.Unreachable("SSH to node2: connection refused")

    monkeypatch.setattr(ssh, "connect", lambda connection: Off())
    state = {**inputs(images), "container": "shop-1", "host_port": 20001, "log": ""}
    found = INSTANCES.read(context, f"{ADDRESS}/shop-1", inputs(images), state)
    assert found is not None
    assert found.inputs == inputs(images)
    INSTANCES.delete(context, f"{ADDRESS}/shop-1", state)


def test_the_name_depends_on_every_input_and_on_secrets(context: Context) -> None:
    references = {"web": "manager.matrix:5000/web@sha256:1"}
    base = inputs(references)
    changes: list[dict[str, Any]] = [
        {"image": "other"}, {"address": "10.10.10.3"}, {"port": 81}, {"port": None}, {"health_path": "/x"},
        {"environment": {}}, {"memory": 65}, {"machine": "second"},
        {"secrets": {"a": "1"}}, {"secrets": {"a": "2"}},
    ]  # fmt: skip
    names = {container_name(context, {**base, **change}) for change in changes}
    assert len(names | {container_name(context, base)}) == len(changes) + 1
    assert container_name(context, {**base, "connection": {"port": 1}}) == container_name(context, base)


MISTAKES = {
    "secrets": (
        {"secrets": {"../x": "1"}},
        'secrets: got "../x"; need a file name of letters, digits, "_", "-" and "."; rename it',
    ),
    "environment": (
        {"environment": {"A-B": "1"}},
        'environment: got "A-B"; need a name of letters, digits and "_"; rename it',
    ),
}


@pytest.mark.parametrize(("change", "expected"), MISTAKES.values(), ids=MISTAKES)
def test_mistakes_at_preview(tmp_path: Path, change: dict[str, Any], expected: str) -> None:
    quiet = Context("dev", "web", tmp_path, lambda text: None, threading.Event())
    given = {"application": "shop", "image": UNKNOWN, "secrets": UNKNOWN, "environment": {}, **change}
    assert INSTANCES.check(quiet, given)[1] == [Failure(expected)]
