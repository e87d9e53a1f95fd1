"""A real container registry on 127.0.0.1: TLS by an authority of its own, a password, deletion allowed."""

import datetime
import ipaddress
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bcrypt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.rig.programs import needs

NAME = "manager.matrix"


@dataclass
class RealRegistry:
    """`wire` is what the provider is given; the process may be stopped and started again."""

    folder: Path
    address: str
    port: int
    wire: dict[str, Any]
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with (self.folder / "log").open("ab") as log:
            argv = ["docker-registry", "serve", str(self.folder / "config.yml")]
            self.process = subprocess.Popen(argv, stdout=log, stderr=log)
        for _ in range(200):
            with socket.socket() as probe:
                if probe.connect_ex((self.address, self.port)) == 0:
                    return
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        raise AssertionError((self.folder / "log").read_text())

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(10)
            self.process = None


@contextmanager
def container_registry(folder: Path) -> Iterator[RealRegistry]:
    needs("docker-registry")
    registry = prepare(folder, "127.0.0.1", free_port())
    registry.start()
    try:
        yield registry
    finally:
        registry.stop()


def prepare(folder: Path, address: str, port: int) -> RealRegistry:
    """Configuration, certificates and password in `folder`; nothing runs yet."""
    folder.mkdir(parents=True, exist_ok=True)
    authority, certificate, key = certificates(address)
    (folder / "certificate.pem").write_bytes(certificate)
    (folder / "key.pem").write_bytes(key)
    hashed = bcrypt.hashpw(b"a registry's password", bcrypt.gensalt(4)).decode()
    (folder / "htpasswd").write_text(f"matrix:{hashed}\n")
    (folder / "config.yml").write_text(
        f"""version: 0.1
log: {{level: warn}}
storage: {{filesystem: {{rootdirectory: {folder}/data}}, delete: {{enabled: true}}}}
http:
  addr: {address}:{port}
  tls: {{certificate: {folder}/certificate.pem, key: {folder}/key.pem}}
auth: {{htpasswd: {{realm: matrix, path: {folder}/htpasswd}}}}
"""
    )
    wire = {"host": f"{NAME}:{port}", "ca": authority.decode(), "username": "matrix"}
    return RealRegistry(folder, address, port, {**wire, "password": "a registry's password"})


def certificates(address: str) -> tuple[bytes, bytes, bytes]:
    """An authority's certificate, and one by it for the registry's name and address, with its key."""
    authority_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test authority")])
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAME)])
    now = datetime.datetime.now(datetime.UTC) - datetime.timedelta(hours=1)

    def begin(name: x509.Name, public: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        builder = x509.CertificateBuilder().subject_name(name).issuer_name(issuer).public_key(public)
        builder = builder.serial_number(x509.random_serial_number()).not_valid_before(now)
        return builder.not_valid_after(now + datetime.timedelta(days=2))

    root = begin(issuer, authority_key.public_key())
    root = root.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    names = [x509.DNSName(NAME), x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address(address))]
    leaf = begin(subject, key.public_key())
    leaf = leaf.add_extension(x509.SubjectAlternativeName(names), critical=False)
    pem = serialization.Encoding.PEM
    return (
        root.sign(authority_key, hashes.SHA256()).public_bytes(pem),
        leaf.sign(authority_key, hashes.SHA256()).public_bytes(pem),
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
    )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
