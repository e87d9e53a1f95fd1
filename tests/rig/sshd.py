"""A real sshd on 127.0.0.1 with keys of its own, for tests of everything that goes over SSH."""

import getpass
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

SSHD = shutil.which("sshd") or "/usr/sbin/sshd"
MISSING = None if Path(SSHD).exists() and os.geteuid() == 0 else "needs root and openssh-server"


@dataclass(frozen=True)
class Key:
    private: str
    public: str


def new_key() -> Key:
    key = Ed25519PrivateKey.generate()
    encoding, form = serialization.Encoding, serialization.PublicFormat
    private = key.private_bytes(
        encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(encoding.OpenSSH, form.OpenSSH)
    return Key(private.decode(), public.decode())


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def sshd(folder: Path) -> Iterator[dict[str, Any]]:
    """Start sshd and yield the wire `connection` to it."""
    host, user, port = new_key(), new_key(), free_port()
    Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    (folder / "host_key").write_text(host.private)
    (folder / "host_key").chmod(0o600)
    (folder / "authorized_keys").write_text(user.public + "\n")
    (folder / "sshd_config").write_text(
        f"ListenAddress 127.0.0.1:{port}\nHostKey {folder}/host_key\n"
        f"AuthorizedKeysFile {folder}/authorized_keys\nStrictModes no\nPidFile none\n"
        "PermitRootLogin yes\nPasswordAuthentication no\nUsePAM no\n"
    )
    process = subprocess.Popen(
        [SSHD, "-D", "-e", "-f", folder / "sshd_config"], stderr=(folder / "log").open("w")
    )
    try:
        _await_port(port)
        yield {
            "host": "127.0.0.1",
            "port": port,
            "user": getpass.getuser(),
            "private_key": user.private,
            "host_key": host.public,
        }
    finally:
        process.terminate()
        process.wait(10)


def _await_port(port: int) -> None:
    for _ in range(100):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise TimeoutError(f"sshd did not listen on {port}")
