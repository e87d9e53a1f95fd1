"""A certificate authority and certificates for tests, as PEM."""

import datetime
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec


@dataclass(frozen=True)
class Authority:
    certificate: str
    key: ec.EllipticCurvePrivateKey
    name: x509.Name


def authority(name: str) -> Authority:
    key, subject = ec.generate_private_key(ec.SECP256R1()), _name(name)
    constraints = x509.BasicConstraints(ca=True, path_length=0)
    built = _builder(subject, subject, key).add_extension(constraints, critical=True)
    return Authority(_pem(built.sign(key, hashes.SHA256())), key, subject)


def issue(ca: Authority, name: str, addresses: Sequence[str]) -> tuple[str, str]:
    """A server's certificate for a DNS name and addresses, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    known: list[x509.GeneralName] = [x509.DNSName(name)]
    known += [x509.IPAddress(ipaddress.ip_address(address)) for address in addresses]
    built = _builder(_name(name), ca.name, key)
    built = built.add_extension(x509.SubjectAlternativeName(known), critical=False)
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    private = key.private_bytes(encoding, form, serialization.NoEncryption()).decode()
    return _pem(built.sign(ca.key, hashes.SHA256())), private


def _name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + datetime.timedelta(days=1))
    )


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()
