"""A file is fetched once, goes on after a break, is right or named as wrong, and nothing good is lost."""

import hashlib
import shutil
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from provider.errors import Cancelled, UserError
from provider.images import download, web
from provider.images.download import Meter, Patience
from provider.images.fetch import fetch
from tests.rig.web import (
    Site,
    answers,
    breaks,
    good,
    serving,
    slowly,
    stalls,
    without_length,
    wrong_part,
)

ROOT = Path(__file__).parents[2]
CONTENT = bytes(range(256)) * 4096
"""1 MiB."""
SUM = hashlib.sha256(CONTENT).hexdigest()
HALF = len(CONTENT) // 2
QUICK = Patience(tries=2, pause=0.01)
IMPATIENT = Patience(stall=1, tries=2, pause=0.01)
"""For servers that stall; long enough for one that answers while this machine is busy."""


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with serving(Site({"/d/small.iso": CONTENT})) as site:
        yield site


class Fetching:
    """Fetches of one user; what is shown is in `said`, without the lines of progress."""

    def __init__(self, root: Path, site: Site) -> None:
        self.root, self.site = root, site
        self.said: list[str] = []
        self.cancelled = threading.Event()
        self.patience = QUICK

    def __call__(self, path: str = "/d/small.iso", sha256: str = SUM) -> Path:
        source = {"from": "iso", "url": self.site.address + path, "sha256": sha256}
        return fetch(source, self.say, self.cancelled, root=self.root, patience=self.patience)

    def say(self, line: str) -> None:
        if not line.startswith("fetching small.iso: "):
            self.said.append(line)

    def fails(self, path: str = "/d/small.iso", sha256: str = SUM) -> str:
        with pytest.raises(UserError) as error:
            self(path, sha256)
        return str(error.value).replace(self.site.address, "http://site").replace(str(self.root), "ROOT")

    @property
    def ranges(self) -> list[str]:
        return [wanted for _, wanted in self.site.requests]

    def left(self) -> list[str]:
        """Everything but locks, which stay on purpose."""
        files = [path for path in self.root.rglob("*") if not path.name.startswith(".lock-")]
        return sorted(str(path.relative_to(self.root)) for path in files)


@pytest.fixture
def fetching(tmp_path: Path, site: Site) -> Fetching:
    return Fetching(tmp_path / "downloads", site)


WHOLE = [SUM, f"{SUM}/small.iso"]
PART = [f".part-{SUM}", f".part-{SUM}/file", f".part-{SUM}/file.json"]


def test_it_is_fetched_once(fetching: Fetching) -> None:
    path = fetching()
    assert path == fetching.root / SUM / "small.iso"
    assert path.read_bytes() == CONTENT
    assert not path.stat().st_mode & 0o222
    assert fetching() == path
    assert fetching.site.requests == [("/d/small.iso", "")]
    assert fetching.left() == WHOLE
    assert fetching.said == []


def test_a_cached_file_serves_whatever_its_name_and_without_the_network(fetching: Fetching) -> None:
    path = fetching()
    assert fetching("/gone/other-name.iso") == path
    assert len(fetching.site.requests) == 1


MENDED = [
    ("a break", [breaks(HALF)], {}, ["", f"bytes={HALF}-"], ["the connection broke; trying again"]),
    (
        "two breaks",
        [breaks(1000), breaks(1000)],
        {},
        ["", "bytes=1000-", "bytes=2000-"],
        ["the connection broke; trying again"] * 2,
    ),
    (
        "a break, and a server without parts",
        [breaks(HALF)],
        {"ranges": False},
        ["", f"bytes={HALF}-"],
        ["the connection broke; trying again"],
    ),
    (
        "a break, and a server without a validator",
        [breaks(HALF)],
        {"etag": ""},
        ["", f"bytes={HALF}-"],
        ["the connection broke; trying again"],
    ),
    (
        "a busy server",
        [answers(503)],
        {},
        ["", ""],
        ["the server answered 503 Service Unavailable; trying again"],
    ),
    (
        "another part than was asked for",
        [breaks(HALF), wrong_part],
        {},
        ["", f"bytes={HALF}-", ""],
        [
            "the connection broke; trying again",
            "the server sent another part than was asked for; trying again",
        ],
    ),
    (
        "a part refused",
        [breaks(HALF), answers(416)],
        {},
        ["", f"bytes={HALF}-", ""],
        ["the connection broke; trying again", "the file has changed; trying again"],
    ),
    ("no length", [without_length], {}, [""], []),
]


@pytest.mark.parametrize(
    ("troubles", "served", "ranges", "said"), [case[1:] for case in MENDED], ids=[case[0] for case in MENDED]
)
def test_what_breaks_is_mended(
    fetching: Fetching, troubles: list[Any], served: dict[str, Any], ranges: list[str], said: list[str]
) -> None:
    fetching.site.troubles = troubles
    for name, value in served.items():
        setattr(fetching.site, name, value)
    assert fetching().read_bytes() == CONTENT
    assert fetching.ranges == ranges
    assert fetching.said == said
    assert fetching.left() == WHOLE


def test_a_server_that_stalls_is_asked_again(fetching: Fetching) -> None:
    fetching.patience = IMPATIENT
    fetching.site.troubles = [stalls(HALF)]
    assert fetching().read_bytes() == CONTENT
    assert fetching.ranges == ["", f"bytes={HALF}-"]
    assert fetching.said == ["no byte came for 1 s; trying again"]


def test_a_server_that_stalls_again_and_again(fetching: Fetching) -> None:
    fetching.patience = IMPATIENT
    fetching.site.troubles = [stalls(0)] * 2
    assert fetching.fails() == (
        "base image: http://site/d/small.iso cannot be fetched: no byte came for 1 s; nothing had come; "
        "check the network and run again"
    )
    assert fetching.left() == []


def test_a_file_that_changed_between_two_parts_is_fetched_anew(fetching: Fetching) -> None:
    """If-Range: the server itself sends the whole new file."""
    fetching.site.files["/d/small.iso"] = b"old" * HALF
    fetching.site.troubles = [breaks(HALF), breaks(0), breaks(0)]
    fetching.fails()
    fetching.site.files["/d/small.iso"], fetching.site.etag = CONTENT, '"2"'
    assert fetching().read_bytes() == CONTENT
    assert fetching.ranges[-1] == f"bytes={HALF}-"


def test_parts_that_do_not_fit_are_fetched_anew(fetching: Fetching) -> None:
    fetching.site.files["/d/small.iso"], fetching.site.etag = b"old" * HALF, ""
    fetching.site.troubles = [breaks(HALF), breaks(0), breaks(0)]
    fetching.fails()
    fetching.site.files["/d/small.iso"] = CONTENT
    fetching.said.clear()
    assert fetching().read_bytes() == CONTENT
    assert fetching.said == ["what was kept of small.iso does not fit; fetching it anew"]


def test_the_next_run_goes_on_where_this_one_ended(fetching: Fetching) -> None:
    fetching.site.troubles = [breaks(HALF), breaks(0), breaks(0)]
    assert fetching.fails() == (
        "base image: http://site/d/small.iso cannot be fetched: the connection broke; "
        "0.5 MB of 1.0 MB are kept, and the next run goes on from there; check the network and run again"
    )
    assert fetching.left() == PART
    fetching.site.requests.clear()
    assert fetching().read_bytes() == CONTENT
    assert fetching.ranges == [f"bytes={HALF}-"]
    assert fetching.left() == WHOLE


def test_another_mirror_goes_on_with_the_same_part(fetching: Fetching) -> None:
    fetching.site.files["/mirror/same.iso"] = CONTENT
    fetching.site.troubles = [breaks(HALF), breaks(0), breaks(0)]
    fetching.fails()
    fetching.site.requests.clear()
    assert fetching("/mirror/same.iso").read_bytes() == CONTENT
    assert fetching.ranges == [f"bytes={HALF}-"]


def test_a_part_that_was_complete_is_not_fetched_again(fetching: Fetching) -> None:
    path = fetching()
    folder = fetching.root / f".part-{SUM}"
    folder.mkdir()
    path.rename(folder / "file")
    (folder / "file.json").write_text(f'{{"size": {len(CONTENT)}}}')
    fetching.site.requests.clear()
    assert fetching() == path
    assert fetching.site.requests == []


ADVICE = "nothing had come; check base.url"
REFUSED = [
    ([answers(404)], f"the server answered 404 Not Found; {ADVICE}", 1),
    ([answers(403)], f"the server answered 403 Forbidden; {ADVICE}", 1),
    (
        [answers(500)] * 2,
        "the server answered 500 Internal Server Error; nothing had come; check the network and run again",
        2,
    ),
    (
        [answers(302, Location="/d/small.iso")] * 12,
        f"the server redirects in a circle; {ADVICE}",
        5,
    ),
    (
        [answers(302, Location="file:///etc/passwd")],
        f"the server answered 302 Found - Redirection to url 'file:///etc/passwd' is not allowed; {ADVICE}",
        1,
    ),
]


@pytest.mark.parametrize(("troubles", "reason", "requests"), REFUSED)
def test_what_cannot_be_had(fetching: Fetching, troubles: list[Any], reason: str, requests: int) -> None:
    fetching.site.troubles = troubles
    assert fetching.fails() == f"base image: http://site/d/small.iso cannot be fetched: {reason}"
    assert len(fetching.site.requests) == requests
    assert fetching.left() == []


def test_a_page_instead_of_a_file(fetching: Fetching) -> None:
    fetching.site.kind = "text/html; charset=utf-8"
    assert fetching.fails() == (
        "base image: http://site/d/small.iso cannot be fetched: "
        "the server answers with a page (text/html) instead of a file; nothing had come; check base.url"
    )
    assert fetching.left() == []


@pytest.mark.parametrize(
    ("content", "what"),
    [(b"\n<!DOCTYPE html><p>Please log in", "a page"), (b"", "empty")],
    ids=["a page that claims to be a file", "an empty file"],
)
def test_what_nobody_can_have_meant_is_removed(fetching: Fetching, content: bytes, what: str) -> None:
    fetching.site.files["/d/small.iso"] = content
    assert fetching.fails() == (
        f"base image: http://site/d/small.iso: expected sha256 {SUM}, "
        f"got {hashlib.sha256(content).hexdigest()} ({len(content)} bytes, as the server told); "
        f"it is {what}, not an image, and was removed; check base.url"
    )
    assert fetching.left() == []


def test_a_wrong_sum_names_both_and_loses_nothing(fetching: Fetching) -> None:
    mistyped = "0" * 64
    assert fetching.fails(sha256=mistyped) == (
        f"base image: http://site/d/small.iso: expected sha256 {mistyped}, "
        f"got {SUM} (1048576 bytes, as the server told); "
        f"it was kept as ROOT/{SUM}/small.iso: if it is the right file, set base.sha256 to its sum; "
        "if not, check base.url (./matrix cache prune removes it)"
    )
    assert fetching.left() == WHOLE
    fetching()
    assert len(fetching.site.requests) == 1


@pytest.mark.parametrize("damage", [CONTENT[:1000], b"X" + CONTENT[1:]], ids=["truncated", "corrupt"])
def test_a_damaged_cached_file_is_named_and_fetched_again(fetching: Fetching, damage: bytes) -> None:
    path = fetching()
    path.chmod(0o644)
    path.write_bytes(damage)
    assert fetching().read_bytes() == CONTENT
    assert fetching.said == [
        f"{path} is damaged: expected sha256 {SUM}, got {hashlib.sha256(damage).hexdigest()} "
        f"({len(damage)} bytes); set aside as .damaged-1-small.iso, fetching it again"
    ]


def test_nothing_listens(fetching: Fetching, tmp_path: Path) -> None:
    fetching.site.address = "http://127.0.0.1:1"
    assert fetching.fails() == (
        "base image: http://site/d/small.iso cannot be fetched: nothing listens there; "
        "nothing had come; check the network and run again"
    )


def test_redirects_are_followed(fetching: Fetching) -> None:
    fetching.site.files["/cdn/x"] = CONTENT
    fetching.site.troubles = [answers(302, Location="/cdn/x")]
    assert fetching().name == "small.iso"
    assert [path for path, _ in fetching.site.requests] == ["/d/small.iso", "/cdn/x"]


def test_a_proxy_of_the_environment_is_asked(fetching: Fetching, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", fetching.site.address)
    monkeypatch.setenv("no_proxy", "")
    fetching.site.address = "http://images.example"
    fetching.site.files["http://images.example/d/small.iso"] = CONTENT
    fetching()
    assert [path for path, _ in fetching.site.requests] == ["http://images.example/d/small.iso"]


def test_too_little_space_is_seen_before_anything_is_fetched(
    fetching: Fetching, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=65_000_000))
    assert fetching.fails() == (
        "base image: small.iso has 1.0 MB, of which 1.0 MB are to be fetched, and "
        f"ROOT/.part-{SUM} has 65.0 MB free; "
        "free some, or set XDG_CACHE_HOME to a folder with more room"
    )
    assert fetching.left() == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_disk_that_becomes_full(fetching: Fetching, monkeypatch: pytest.MonkeyPatch) -> None:
    part = fetching.root / f".part-{SUM}" / "file"
    real = download.Download._check_space

    def swap(self: download.Download, have: int) -> None:
        real(self, have)
        part.symlink_to("/dev/full")

    monkeypatch.setattr(download.Download, "_check_space", swap)
    assert fetching.fails() == (
        f"base image: no space is left in ROOT/.part-{SUM} for small.iso of 1.0 MB; "
        "what had come was removed; free some, or set XDG_CACHE_HOME to a folder with more room"
    )
    assert fetching.left() == []


@pytest.mark.parametrize("trouble", [stalls(HALF), slowly(1000, 0.05)], ids=["stalled", "slow"])
def test_an_interrupt_keeps_what_has_come(fetching: Fetching, trouble: Any) -> None:
    fetching.site.troubles = [trouble]
    part = fetching.root / f".part-{SUM}" / "file"

    def interrupt() -> None:
        for _ in range(1500):
            if part.is_file() and part.stat().st_size:
                break
            time.sleep(0.02)
        fetching.cancelled.set()

    threading.Thread(target=interrupt, daemon=True).start()
    source = {"url": f"{fetching.site.address}/d/small.iso", "sha256": SUM}
    with pytest.raises(Cancelled, match=r"small\.iso: fetching was interrupted; .* are kept, and the next"):
        fetch(source, fetching.say, fetching.cancelled, root=fetching.root, patience=Patience(stall=60))
    assert fetching.left() == PART
    fetching.cancelled.clear()
    assert fetching().read_bytes() == CONTENT
    assert fetching.ranges[1].startswith("bytes=")


FETCHER = """
    import sys, threading
    from pathlib import Path
    from provider.images.fetch import fetch
    source = {"url": sys.argv[1], "sha256": sys.argv[2]}
    path = fetch(source, lambda line: print(line, flush=True), threading.Event(), root=Path(sys.argv[3]))
    print(path.name)
"""


def test_two_processes_fetch_once_and_the_second_says_that_it_waits(fetching: Fetching) -> None:
    waits = threading.Event()

    def until_the_other_waits(handler: Any, site: Site) -> None:
        good(handler, site, cut=HALF)
        waits.wait(60)
        handler.wfile.write(CONTENT[HALF:])

    fetching.site.troubles = [until_the_other_waits]
    argv = [sys.executable, "-c", textwrap.dedent(FETCHER), f"{fetching.site.address}/d/small.iso", SUM]
    both = [
        subprocess.Popen([*argv, str(fetching.root)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said: list[list[str]] = [[], []]

    def listen(index: int) -> None:
        for line in both[index].stdout or ():
            said[index].append(line.strip())
            if line.startswith("waiting"):
                waits.set()

    threads = [threading.Thread(target=listen, args=(index,)) for index in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert [process.wait(60) for process in both] == [0, 0]
    assert [lines[-1] for lines in said] == ["small.iso"] * 2
    waited = [lines for lines in said if "waiting for another process that fetches small.iso" in lines]
    assert len(waited) == 1
    assert len(fetching.site.requests) == 1


def test_the_user_s_own_file_stays_where_it_is(tmp_path: Path) -> None:
    own = tmp_path / "own.iso"
    own.write_bytes(CONTENT)
    source = {"from": "iso", "path": str(own), "sha256": SUM}
    assert fetch(source, print, threading.Event(), root=tmp_path / "downloads") == own
    own.write_bytes(CONTENT[:1000])
    cut = hashlib.sha256(CONTENT[:1000]).hexdigest()
    with pytest.raises(UserError) as error:
        fetch(source, print, threading.Event(), root=tmp_path / "downloads")
    assert str(error.value) == (
        f"base image: {own} has sha256 {cut} (1000 bytes), expected {SUM}; "
        "it is damaged or another file: get it anew, or correct base.sha256"
    )
    own.unlink()
    with pytest.raises(UserError) as error:
        fetch(source, print, threading.Event())
    assert str(error.value) == f"base image: {own} does not exist; check base.path"


def test_progress_is_percent_size_and_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter([0.0, 0.5, 1.0, 1.5, 2.0, 4.0])
    monkeypatch.setattr(download.time, "monotonic", lambda: next(now))
    meter = Meter("a.iso", 100_000_000, 650_000_000)
    assert [meter.count(50_000_000) for _ in range(4)] == [
        "",
        "fetching a.iso: 30 % of 650.0 MB, 100.0 MB/s",
        "",
        "fetching a.iso: 46 % of 650.0 MB, 100.0 MB/s",
    ]
    assert meter.count(350_000_000) == "fetching a.iso: 100 % of 650.0 MB, 137.5 MB/s"


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("https://h.example/a/debian-13.iso?x=/y#z", "debian-13.iso"),
        ("https://h.example/a/b%20c%2Fd.iso", "d.iso"),
        ("https://h.example/..hidden", "hidden"),
        ("https://h.example/a%3Ab.iso", "a_b.iso"),
        ("https://h.example/?id=7", "file"),
    ],
)
def test_the_name_of_a_file_at_an_address(address: str, name: str) -> None:
    assert web.file_name(address) == name
