"""Shell scripts that run an application's container on a node. Pure: values in, text out.

A docker command takes about a second on an emulated node, so each script does all it can at once and as few
of them as possible. Secrets come on stdin and are in no command line; scripts answer in lines `key value`.
"""

import hashlib
import io
import shlex
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

FIRST_PORT, PORTS, TRIED_PORTS = 20000, 10000, 64
SECRETS = "/var/lib/matrix/secrets"
FINISHED = "/var/lib/matrix/instances"
"""A file here says that a container was once healthy, and so may be in use."""
RESERVED, LOCKS = "/run/matrix-ports", "/run/matrix-locks"
NO_FILE = "-"
LOG_LINES = 20
TMPFS = "/tmp:rw,nosuid,nodev,noexec,size=64m,mode=1777"  # noqa: S108 - a path in the container


@dataclass(frozen=True)
class Container:
    """A container as it should run. `memory` is MiB; without `port` it is a job that runs once."""

    name: str
    image: str
    application: str
    stack: str
    instance: str
    address: str
    port: int | None
    memory: int
    environment: Mapping[str, str] = field(default_factory=dict)
    secrets: frozenset[str] = frozenset()


LISTED = '{{.Names}} ={{.Label "matrix.port"}} ={{.Label "matrix.instance"}}'
LOCK_SECONDS = 600


def candidate_ports(name: str) -> list[int]:
    """Ports to try, in this order: always the same for a name."""
    start = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big")
    return [FIRST_PORT + (start + step) % PORTS for step in range(TRIED_PORTS)]


def options(container: Container) -> list[str]:
    """What a container is allowed and given, as docker's arguments; the host port is the script's `$port`."""
    # A stop by hand holds over a restart of the machine; a crash, or a machine that lost power, does not.
    restart = "no" if container.port is None else "unless-stopped"
    memory = f"{container.memory}m"
    fixed = {
        "--name": container.name,
        "--restart": restart,
        "--cap-drop": "ALL",
        "--security-opt": "no-new-privileges",
        "--tmpfs": TMPFS,
        "--pids-limit": "256",
        "--memory": memory,
        "--memory-swap": memory,
        "--log-driver": "local",
    }
    # As process 1 most programs ignore SIGTERM; behind docker's init they end when they are asked to.
    out = ["--init", "--read-only"]
    for option, value in fixed.items():
        out += [option, shlex.quote(value)]
    out += ["--log-opt", "max-size=10m", "--log-opt", "max-file=3"]
    for key, value in _labels(container).items():
        out += ["--label", shlex.quote(f"matrix.{key}={value}")]
    for key, value in sorted(_environment(container).items()):
        out += ["--env", shlex.quote(f"{key}={value}")]
    out += ["--env", 'NODE_NAME="$(hostname)"'] if "NODE_NAME" not in container.environment else []
    if container.secrets:
        out += ["--volume", f"{SECRETS}/{container.name}:/run/secrets:ro"]
    if container.port is not None:
        out += ["--label", 'matrix.port="$port"']
        out += ["--publish", f'{container.address}:"$port":{container.port}/tcp']
    return out


def _labels(container: Container) -> dict[str, str]:
    return {
        "application": container.application,
        "instance": container.instance,
        "stack": container.stack,
    }


def _environment(container: Container) -> dict[str, str]:
    own = {"APPLICATION": container.application}
    if container.port is not None:
        own["PORT"] = str(container.port)
    return {**own, **container.environment}


def start(container: Container) -> str:
    """Adopt a container of this name or make one; drop what an interrupted run of this instance left.

    Answers `port N` (0 for a job), then `state STATE PID EXIT RESTARTS`. stdin is `secret_files`.
    """
    name, docker_options = container.name, " ".join(options(container))
    image, owner = shlex.quote(container.image), shlex.quote(container.instance)
    lines = [
        "set -eu",
        f"mkdir -p {FINISHED} {RESERVED} {LOCKS}",
        f"install -d -m 0700 {SECRETS}",
        # A run that was killed leaves its script running here: what it makes is waited for and adopted.
        f"exec 9>{LOCKS}/{name}",
        f"flock -w {LOCK_SECONDS} 9",
        "port=0 known= taken=",
        # Read first, so that no command in the loop reads the list in its place.
        f"present=$(docker ps -a --format '{LISTED}')",
        "while read -r other at owner; do",
        "    at=${at#=}",
        # Published ports of stopped containers count: they come back with the node.
        '    taken="$taken $at"',
        f'    if [ "$other" = {name} ]; then known=yes port=${{at:-0}}',
        f'    elif [ "${{owner#=}}" = {owner} ] && [ ! -e {FINISHED}/"$other" ]; then',
        '        docker rm -f "$other" >/dev/null </dev/null',
        f'        rm -rf {SECRETS}/"$other"',
        "    fi",
        "done <<EOF\n$present\nEOF",
        *(_drop_failed_job(name) if container.port is None else []),
        'if [ -n "$known" ]; then',
        *_indented(_user_owns_secrets(container)),
        f"    docker start {name} >/dev/null",
        "else",
        *_indented(_unpack_secrets(container)),
        *_indented(_create(container, docker_options, image)),
        "fi",
        'echo "port $port"',
        _state(name),
    ]
    return "\n".join(lines)


def _drop_failed_job(name: str) -> list[str]:
    return [
        'if [ -n "$known" ]; then',
        f"    state=$(docker inspect -f '{{{{.State.Status}}}} {{{{.State.ExitCode}}}}' {name})",
        '    case "$state" in',
        f'    "exited 0" | running*) echo "port 0"; {_state(name)}; exit 0 ;;',
        f"    *) docker rm -f {name} >/dev/null; known= ;;",
        "    esac",
        "fi",
    ]


def _create(container: Container, docker_options: str, image: str) -> list[str]:
    if container.port is None:
        return _run(container, docker_options, image)
    ports = " ".join(map(str, candidate_ports(container.name)))
    reserve = f'ln -s {container.name} {RESERVED}/"$port" 2>/dev/null'
    return [
        "taken=\" $taken $(ss -Htln | awk '{ sub(/.*:/, \"\", $4); print $4 }' | tr '\\n' ' ') \"",
        "port=",
        f"for candidate in {ports}; do",
        '    case "$taken" in *" $candidate "*) continue ;; esac',
        "    port=$candidate",
        # Two instances may start on one node at once: the first to make the link has the port.
        f'    {reserve} || [ "$(readlink {RESERVED}/"$port")" = {container.name} ] || {{ port=; continue; }}',
        "    break",
        "done",
        f'[ -n "$port" ] || {{ echo "no free port among {TRIED_PORTS} on this node" >&2; exit 1; }}',
        f"trap 'rm -f {RESERVED}/\"$port\"' EXIT",
        *_run(container, docker_options, image),
    ]


def _run(container: Container, docker_options: str, image: str) -> list[str]:
    if not container.secrets:
        command = f"docker run -d {docker_options} {image}"
        return [f"{command} >/dev/null || {{ docker rm -f {container.name} >/dev/null 2>&1; exit 1; }}"]
    # Who the secrets belong to is known once the container exists.
    return [
        f"docker create {docker_options} {image} >/dev/null",
        *_user_owns_secrets(container),
        f"docker start {container.name} >/dev/null || {{ docker rm -f {container.name} >&2; exit 1; }}",
    ]


def _user_owns_secrets(container: Container) -> list[str]:
    """The image's user is a number or a name in the image's own /etc/passwd."""
    if not container.secrets:
        return []
    name = container.name
    return [
        f"user=$(docker inspect -f '{{{{.Config.User}}}}' {name}); user=${{user%%:*}}",
        'case "${user:=0}" in *[!0-9]*)',
        f"    user=$(docker cp {name}:/etc/passwd - | tar -xO"
        " | awk -F: -v name=\"$user\" '$1 == name { print $3 }')",
        "    ;;",
        "esac",
        f'chown -R "${{user:?the image names a user that it does not have}}" {SECRETS}/{name}',
    ]


def _unpack_secrets(container: Container) -> list[str]:
    if not container.secrets:
        return []
    folder = f"{SECRETS}/{container.name}"
    return [f"rm -rf {folder}", f"install -d -m 0500 {folder}", f"tar -xpf - -C {folder}"]


def secret_files(secrets: Mapping[str, str]) -> bytes:
    """A tar for stdin: one file a secret, readable by its owner alone."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, value in sorted(secrets.items()):
            content = value.encode()
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o400
            tar.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def _state(name: str) -> str:
    shown = "state {{.State.Status}} {{.State.Pid}} {{.State.ExitCode}} {{.RestartCount}}"
    return f"docker inspect -f '{shown}' {name}"


def look(name: str, url: str | None) -> str:
    """Answers `state STATE PID EXIT RESTARTS` and, for a service, `health STATUS CURL_EXIT`; else exits 1."""
    ask = [_ask(url), 'echo "health $status $failed"'] if url else []
    return "\n".join([f"{_state(name)} || exit 1", *ask])


def restart(name: str) -> str:
    """Answers `state ...` of a container that was stopped or no longer healthy, after a fresh start."""
    return f"docker restart -t 10 {name} >/dev/null && {_state(name)}"


def watch(name: str, url: str, pid: int, seconds: int) -> str:
    """Ask the container's health for up to `seconds`; one answer a second.

    Answers `health STATUS CURL_EXIT` of the last try, and `state ...` when the process `pid` is gone. curl
    writes the status 000 when there was no answer.
    """
    return "\n".join(
        [
            f"for try in $(seq {seconds}); do",
            f"    {_ask(url)}",
            # First the process: another container's answer at this address is not this one's health.
            f'    if [ ! -d /proc/{pid} ]; then echo "health $status $failed"; {_state(name)}; exit 0; fi',
            '    [ "$status" = 200 ] && break',
            "    sleep 1",
            "done",
            'echo "health $status $failed"',
            f'if [ "$status" = 200 ]; then : >{FINISHED}/{name}; fi',
        ]
    )


def _ask(url: str) -> str:
    ask = f"curl -s --noproxy '*' -o /dev/null -m 5 -w '%{{http_code}}' {shlex.quote(url)}"
    return f"if status=$({ask}); then failed=0; else failed=$?; fi"


def wait_job(name: str, seconds: int) -> str:
    """Wait for a job's end for up to `seconds`, then answer `state ...`."""
    return f"timeout {seconds} docker wait {name} >/dev/null 2>&1\n{_state(name)}"


def finished(name: str) -> str:
    """Note that the container is complete: a later run of the instance leaves it alone."""
    return f": >{FINISHED}/{name}"


def logs(name: str, lines: int = LOG_LINES) -> str:
    return f"docker logs --tail {lines} {name} 2>&1"


def remove(name: str, image: str, grace: int) -> str:
    """Stop within `grace` seconds and remove a container, its secrets, and its image where unused."""
    return "\n".join(
        [
            f"docker stop -t {grace} {name} >/dev/null 2>&1 || true",
            f"gone=$(docker rm -f -v {name} 2>&1) || case \"$gone\" in *'No such container'*) ;; "
            '*) echo "$gone" >&2; exit 1 ;; esac',
            f"rm -rf {SECRETS}/{name} {FINISHED}/{name} {LOCKS}/{name}",
            f"docker rmi {shlex.quote(image)} >/dev/null 2>&1 || true" if image else "true",
        ]
    )


def _indented(lines: Sequence[str]) -> list[str]:
    return [f"    {line}" for line in lines]


def parse(text: str) -> dict[str, Sequence[str]]:
    """The lines `key value...` of an answer."""
    words = (line.split() for line in text.splitlines())
    return {one[0]: one[1:] for one in words if one}
