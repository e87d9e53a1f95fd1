"""Certificate: an authority and servers that TLS clients accept, and only for their names."""

import ipaddress
import shutil
import socket
import ssl
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from provider.errors import UserError
from provider.resources.base import UNKNOWN
from provider.resources.certificate import (
    LIFETIME,
    CertificateResource,
    authority,
    mistakes,
    server,
    server_names,
)
from tests.rig.lifecycle import Case, contract
from tests.rig.plugin import Failed, Plugin, running
from tests.rig.wire import Secret

CA = authority("matrix CA")
NAMES = server_names(["manager.matrix", "localhost"], ["10.10.10.1", "127.0.0.1"])


@pytest.mark.parametrize(
    "inputs",
    [
        {"common_name": "matrix CA", "dns_names": [], "ip_addresses": []},
        {
            "common_name": "manager",
            "dns_names": ["manager.matrix"],
            "ip_addresses": ["10.10.10.1"],
            "issuer": {"certificate": CA["certificate"], "private_key": Secret(CA["private_key"])},
        },
    ],
    ids=["authority", "server"],
)
def test_contract(tmp_path: Path, inputs: dict[str, Any]) -> None:
    case = Case(
        type="Certificate",
        inputs=inputs,
        importable=False,
        secret_outputs=frozenset({"private_key"}),
        unknown="issuer" if "issuer" in inputs else "",
    )
    with running(tmp_path) as plugin:
        contract(plugin, case)


def test_an_authority_may_sign_certificates_but_no_authority() -> None:
    made = x509.load_pem_x509_certificate(CA["certificate"].encode())
    constraints = made.extensions.get_extension_for_class(x509.BasicConstraints)
    usage = made.extensions.get_extension_for_class(x509.KeyUsage)
    assert (constraints.critical, constraints.value.ca, constraints.value.path_length) == (True, True, 0)
    assert (usage.critical, usage.value.key_cert_sign, usage.value.digital_signature) == (True, True, False)
    assert made.not_valid_after_utc - made.not_valid_before_utc > LIFETIME


def test_a_server_has_its_names_and_may_only_serve() -> None:
    made = x509.load_pem_x509_certificate(server("manager", NAMES, CA)["certificate"].encode())
    names = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["manager.matrix", "localhost"]
    assert ipaddress.ip_address("10.10.10.1") in names.get_values_for_type(x509.IPAddress)
    assert not made.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    purposes = made.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(purposes) == [x509.ExtendedKeyUsageOID.SERVER_AUTH]


@pytest.mark.parametrize(
    ("authority_used", "name", "error"),
    [
        (CA, "localhost", None),
        (CA, "127.0.0.1", None),
        (CA, "node2.matrix", "Hostname mismatch"),
        (
            authority("another"),
            "localhost",
            "self-signed certificate in certificate chain|unable to get local issuer",
        ),
    ],
    ids=["by name", "by address", "another name", "another authority"],
)
def test_a_tls_client_that_trusts_the_authority_accepts_the_servers_names(
    tmp_path: Path, authority_used: dict[str, str], name: str, error: str | None
) -> None:
    client = ssl.create_default_context(cadata=authority_used["certificate"])
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    if error is None:
        assert _handshake(tmp_path, client, name) == "TLSv1.3"
    else:
        with pytest.raises(ssl.SSLCertVerificationError, match=error):
            _handshake(tmp_path, client, name)


@pytest.mark.skipif(not shutil.which("openssl"), reason="openssl is not on PATH")
def test_openssl_verifies_the_chain(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text(CA["certificate"])
    (tmp_path / "server.pem").write_text(server("manager", NAMES, CA)["certificate"])
    command = ["openssl", "verify", "-x509_strict", "-purpose", "sslserver", "-verify_ip", "10.10.10.1"]
    done = subprocess.run(
        [*command, "-CAfile", "ca.pem", "server.pem"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "server.pem: OK\n", done.stderr


@pytest.mark.parametrize(
    ("inputs", "reasons"),
    [
        ({"common_name": "ca"}, []),
        ({"common_name": UNKNOWN}, []),
        ({"common_name": "m", "dns_names": ["m"], "issuer": UNKNOWN}, []),
        ({"common_name": "m", "ip_addresses": [UNKNOWN], "issuer": {}}, []),
        ({"common_name": "m", "ip_addresses": UNKNOWN, "issuer": {}}, []),
        ({}, ['common_name: got None; need 1 to 64 characters; try "manager.matrix"']),
        (
            {"common_name": "m", "ip_addresses": ["::1", "10.10.10.300"], "issuer": {}},
            ["ip_addresses/1: got '10.10.10.300'; need an IP address; try 10.10.10.1"],
        ),
        (
            {"common_name": "m", "issuer": {}},
            ["dns_names: got none; a server's certificate needs one, or ip_addresses; try its host name"],
        ),
        (
            {"common_name": "m", "dns_names": ["m"]},
            ["issuer: got none; a certificate with dns_names or ip_addresses needs one; try the CA"],
        ),
    ],
)
def test_mistakes(inputs: dict[str, Any], reasons: list[str]) -> None:
    assert mistakes(inputs) == reasons


@pytest.mark.parametrize("key", ["nonsense", CA["certificate"]])
def test_an_issuer_that_cannot_be_read_is_the_users_error(key: str) -> None:
    inputs = {
        "common_name": "m",
        "dns_names": ["m"],
        "issuer": {"certificate": CA["certificate"], "private_key": key},
    }
    context: Any = type("Named", (), {"name": "m"})
    with pytest.raises(UserError, match=r"^Certificate m: the issuer's certificate or key cannot be read: "):
        CertificateResource().create(context, inputs)


def test_a_refused_issuer_is_not_quoted(tmp_path: Path) -> None:
    issuer = {"certificate": CA["certificate"], "private_key": Secret("canary-secret-key")}
    with running(tmp_path) as plugin, pytest.raises(Failed) as failure:
        urn = Plugin.urn("Certificate", "m")
        plugin.create(urn, {"common_name": "m", "dns_names": ["m"], "issuer": issuer})
    assert "canary" not in str(failure.value)


def _handshake(folder: Path, client: ssl.SSLContext, name: str) -> str | None:
    made = server("manager", NAMES, CA)
    (folder / "server.pem").write_text(made["certificate"] + made["private_key"])
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(folder / "server.pem")
    ours, theirs = socket.socketpair()
    with ours, theirs:
        thread = threading.Thread(target=_accept, args=(serving, theirs))
        thread.start()
        try:
            with client.wrap_socket(ours, server_hostname=name) as connection:
                return connection.version()
        finally:
            ours.close()
            thread.join()


def _accept(serving: ssl.SSLContext, connection: socket.socket) -> None:
    try:
        serving.wrap_socket(connection, server_side=True).close()
    except (ssl.SSLError, OSError):
        connection.close()
