"""sshd with the rendered drop-in, reached by this project's own client and by ssh."""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from services.files import File
from services.ssh import ssh_files
from tests.rig.jail import Jail, missing, until
from tests.rig.lan import Lan, listening
from tests.rig.sshd import Key, new_key

MAIN = "Include /etc/ssh/sshd_config.d/*.conf\nUsePAM no\nX11Forwarding yes\n"
"""As in Debian's sshd_config, apart from PAM, which is not set up for a user that exists in a jail only."""

CLIENT = """
import json, sys
from provider import ssh
host = ssh.connect(json.load(sys.stdin))
said = host.run("id -un").stdout.strip()
transport = host._transport()
print(json.dumps([said, transport.host_key_type, transport.local_cipher, transport.remote_mac]))
"""


@dataclass(frozen=True)
class Server:
    jail: Jail
    host: Key
    user: Key
    folder: Path

    def ssh(self, *options: str, user: str = "matrix") -> subprocess.CompletedProcess[str]:
        fixed = ["-F", "none", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"]
        login = [
            "-i",
            str(self.folder / "key"),
            "-o",
            "BatchMode=yes",
            "-p",
            "22",
            f"{user}@127.0.0.1",
            "id -un",
        ]
        return self.jail.run("ssh", *fixed, *options, *login, check=False)


@pytest.fixture(scope="module")
def server(network: Lan, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    if reason := missing("sshd", "ssh"):
        pytest.skip(reason)
    jail, folder = network.stranger, tmp_path_factory.mktemp("ssh")
    host, user = new_key(), new_key()
    (folder / "key").write_text(user.private)
    (folder / "key").chmod(0o600)
    jail.shell(
        "useradd --create-home --base-dir /var/lib --shell /bin/sh --password '*' matrix; mkdir /run/sshd"
    )
    keys = File("/var/lib/matrix/.ssh/authorized_keys", user.public + "\n", "0600", "matrix:matrix")
    roots = File("/root/.ssh/authorized_keys", user.public + "\n", "0600")
    private = File("/etc/ssh/ssh_host_ed25519_key", host.private, "0600")
    jail.shell("rm -f /etc/ssh/sshd_config.d/* /etc/ssh/ssh_host_*")
    jail.write([File("/etc/ssh/sshd_config", MAIN), keys, roots, private, *ssh_files("matrix")])
    jail.shell("chown -R matrix:matrix /var/lib/matrix; chmod 700 /var/lib/matrix /var/lib/matrix/.ssh")
    log = folder / "log"
    with jail.running("/usr/sbin/sshd", "-D", "-e", log=log) as daemon:
        until(lambda: listening(jail, 22) or daemon.poll() is not None, "sshd")
        assert daemon.poll() is None, log.read_text()
        yield Server(jail, host, user, folder)


def test_our_own_client_gets_in_with_strong_algorithms(server: Server) -> None:
    connection = {
        "host": "127.0.0.1",
        "port": 22,
        "user": "matrix",
        "private_key": server.user.private,
        "host_key": server.host.public,
    }
    root = Path(__file__).parents[2]
    argv = ["env", f"PYTHONPATH={root}", sys.executable, "-c", CLIENT]
    said = json.loads(server.jail.run(*argv, stdin=json.dumps(connection)).stdout)
    assert said == ["matrix", "ssh-ed25519", "aes128-gcm@openssh.com", "hmac-sha2-256-etm@openssh.com"]


@pytest.mark.parametrize(
    ("options", "user", "says"),
    [
        ((), "matrix", "matrix"),
        ((), "root", "Permission denied (publickey)"),
        ((), "nobody", "Permission denied (publickey)"),
        (("-o", "PreferredAuthentications=password"), "matrix", "Permission denied (publickey)"),
        (("-o", "KexAlgorithms=ecdh-sha2-nistp256"), "matrix", "no matching key exchange method"),
        (("-o", "KexAlgorithms=diffie-hellman-group14-sha256"), "matrix", "no matching key exchange method"),
        (("-o", "KexAlgorithms=curve25519-sha256"), "matrix", "matrix"),
        (("-o", "Ciphers=aes256-ctr"), "matrix", "no matching cipher"),
        (("-o", "Ciphers=chacha20-poly1305@openssh.com"), "matrix", "no matching cipher"),
        (("-o", "HostKeyAlgorithms=rsa-sha2-512"), "matrix", "no matching host key type"),
    ],
)
def test_who_gets_in_how(server: Server, options: tuple[str, ...], user: str, says: str) -> None:
    done = server.ssh(*options, user=user)
    assert says in done.stdout + done.stderr
    assert (done.returncode == 0) is (says == "matrix")
