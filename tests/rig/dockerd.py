"""A node without a machine: a real Docker Engine in namespaces of its own, with a registry beside it.

Everything lives in one PID namespace, so that ending its first process ends everything; mounts, network and
host name are its own too. /etc, /var/lib, /run and /root are private. The internal address 10.10.10.2 exists
only in there. `Node` has the methods of `provider.ssh.Host` and counts what it ran.
"""

import os
import select
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from provider.ssh import CommandFailed, Result
from tests.rig import container_registry
from tests.rig.container_registry import RealRegistry
from tests.rig.programs import needs

ADDRESS, MANAGER, REGISTRY_PORT = "10.10.10.2", "10.10.10.1", 5000
READY_SECONDS = 30

SETUP = """
set -eu
mount --make-rprivate /
for folder in etc var/lib root; do
    own="{folder}/private/$folder"
    mkdir -p "$own/upper" "$own/work"
    mount -t overlay overlay -o "lowerdir=/$folder,upperdir=$own/upper,workdir=$own/work" "/$folder"
done
mount -t tmpfs tmpfs /run
hostname node2
echo '{manager} manager.matrix' >>/etc/hosts
mkdir -p /etc/docker/certs.d/manager.matrix:{port} /root/.docker
cp {folder}/ca.pem /etc/docker/certs.d/manager.matrix:{port}/ca.crt
ip link set lo up
ip link add internal type bridge
ip address add {address}/24 dev internal
ip address add {manager}/24 dev internal
ip link set internal up
docker-registry serve {folder}/registry/config.yml >{folder}/registry.log 2>&1 &
exec dockerd --data-root {folder}/data --exec-root /run/docker --host unix:///run/docker.sock \
    --cgroup-parent {cgroup} --storage-driver {driver} >{folder}/dockerd.log 2>&1
"""


@dataclass
class Node:
    """Commands run inside; `commands` keeps them for a look at what would have gone over SSH."""

    folder: Path
    registry: RealRegistry
    pid: int
    name: str = "node2"
    commands: list[str] = field(default_factory=list)

    def enter(self, *argv: str) -> list[str]:
        return ["nsenter", "-t", str(self.pid), "-m", "-n", "-p", "-u", "-i", "-r", "-w", *argv]

    def run(
        self, command: str, *, stdin: bytes | str = b"", timeout: float = 60.0, check: bool = True
    ) -> Result:
        self.commands.append(command)
        data = stdin.encode() if isinstance(stdin, str) else stdin
        argv = self.enter("sh", "-c", command)
        done = subprocess.run(argv, input=data, capture_output=True, timeout=timeout, check=False)
        result = Result(done.returncode, done.stdout.decode(), done.stderr.decode())
        if check and result.code != 0:
            raise CommandFailed(f"node2: exit code {result.code} from: {command}\n{result.stderr}".strip())
        return result

    def sudo(
        self, script: str, *, stdin: bytes | str = b"", timeout: float = 60.0, check: bool = True
    ) -> Result:
        return self.run(script, stdin=stdin, timeout=timeout, check=check)

    @contextmanager
    def forward(self, host: str, port: int) -> Iterator[int]:
        """A port on 127.0.0.1 out here; each connection is carried inside by a netcat of its own."""
        with socket.create_server(("127.0.0.1", 0)) as server:
            ended = threading.Event()
            thread = threading.Thread(target=self._serve, args=(server, host, port, ended), daemon=True)
            thread.start()
            yield server.getsockname()[1]
            ended.set()
            thread.join(10)

    def _serve(self, server: socket.socket, host: str, port: int, ended: threading.Event) -> None:
        carriers = []
        while not ended.is_set():
            if select.select([server], [], [], 0.05)[0]:
                connection, _ = server.accept()
                with connection:
                    argv = self.enter("nc", "-N", host, str(port))
                    handle = connection.fileno()
                    carriers.append(subprocess.Popen(argv, stdin=handle, stdout=handle))
        for carrier in carriers:
            carrier.terminate()
            carrier.wait(10)


@contextmanager
def dockerd(folder: Path) -> Iterator[Node]:
    """Skips the test where no engine can run; leaves no process, mount or cgroup behind."""
    needs("dockerd", "docker", "nsenter", "unshare", "ip", "nc", "curl", "docker-registry", "iptables")
    if os.geteuid() != 0:
        pytest.skip("needs root: a Docker Engine in namespaces of its own")
    registry = container_registry.prepare(folder / "registry", MANAGER, REGISTRY_PORT)
    (folder / "ca.pem").write_text(registry.wire["ca"])
    cgroup = f"/cloudmatrix-test-{os.getpid()}"
    process, node = _first_working(folder, registry, cgroup)
    try:
        login = f"docker login -u matrix --password-stdin manager.matrix:{REGISTRY_PORT}"
        node.run(login, stdin=registry.wire["password"])
        node.commands.clear()
        yield node
    finally:
        _end(process, cgroup)
        shutil.rmtree(folder, ignore_errors=True)


def _first_working(folder: Path, registry: RealRegistry, cgroup: str) -> tuple[subprocess.Popen[bytes], Node]:
    """With overlay2 where the filesystem allows it, else with plain copies."""
    logs = []
    for driver in ("overlay2", "vfs"):
        values = {"folder": folder, "manager": MANAGER, "address": ADDRESS, "port": REGISTRY_PORT}
        script = SETUP.format(**values, cgroup=cgroup, driver=driver)
        argv = ["unshare", "-m", "-n", "-p", "-u", "-i", "--fork", "--kill-child", "--mount-proc", "sh", "-c"]
        with (folder / "setup.log").open("wb") as log:
            process = subprocess.Popen([*argv, script], stdout=log, stderr=log, start_new_session=True)
        node = _await_ready(process, folder, registry)
        if node is not None:
            return process, node
        _end(process, cgroup)
        logs += [path.read_text(errors="replace")[-600:] for path in sorted(folder.glob("*.log"))]
    pytest.skip("no Docker Engine can run here: " + "\n".join(logs))


def _await_ready(process: subprocess.Popen[bytes], folder: Path, registry: RealRegistry) -> Node | None:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        if children:
            node = Node(folder, registry, int(children[0]))
            if node.run("docker info", check=False).code == 0:
                return node
        time.sleep(0.2)
    return None


def _end(process: subprocess.Popen[bytes], cgroup: str) -> None:
    """Killing unshare kills its child, the namespace's first process, and with it all that is in there."""
    process.kill()
    process.wait(30)
    for _ in range(50):
        left = [path for path in Path("/sys/fs/cgroup").rglob(f"*{cgroup.lstrip('/')}") if path.is_dir()]
        for path in left:
            _remove_cgroup(path)
        if not left:
            return
        time.sleep(0.1)


def _remove_cgroup(path: Path) -> None:
    for inner in sorted((p for p in path.rglob("*") if p.is_dir()), reverse=True):
        _rmdir(inner)
    _rmdir(path)


def _rmdir(path: Path) -> None:
    try:
        path.rmdir()
    except OSError:
        return  # its processes are still ending; the caller tries again
