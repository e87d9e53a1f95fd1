"""./matrix ssh: the configuration it writes, and OpenSSH's own opinion of it."""

import shutil
import stat
import subprocess

import pytest

from cli import ssh
from cli.errors import CliError
from tests.rig.sshd import MISSING, new_key, sshd

MANAGER = {
    "host": "127.0.0.1",
    "port": 2222,
    "user": "matrix",
    "private_key": "KEY",
    "host_key": "ssh-ed25519 M",
}
NODE = {**MANAGER, "host": "10.10.10.2", "port": 22, "host_key": "ssh-ed25519 N\n", "proxy": MANAGER}
BOTH = {"manager": MANAGER, "node2": NODE}


def test_every_host_has_its_key_and_the_way_to_it(tmp_path):
    assert (
        ssh.configuration(tmp_path, "dev", BOTH)
        == f"""\
Host manager
  HostName 127.0.0.1
  Port 2222
  User matrix
  HostKeyAlias dev-manager
  IdentityFile "{tmp_path}/manager.key"
Host node2
  HostName 10.10.10.2
  Port 22
  User matrix
  HostKeyAlias dev-node2
  IdentityFile "{tmp_path}/node2.key"
  ProxyCommand ssh -F {tmp_path}/config -W [%h]:%p manager
Host *
  StrictHostKeyChecking yes
  UserKnownHostsFile "{tmp_path}/known_hosts"
  GlobalKnownHostsFile none
  UpdateHostKeys no
  IdentitiesOnly yes
  IdentityAgent none
  PasswordAuthentication no
  LogLevel ERROR
"""
    )


def test_host_keys_are_pinned_by_machine_not_by_address():
    assert ssh.known_hosts("dev", BOTH) == "dev-manager ssh-ed25519 M\ndev-node2 ssh-ed25519 N\n"


def test_only_the_owner_can_read_what_is_written(tmp_path):
    ssh.write(tmp_path / "ssh", "dev", BOTH)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "ssh").iterdir()}
    assert modes == dict.fromkeys(["config", "known_hosts", "manager.key", "node2.key"], 0o600)
    assert stat.S_IMODE((tmp_path / "ssh").stat().st_mode) == 0o700


@pytest.mark.parametrize(
    ("command", "words"), [((), []), (("uptime", "-p"), ["--", "uptime", "-p"])], ids=["shell", "command"]
)
def test_a_command_is_handed_over_whole(tmp_path, command, words):
    assert ssh.argv(tmp_path, "node2", command) == ["ssh", "-F", f"{tmp_path}/config", "node2", *words]


def test_a_way_through_a_machine_that_is_gone_is_an_error(tmp_path):
    with pytest.raises(CliError) as caught:
        ssh.configuration(tmp_path, "dev", {"node2": NODE})
    assert caught.value.message == "the way through 127.0.0.1 is no machine of this stack; run ./matrix up"


@pytest.mark.skipif(MISSING is not None or not shutil.which("ssh"), reason=MISSING or "needs ssh")
class TestWithRealOpenSSH:
    @pytest.fixture
    def connection(self, tmp_path):
        with sshd(tmp_path) as connection:
            yield connection

    @pytest.fixture
    def folder(self, tmp_path):
        return tmp_path / "a folder 100% its own" / "ssh"

    def run(self, folder, connections, host="node2"):
        ssh.write(folder, "dev", connections)
        argv = ssh.argv(folder, host, ["echo", "hello"])
        return subprocess.run(argv, capture_output=True, text=True, timeout=30, stdin=subprocess.DEVNULL)

    def test_a_node_is_reached_through_the_manager(self, folder, connection):
        done = self.run(folder, {"manager": connection, "node2": {**connection, "proxy": connection}})
        assert (done.returncode, done.stdout, done.stderr) == (0, "hello\n", "")

    def test_another_host_key_is_refused(self, folder, connection):
        swapped = {**connection, "host_key": new_key().public}
        done = self.run(folder, {"manager": swapped}, "manager")
        assert done.returncode == 255
        assert "REMOTE HOST IDENTIFICATION HAS CHANGED" in done.stderr
