"""What a request meets on its way through the real router: refusals, headers, prefixes, retries, caching."""

import os
import signal
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.rig.backend import Backend
from tests.rig.router import Router
from tests.vcl.conftest import Backends

TOO_OLD = 11.5
"""A second of freshness and ten of grace, and a bit."""


@dataclass(frozen=True)
class Old:
    """An answer that was cached at `since`."""

    backend: Backend
    answer: Any
    since: float


def test_an_unknown_prefix_is_404_as_page_or_as_json(router: Router) -> None:
    page = router.get("/nothing?<script>", headers={"Accept": "text/html,application/json"})
    assert page.status == 404
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert b"<h1>Not Found</h1>" in page.body
    assert b"script" not in page.body
    answer = router.get("/nothing", headers={"Accept": "application/json"})
    assert answer.status == 404
    assert answer.json == {"status": 404, "error": "Not Found", "request": answer.headers["X-Request-Id"]}
    assert answer.headers["X-Router"] == "no-route"


def test_health_needs_no_application(router: Router) -> None:
    answer = router.get("/-/health")
    assert (answer.status, answer.body) == (200, b"ok\n")


@pytest.mark.parametrize("method", ["TRACE", "CONNECT", "PURGE", "BREW"])
def test_unknown_methods_are_refused_and_the_connection_closed(router: Router, method: str) -> None:
    second = b"GET /-/health HTTP/1.1\r\nHost: x\r\n\r\n"
    answer = router.raw(f"{method} / HTTP/1.1\r\nHost: x\r\n\r\n".encode() + second)
    assert answer.startswith(b"HTTP/1.1 405 ")
    assert answer.count(b"HTTP/1.1 ") == 1, "what follows on the connection is not looked at"


def test_a_request_without_host_is_refused(router: Router) -> None:
    assert router.raw(b"GET / HTTP/1.1\r\n\r\n").startswith(b"HTTP/1.1 400 ")


def test_an_application_sees_who_asked_and_nothing_that_was_forged(
    router: Router, backends: Backends
) -> None:
    router.apply("headers", *backends("one"))
    forged = {
        "Proxy": "http://evil",
        "Forwarded": "for=1.2.3.4",
        "X-Forwarded-For": "1.2.3.4",
        "X-Forwarded-Prefix": "/evil",
        "X-Forwarded-Host": "evil",
        "X-Forwarded-Proto": "https",
        "X-Request-Id": "evil",
    }
    answer = router.get("/headers/echo?a=b", headers={**forged, "Host": "cloud.example"})
    seen = answer.json
    assert (seen["method"], seen["url"]) == ("GET", "/echo?a=b")
    headers = seen["headers"]
    assert "proxy" not in headers
    assert "forwarded" not in headers
    assert headers["x-forwarded-for"] == "127.0.0.1"
    assert headers["x-forwarded-prefix"] == "/headers"
    assert headers["x-forwarded-host"] == headers["host"] == "cloud.example"
    assert headers["x-forwarded-proto"] == "http"
    assert headers["x-request-id"] == answer.headers["X-Request-Id"] != "evil"


def test_without_strip_the_application_sees_its_whole_path(router: Router, backends: Backends) -> None:
    router.apply("plain", *backends("one"), strip=False)
    assert router.get("/plain?x").json == {"name": "one", "url": "/plain?x"}
    assert router.get("/plain/a").json == {"name": "one", "url": "/plain/a"}


@pytest.mark.parametrize(
    ("url", "location"), [("/slash", "/slash/"), ("/slash?a=/slash", "/slash/?a=/slash")]
)
def test_a_missing_last_slash_is_added(router: Router, backends: Backends, url: str, location: str) -> None:
    router.apply("slash", *backends("one"))
    answer = router.get(url)
    assert (answer.status, answer.headers["Location"]) == (308, location)


def test_the_longest_prefix_wins_and_only_whole_segments_count(router: Router, backends: Backends) -> None:
    a, b, c = backends("a", "b", "c")
    router.apply("root", a, path="/", strip=False)
    router.apply("long", b, path="/x/y.z")
    router.apply("short", c, path="/x/")
    try:
        got = {url: router.get(url).json["name"] for url in ("/", "/xy", "/x/", "/x/y", "/x/y.z/", "/x/y1z/")}
        assert got == {"/": "a", "/xy": "a", "/x/": "c", "/x/y": "c", "/x/y.z/": "b", "/x/y1z/": "c"}
    finally:
        router.command("remove", "root")


@pytest.mark.parametrize(
    ("to", "location"),
    [
        ("/login", "/shop/login"),
        ("/", "/shop/"),
        ("/shop", "/shop"),
        ("/shop/login", "/shop/login"),
        ("/shopping", "/shop/shopping"),
        ("login", "login"),
        ("//other.example/", "//other.example/"),
        ("http://cloud.example/login", "http://cloud.example/shop/login"),
        ("https://cloud.example/shop/x", "https://cloud.example/shop/x"),
        ("http://cloud.example", "http://cloud.example/shop"),
        ("http://other.example/login", "http://other.example/login"),
    ],
)
def test_redirects_stay_inside_the_prefix(router: Router, shop: None, to: str, location: str) -> None:
    answer = router.get(f"/shop/redirect?to={to}", headers={"Host": "cloud.example"})
    assert (answer.status, answer.headers["Location"]) == (302, location)


def test_cookie_paths_get_the_prefix_each_of_them(router: Router, shop: None) -> None:
    assert router.get("/shop/cookies").headers.get_all("Set-Cookie") == [
        "a=1; Path=/shop/",
        "b=2; path=/shop/deep; HttpOnly",
        "c=3; Expires=Wed, 01 Jan 2031 00:00:00 GMT",
        "d=4; HttpOnly; Path=/shop/x",
        "__Host-e=5; Secure; Path=/",
    ]


def test_both_instances_answer(router: Router, shop: None) -> None:
    assert {router.get("/shop/").json["name"] for _ in range(20)} == {"one", "two"}


def test_a_websocket_goes_through(router: Router, shop: None) -> None:
    headers = b"Host: x\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n"
    with socket.create_connection(("127.0.0.1", router.port), timeout=5) as connection:
        connection.sendall(b"GET /shop/socket HTTP/1.1\r\n" + headers)
        head = connection.recv(65536)
        assert head.startswith(b"HTTP/1.1 101 ")
        connection.sendall(b"hello")
        assert connection.recv(5) == b"hello"


def test_other_upgrades_are_ordinary_requests(router: Router, shop: None) -> None:
    answer = router.get("/shop/echo", headers={"Connection": "Upgrade", "Upgrade": "h2c"})
    assert answer.status == 200
    assert "upgrade" not in answer.json["headers"]


def test_an_answer_cut_off_in_the_middle_is_fetched_from_another_instance(
    router: Router, backends: Backends
) -> None:
    router.apply("half", *backends("bad", "good"))
    assert [router.get("/half/half").json for _ in range(8)] == [{"name": "good"}] * 8


def test_a_hung_instance_costs_time_but_no_answer(router: Router, backends: Backends) -> None:
    router.apply("hung", *backends("bad", "good"), timeout_seconds=1)
    assert [router.get("/hung/hang").json for _ in range(3)] == [{"name": "good"}] * 3


def test_the_only_healthy_instance_is_asked_again(router: Router, backends: Backends) -> None:
    """As when the probes find the other one dead between a request's first try and its second."""
    router.apply("one", *backends("only"))
    assert router.get("/one/first").json == {"name": "only"}


def test_a_body_is_never_sent_twice(router: Router, backends: Backends) -> None:
    """Both read the body and close: the router cannot know what was done, so it must not try again."""
    router.apply("posts", *backends("one", "two"))
    answer = router.get("/posts/close", method="POST", body=b"x" * 1000)
    assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
    assert answer.headers["X-Request-Id"].isdigit()
    counts = {router.get("/posts/counts").json.get("/close", 0) for _ in range(20)}
    assert counts == {0, 1}, "one instance got it once, the other never"


def test_a_post_with_a_body_survives_a_dead_instance(router: Router, backends: Backends) -> None:
    """Nothing was sent to an instance that cannot be connected to, so the body may go to another."""
    dead, alive = backends("dead", "alive")
    router.apply("dead", dead, alive)
    dead.kill()
    answers = [router.get("/dead/echo", method="POST", body=b"x" * 1000) for _ in range(10)]
    assert [(answer.status, answer.json["body"]) for answer in answers] == [(200, 1000)] * 10


def test_with_nothing_left_the_answer_says_when_to_come_back(router: Router, backends: Backends) -> None:
    (only,) = backends("only")
    router.apply("gone", only)
    only.kill()
    answer = router.get("/gone/", headers={"Accept": "application/json"})
    assert answer.status == 503
    assert answer.headers["Retry-After"] == "5"
    assert answer.headers["X-Router"] == "no-answer"
    assert answer.json["request"] == answer.headers["X-Request-Id"]
    assert b"<h1>" in router.get("/gone/").body


def test_no_instances_is_an_answer_too(router: Router) -> None:
    router.apply("empty")
    assert router.get("/empty/").status == 503


def test_nothing_is_cached_unless_asked_for(router: Router, shop: None) -> None:
    first, second = (router.get("/shop/cached?control=max-age=60") for _ in range(2))
    assert "X-Cache" not in first.headers
    assert first.json != second.json


CACHING = [
    ("/cached", {}, True),
    ("/cached?control=public", {}, True),
    ("/cached?control=max-age=60", {}, True),
    ("/cached?control=max-age=0", {}, False),
    ("/cached?control=private", {}, False),
    ("/cached?control=no-store", {}, False),
    ("/cached?cookie", {}, True),
    ("/cached?cookie=1", {}, False),
    ("/cached?status=404", {}, False),
    ("/cached?status=500", {}, False),
    ("/cached?with-cookie", {"Cookie": "a=1"}, False),
    ("/cached?with-authorization", {"Authorization": "Basic x"}, False),
]


@pytest.mark.parametrize(("url", "headers", "expected"), CACHING, ids=[f"{u} {h}" for u, h, _ in CACHING])
def test_what_is_cached(
    router: Router, cached: None, url: str, headers: dict[str, str], expected: bool
) -> None:
    first, second = (router.get(f"/cached{url}", headers=headers) for _ in range(2))
    assert (first.json == second.json) is expected


def test_stale_is_better_than_nothing(router: Router, backends: Backends) -> None:
    """At once, before any probe noticed, and later, when all are known to be sick."""
    (only,) = backends("only")
    router.apply("stale", only, cache_seconds=1)
    fresh = router.get("/stale/cached").json
    os.kill(only.pid, signal.SIGSTOP)
    time.sleep(1.1)
    assert router.get("/stale/cached").json == fresh
    only.kill()
    assert router.get("/stale/cached").json == fresh
    assert router.get("/stale/never-seen").status == 503
    time.sleep(2.5)
    assert router.get("/stale/cached").json == fresh
    assert router.get("/stale/never-seen").status == 503


def test_old_is_better_than_nothing_too(router: Router, old: Old) -> None:
    """Too old to be shown while an instance is healthy, and no probe has failed yet when it is asked for."""
    time.sleep(max(0.0, old.since + TOO_OLD - time.monotonic()))
    old.backend.kill()
    assert router.get("/old/cached").json == old.answer


@pytest.fixture(scope="module")
def many() -> Iterator[Backends]:
    made = Backends()
    yield made
    made.kill()


@pytest.fixture(scope="module")
def shop(router: Router, many: Backends) -> None:
    router.apply("shop", *many("one", "two"))


@pytest.fixture(scope="module")
def cached(router: Router, many: Backends) -> None:
    router.apply("cached", *many("one"), cache_seconds=60)


@pytest.fixture(scope="module", autouse=True)
def old(router: Router, many: Backends) -> Old:
    """Begins with the file and is used by its last test: by then the answer has grown old by itself."""
    (backend,) = many("old")
    router.apply("old", backend, cache_seconds=1)
    return Old(backend, router.get("/old/cached").json, time.monotonic())
