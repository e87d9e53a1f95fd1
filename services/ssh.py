"""sshd on every machine: keys only, one user, one host key, no weak algorithm."""

from services.files import File
from services.templates import render

UNIT = "ssh.service"
HOST_KEY = "/etc/ssh/ssh_host_ed25519_key"


def ssh_files(user: str) -> tuple[File, ...]:
    """`user` is the only one who may log in."""
    return (
        File("/etc/ssh/sshd_config.d/10-matrix.conf", render("sshd.conf.j2", user=user, host_key=HOST_KEY)),
    )
