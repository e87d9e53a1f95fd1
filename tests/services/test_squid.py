"""Squid with the rendered files, asked by a node for all it should and should not give."""

from collections.abc import Iterator

import pytest

from services.files import File
from services.squid import squid_files
from tests.rig.jail import missing, until
from tests.rig.lan import NETWORK, OTHER_PUBLIC, PRIVATE, PUBLIC, Lan, listening

PROXY = f"http://{NETWORK.manager}:3128"
ALLOWED = (
    "listed.example",
    ".suffix.example",
    OTHER_PUBLIC,
    "to-private.example",
    "to-metadata.example",
    "to-loopback.example",
    "to-manager.example",
    "manager.matrix",
    "localhost",
)
"""The list is as careless as a user can make it: names that lead inside are on it."""


@pytest.fixture(scope="module")
def proxied(network: Lan, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lan]:
    if reason := missing("squid", "curl"):
        pytest.skip(reason)
    log = tmp_path_factory.mktemp("squid") / "log"
    with network.manager.start(squid_files(NETWORK, ALLOWED), log) as daemon:
        until(lambda: listening(network.manager, 3128) or daemon.poll() is not None, "squid")
        assert daemon.poll() is None, log.read_text()
        yield network


def fetch(lan: Lan, url: str, *, method: str = "GET") -> int:
    """The status the proxy answers with to a plain request."""
    options = ["-s", "-o", "/dev/null", "-m", "10", "-X", method, "-x", PROXY, "-w", "%{http_code}"]
    return int(lan.node.run("curl", *options, url, check=False).stdout)


def tunnel(lan: Lan, destination: str) -> int:
    """The status the proxy answers with to CONNECT."""
    options = ["-s", "-o", "/dev/null", "-m", "10", "-p", "-x", PROXY, "-w", "%{http_connect}"]
    return int(lan.node.run("curl", *options, f"http://{destination}/", check=False).stdout)


@pytest.mark.parametrize(
    ("url", "status"),
    [
        ("http://listed.example/", 200),
        ("http://LISTED.example/", 200),
        ("http://suffix.example/", 200),
        ("http://deep.under.suffix.example/", 200),
        (f"http://{OTHER_PUBLIC}/", 200),  # a listed literal
        ("http://unlisted.example/", 403),
        ("http://evil-listed.example/", 403),
        ("http://listed.example.unlisted.example/", 403),
        (f"http://{PUBLIC}/", 403),  # a listed name's address is not listed by that
        ("http://listed.example:8080/", 403),
        ("http://listed.example:22/", 403),
        ("ftp://listed.example/", 403),
        ("http://to-private.example/", 403),
        ("http://to-metadata.example/", 403),
        ("http://to-loopback.example/", 403),
        ("http://to-manager.example/", 403),
        ("http://[::1]/", 403),
        ("http://[::ffff:10.99.0.1]/", 403),
        ("http://0/", 403),
        *((f"http://{address}/", 403) for address in (*PRIVATE, "127.0.0.1", NETWORK.manager)),
    ],
)
def test_plain_requests(proxied: Lan, url: str, status: int) -> None:
    assert fetch(proxied, url) == status


@pytest.mark.parametrize(
    ("destination", "status"),
    [
        ("listed.example:443", 200),
        ("deep.under.suffix.example:443", 200),
        (f"{OTHER_PUBLIC}:443", 200),
        ("listed.example:22", 403),
        ("listed.example:80", 403),
        ("listed.example:8080", 403),
        ("unlisted.example:443", 403),
        (f"{PUBLIC}:443", 403),
        ("to-private.example:443", 403),
        ("to-loopback.example:443", 403),
        ("to-manager.example:443", 403),
        *((f"{address}:443", 403) for address in (*PRIVATE, "127.0.0.1", NETWORK.manager)),
    ],
)
def test_tunnels(proxied: Lan, destination: str, status: int) -> None:
    assert tunnel(proxied, destination) == status


def test_the_proxys_own_pages_are_not_for_nodes(proxied: Lan) -> None:
    assert fetch(proxied, f"{PROXY}/squid-internal-mgr/menu") == 403


def test_only_the_internal_address_listens(proxied: Lan) -> None:
    assert proxied.manager.run("ss", "-Hltn", "sport = 3128").stdout.split()[3] == f"{NETWORK.manager}:3128"


def test_an_empty_list_lets_nothing_through(proxied: Lan) -> None:
    config = squid_files(NETWORK, [])[0]
    proxied.manager.write([File("/run/empty.conf", config.content)])
    checked = proxied.manager.run("squid", "-k", "parse", "-f", "/run/empty.conf")
    assert not [line for line in checked.stderr.splitlines() if "WARNING" in line or "ERROR" in line]
    rules = [line for line in config.content.splitlines() if line.startswith("http_access")]
    assert "http_access allow allowed" not in rules
    assert rules[-1] == "http_access deny all"


def test_names_a_suffix_covers_are_left_out() -> None:
    config = squid_files(
        NETWORK, ["b.example.org", ".example.org", "example.org", "example.com", ".a.example.org"]
    )
    lines = [line for line in config[0].content.splitlines() if line.startswith("acl allowed")]
    assert lines == ["acl allowed dstdomain -n .example.org", "acl allowed dstdomain -n example.com"]


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("10.1.2.3", "egress: got '10.1.2.3'; need a public address; private ones are never let through"),
        ("127.1", "egress: got '127.1'; need a host name, a .suffix or an IPv4 address"),
        ("a b", "egress: got 'a b'; need a host name, a .suffix or an IPv4 address"),
        ("a\nhttp_access allow all", "egress: got 'a\\nhttp_access allow all'; need a host name,"),
        ("*.example.org", "egress: got '*.example.org'; need a host name,"),
        (".", "egress: got '.'; need a host name,"),
        ("", "egress: got ''; need a host name,"),
    ],
)
def test_entries_that_are_no_destination(entry: str, message: str) -> None:
    with pytest.raises(ValueError) as error:
        squid_files(NETWORK, [entry])
    assert str(error.value).startswith(message)
