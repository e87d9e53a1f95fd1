"""Certificate: a private certificate authority, or a server's certificate signed by one."""

import datetime
import ipaddress
from collections.abc import Mapping, Sequence
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from provider.errors import UserError
from provider.resources.base import UNKNOWN, Context, Created, Failure, Found, Properties, Resource
from provider.resources.recorded import recorded

OUTPUTS = ("certificate", "private_key", "fingerprint")
LIFETIME = datetime.timedelta(days=3650)
CLOCK_SKEW = datetime.timedelta(days=1)
"""A new machine's clock may be behind ours."""
LONGEST_NAME = 64
"""Characters of a common name, by X.509."""


class CertificateResource(Resource):
    """The id is the SHA-256 of the certificate, as hex."""

    TYPE = "Certificate"
    REPLACES = frozenset({"common_name", "dns_names", "ip_addresses", "issuer"})
    SECRETS = frozenset({"private_key"})

    def check(self, context: Context, inputs: Properties) -> tuple[Properties, list[Failure]]:
        del context
        return inputs, [Failure(reason) for reason in mistakes(inputs)]

    def create(self, context: Context, inputs: Properties) -> Created:
        issuer = inputs.get("issuer")
        if issuer is None:
            outputs = authority(inputs["common_name"])
        else:
            names = server_names(inputs.get("dns_names", ()), inputs.get("ip_addresses", ()))
            try:
                outputs = server(inputs["common_name"], names, issuer)
            except (ValueError, x509.ExtensionNotFound) as error:
                raise UserError(
                    f"Certificate {context.name}: the issuer's certificate or key cannot be read: {error}\n"
                    "pass the outputs of another Certificate as its issuer"
                ) from error
        return Created(outputs["fingerprint"], outputs)

    def read(self, context: Context, identifier: str, inputs: Properties, state: Properties) -> Found | None:
        del context, identifier
        return recorded(inputs, state, OUTPUTS)

    def update(self, context: Context, identifier: str, old: Properties, new: Properties) -> Properties:
        """Every change makes a new certificate; the engine asks this only for a state marked half-made."""
        del context, identifier, new
        return {name: old[name] for name in OUTPUTS}

    def delete(self, context: Context, identifier: str, state: Properties) -> None:
        """Nothing is kept outside the state."""


def mistakes(inputs: Properties) -> list[str]:
    """What is wrong with the inputs, one line each; what is not known yet is not judged."""
    found = []
    name = inputs.get("common_name")
    if not isinstance(name, str) or not 0 < len(name) <= LONGEST_NAME:
        found.append(f'common_name: got {name!r}; need 1 to {LONGEST_NAME} characters; try "manager.matrix"')
    addresses = inputs.get("ip_addresses", [])
    for index, address in enumerate(addresses if isinstance(addresses, list) else []):
        if address != UNKNOWN and not _is_address(address):
            field = f"ip_addresses/{index}"
            found.append(f"{field}: got {address!r}; need an IP address; try 10.10.10.1")
    named = bool(inputs.get("dns_names") or addresses)
    if "issuer" in inputs and not named:
        found.append(
            "dns_names: got none; a server's certificate needs one, or ip_addresses; try its host name"
        )
    if "issuer" not in inputs and named:
        found.append("issuer: got none; a certificate with dns_names or ip_addresses needs one; try the CA")
    return found


def _is_address(text: object) -> bool:
    try:
        ipaddress.ip_address(str(text))
    except ValueError:
        return False
    return True


def server_names(dns_names: Sequence[str], ip_addresses: Sequence[str]) -> list[x509.GeneralName]:
    names: list[x509.GeneralName] = [x509.DNSName(name) for name in dns_names]
    return names + [x509.IPAddress(ipaddress.ip_address(address)) for address in ip_addresses]


def authority(common_name: str) -> dict[str, str]:
    """A self-signed authority that may sign servers' certificates and no other authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name(common_name)
    builder = (
        _builder(name, name, key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(sign_certificates=True), critical=True)
    )
    return _outputs(builder.sign(key, hashes.SHA256()), key)


def server(common_name: str, names: Sequence[x509.GeneralName], issuer: Mapping[str, Any]) -> dict[str, str]:
    """A server's certificate for these names. `issuer` is an authority's `certificate` and `private_key`.

    ValueError: the issuer is no PEM, or not of the kind `authority` makes.
    """
    signer = x509.load_pem_x509_certificate(issuer["certificate"].encode())
    signing_key = load_pem_private_key(issuer["private_key"].encode(), password=None)
    if not isinstance(signing_key, ec.EllipticCurvePrivateKey):
        raise ValueError("its key is not an elliptic curve key")
    key = ec.generate_private_key(ec.SECP256R1())
    identifier = signer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    builder = (
        _builder(_name(common_name), signer.subject, key)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(sign_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False
        )
    )
    return _outputs(builder.sign(signing_key, hashes.SHA256()), key)


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


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
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(now + LIFETIME)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _usage(*, sign_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not sign_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=sign_certificates,
        crl_sign=sign_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _outputs(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> dict[str, str]:
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return {
        "certificate": certificate.public_bytes(Encoding.PEM).decode(),
        "private_key": private.decode(),
        "fingerprint": certificate.fingerprint(hashes.SHA256()).hex(),
    }
