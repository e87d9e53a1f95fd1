"""Finding the mirror in a machine's apt sources, and the backports on it."""

import pytest

from cli.sources import Source, backports, main_archive, read

DEB822 = """\
Types: deb
# a comment
URIs: http://mirror.test/debian
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb deb-src
URIs: http://mirror.test/security http://other.test/security
Suites: bookworm-security
Components: main

Types: deb-src
URIs: http://mirror.test/debian
Suites: bookworm
Components: main

Types: deb
URIs: http://off.test/debian
Suites: bookworm
Components: main
Enabled: no
"""

ONE_LINE = """\
# deb http://comment.test/debian bookworm main
deb http://mirror.test/debian bookworm main contrib # with a comment
deb [arch=amd64 signed-by=/etc/apt/keyrings/x.gpg] http://x.test/debian stable main
deb [ signed-by=/etc/apt/keyrings/y.gpg ] http://y.test/debian stable main
deb-src http://mirror.test/debian bookworm main
deb http://flat.test ./
deb [broken http://z.test/debian stable main
"""

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"


@pytest.fixture
def apt(tmp_path):
    (tmp_path / "sources.list.d").mkdir()
    return tmp_path


def test_both_forms_of_sources_are_read(apt):
    (apt / "sources.list").write_text(ONE_LINE)
    (apt / "sources.list.d" / "debian.sources").write_text(DEB822)
    (apt / "sources.list.d" / "old.list.disabled").write_text("deb http://off.test/debian bookworm main\n")
    assert read(apt) == (
        Source("http://mirror.test/debian", ("bookworm",), ("main", "contrib")),
        Source("http://x.test/debian", ("stable",), ("main",), "/etc/apt/keyrings/x.gpg"),
        Source("http://y.test/debian", ("stable",), ("main",), "/etc/apt/keyrings/y.gpg"),
        Source("http://flat.test", ("./",), ()),
        Source("http://mirror.test/debian", ("bookworm", "bookworm-updates"), ("main", "contrib"), KEYRING),
        Source("http://mirror.test/security", ("bookworm-security",), ("main",)),
        Source("http://other.test/security", ("bookworm-security",), ("main",)),
    )


def test_an_embedded_key_stays_whole(apt):
    text = "Types: deb\nURIs: http://a.test\nSuites: s\nComponents: main\nSigned-By:\n -----BEGIN\n .\n abc\n"
    (apt / "sources.list.d" / "a.sources").write_text(text)
    (source,) = read(apt)
    assert source.signed_by == "\n -----BEGIN\n .\n abc"
    assert "Signed-By: \n -----BEGIN\n .\n abc\n" in backports(source, "s")


@pytest.mark.parametrize(
    ("sources", "found"),
    [
        ((), None),
        ((Source("http://a", ("bookworm-security",), ("main",)),), None),
        ((Source("http://a", ("bookworm",), ("contrib",)),), None),
        (
            (Source("http://a", ("sid",), ("main",)), Source("http://b", ("bookworm",), ("main",))),
            "http://b",
        ),
    ],
)
def test_the_main_archive_has_the_release_itself(sources, found):
    archive = main_archive(sources, "bookworm")
    assert (archive.uri if archive else None) == found


def test_backports_come_from_the_same_mirror_with_the_same_key():
    archive = Source("http://mirror.test/debian", ("bookworm",), ("main",), KEYRING)
    assert backports(archive, "bookworm") == (
        "Types: deb\nURIs: http://mirror.test/debian\nSuites: bookworm-backports\nComponents: main\n"
        f"Signed-By: {KEYRING}\n"
    )
