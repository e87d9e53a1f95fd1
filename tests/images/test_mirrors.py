"""The Debian mirror is read from apt's own files, in either notation, and nobody else's archive is taken."""

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from provider.errors import UserError
from provider.mirrors import (
    Mirror,
    Source,
    machine_mirror,
    named_mirror,
    offered,
    parse_deb822,
    parse_one_line,
)

ONE_LINE = [
    (
        "deb http://mirror.example/debian bookworm main contrib",
        Source("http://mirror.example/debian", "bookworm", ("main", "contrib")),
    ),
    (
        "deb [arch=amd64 signed-by=/k.gpg] http://mirror.example/debian trixie main # ours",
        Source("http://mirror.example/debian", "trixie", ("main",), "/k.gpg"),
    ),
    ("deb-src http://mirror.example/debian bookworm main", None),
    ("# deb http://mirror.example/debian bookworm main", None),
    ("", None),
]


@pytest.mark.parametrize(("line", "source"), ONE_LINE)
def test_one_line_notation(line: str, source: Source | None) -> None:
    assert list(parse_one_line(line)) == ([source] if source else [])


DEB822 = [
    (
        "Types: deb deb-src\nURIs: http://a.example/debian\nSuites: trixie trixie-updates\nComponents: main\n"
        "Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\n",
        [("http://a.example/debian", "trixie"), ("http://a.example/debian", "trixie-updates")],
    ),
    (
        "# comment\nTypes: deb\n# another\nURIs: http://a.example/debian\n  http://b.example/debian\n"
        "Suites: sid\nComponents: main\n",
        [("http://a.example/debian", "sid"), ("http://b.example/debian", "sid")],
    ),
    ("Enabled: no\nTypes: deb\nURIs: http://a.example/debian\nSuites: sid\nComponents: main\n", []),
    ("Types: deb-src\nURIs: http://a.example/debian\nSuites: sid\nComponents: main\n", []),
    (
        "Types: deb\nURIs: http://a.example\nSuites: sid\nComponents: main\n \nTypes: deb\nURIs: http://b.example\n"
        "Suites: sid\nComponents: main\n",
        [("http://a.example", "sid"), ("http://b.example", "sid")],
    ),
]


@pytest.mark.parametrize(("text", "sources"), DEB822)
def test_deb822_notation(text: str, sources: list[tuple[str, str]]) -> None:
    assert [(source.uri, source.suite) for source in parse_deb822(text)] == sources


MACHINES = {
    "three archives, any order": (
        {
            "sources.list": "deb http://s.example/debian-security bookworm-security main\n"
            "deb http://m.example/debian/ bookworm main\ndeb http://m.example/debian bookworm-updates main\n"
        },
        Mirror("http://m.example/debian", "http://m.example/debian", "http://s.example/debian-security"),
    ),
    "strangers are passed over": (
        {
            "sources.list.d/a.list": "deb https://docker.example/linux/debian bookworm stable\n"
            "deb [signed-by=/usr/share/keyrings/other.gpg] https://other.example bookworm main\n"
            "deb http://pgdg.example bookworm-pgdg main\n"
            "deb http://m.example/debian bookworm-backports main\n",
            "sources.list.d/b.sources": "Types: deb\nURIs: http://m.example/debian\nSuites: bookworm\n"
            "Components: main\n",
            "sources.list.d/c.list.save": "deb http://old.example/debian bookworm main\n",
        },
        Mirror("http://m.example/debian"),
    ),
    "the old name of the security suite": (
        {
            "sources.list": "deb http://m.example/debian bullseye main\n"
            "deb http://s.example bullseye/updates main\n"
        },
        Mirror("http://m.example/debian", "", "http://s.example"),
    ),
}


@pytest.mark.parametrize("name", MACHINES)
def test_the_machine_s_mirror(name: str, tmp_path: Path) -> None:
    files, mirror = MACHINES[name]
    for path, text in files.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(text)
    assert machine_mirror(tmp_path) == mirror


def test_a_list_of_mirrors_stands_for_its_first(tmp_path: Path) -> None:
    listed = tmp_path / "debian.list"
    listed.write_text("# near\nhttp://m.example/debian/ priority:1\nhttp://n.example/debian\n")
    (tmp_path / "sources.list").write_text(f"deb mirror+file://{listed} trixie main\n")
    assert machine_mirror(tmp_path).main == "http://m.example/debian"


def test_no_debian_mirror_names_the_setting(tmp_path: Path) -> None:
    (tmp_path / "sources.list").write_text("deb http://ubuntu.example/ubuntu noble main\n")
    with pytest.raises(UserError) as error:
        machine_mirror(tmp_path)
    assert str(error.value) == (
        f"base.mirror: no Debian mirror in {tmp_path}/sources.list or {tmp_path}/sources.list.d; "
        "set base.mirror to the URL of one (what stands after `deb` in a Debian machine's sources.list)"
    )


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[str]:
    """A web server with a release and its security suite, without updates."""
    for suite in ("debian/dists/trixie", "debian-security/dists/trixie-security"):
        (tmp_path / suite).mkdir(parents=True)
        (tmp_path / suite / "InRelease").touch()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments, directory=str(tmp_path))  # type: ignore[arg-type]

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_parts_a_mirror_does_not_offer_are_left_out(archive: str) -> None:
    assert offered(named_mirror(f"{archive}/debian/"), "trixie") == Mirror(
        f"{archive}/debian", "", f"{archive}/debian-security"
    )


def test_a_release_the_mirror_does_not_have(archive: str) -> None:
    with pytest.raises(UserError) as error:
        offered(named_mirror(f"{archive}/debian"), "forky")
    assert str(error.value) == (
        f"base.mirror: {archive}/debian does not offer Debian forky (File not found); "
        "check the network, or set base.mirror to another mirror"
    )


def test_a_mirror_out_of_reach() -> None:
    with pytest.raises(UserError, match=r"does not offer Debian trixie \(\[Errno 111\] Connection refused\)"):
        offered(named_mirror("http://127.0.0.1:9/debian"), "trixie")


def test_a_mirror_in_a_folder(tmp_path: Path) -> None:
    (tmp_path / "dists/trixie").mkdir(parents=True)
    (tmp_path / "dists/trixie/InRelease").touch()
    assert offered(named_mirror(f"file://{tmp_path}"), "trixie") == Mirror(f"file://{tmp_path}")
