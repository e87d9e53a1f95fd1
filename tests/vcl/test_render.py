"""What is refused before it becomes VCL, and what the rendered text says. Nothing runs here."""

from typing import Any

import pytest

from services.router.host.health import THRESHOLD, WINDOW
from vcl.render import ROUTES_HERE, Application, Instance, application_vcl, problems, route_vcl, top_vcl

SHOP = {
    "name": "shop",
    "path": "/shop",
    "health_path": "/health",
    "instances": (Instance("10.10.10.2", 32768),),
}

INJECTION = 'x" || req.url ~ "'

REFUSED: list[tuple[dict[str, Any], str]] = [
    (
        {"name": INJECTION},
        f'application: got "{INJECTION}"; need a-z, 0-9 and -, starting with a letter, at most 40; try shop',
    ),
    (
        {"name": "Web_1"},
        'application: got "Web_1"; need a-z, 0-9 and -, starting with a letter, at most 40; try shop',
    ),
    (
        {"name": "shop\n"},
        'application: got "shop\n"; need a-z, 0-9 and -, starting with a letter, at most 40; try shop',
    ),
    ({"path": "shop"}, 'path: got "shop"; need / or segments of A-Z a-z 0-9 . _ ~ -; try /shop'),
    ({"path": ""}, 'path: got ""; need / or segments of A-Z a-z 0-9 . _ ~ -; try /shop'),
    ({"path": "//"}, 'path: got "//"; need / or segments of A-Z a-z 0-9 . _ ~ -; try /shop'),
    ({"path": "/a//b"}, 'path: got "/a//b"; need / or segments of A-Z a-z 0-9 . _ ~ -; try /shop'),
    ({"path": "/a/../b"}, 'path: got "/a/../b"; need / or segments of A-Z a-z 0-9 . _ ~ -; try /shop'),
    (
        {"path": f"/{INJECTION}"},
        f'path: got "/{INJECTION}"; need / or segments of A-Z a-z 0-9 . _ ~ -; try /shop',
    ),
    ({"path": "/(.*)"}, 'path: got "/(.*)"; need / or segments of A-Z a-z 0-9 . _ ~ -; try /shop'),
    (
        {"path": "/-/health"},
        'path: got "/-/health"; need one outside /-/, which is the router\'s own; try /shop',
    ),
    (
        {"health_path": '/"; } backend x {'},
        'health_path: got "/"; } backend x {"; need a URL path without spaces and quotes; try /health',
    ),
    (
        {"health_path": "/up HTTP/1.1\r\nX: y"},
        'health_path: got "/up HTTP/1.1\r\nX: y"; need a URL path without spaces and quotes; try /health',
    ),
    (
        {"instances": (Instance("node2.matrix", 80),)},
        'instances: got address "node2.matrix"; need a numeric IP address; try 10.10.10.2',
    ),
    (
        {"instances": (Instance('10.0.0.1"; .port = "1', 80),)},
        'instances: got address "10.0.0.1"; .port = "1"; need a numeric IP address; try 10.10.10.2',
    ),
    (
        {"instances": (Instance("10.10.10.2", 0),)},
        "instances: got port 0; need an integer from 1 to 65535; try 8080",
    ),
    (
        {"instances": (Instance("10.10.10.2", "80"),)},  # type: ignore[arg-type]
        'instances: got port "80"; need an integer from 1 to 65535; try 8080',
    ),
    (
        {"instances": (Instance("10.10.10.2", 80), Instance("10.10.10.2", 80))},
        "instances: got 10.10.10.2:80 twice; need each once; try leaving one out",
    ),
    ({"cache_seconds": -1}, "cache_seconds: got -1; need 0 to 3.1536e+07 seconds; try 1"),
    ({"timeout_seconds": 0}, "timeout_seconds: got 0; need 1 to 3600 seconds; try 1"),
    ({"timeout_seconds": True}, "timeout_seconds: got True; need 1 to 3600 seconds; try 1"),
    ({"timeout_seconds": "5s; }"}, 'timeout_seconds: got "5s; }"; need 1 to 3600 seconds; try 1'),
    ({"probe_timeout": 0.0}, "probe_timeout: got 0.0; need 0.1 to 60 seconds; try 1"),
]


@pytest.mark.parametrize(("change", "text"), REFUSED, ids=[next(iter(change)) for change, _ in REFUSED])
def test_what_would_need_escaping_is_refused(change: dict[str, Any], text: str) -> None:
    application = Application(**{**SHOP, **change})
    assert problems(application) == [text]
    for render in (application_vcl, route_vcl):
        with pytest.raises(ValueError, match="need") as error:
            render(application)
        assert str(error.value) == text


def test_every_problem_is_told_at_once() -> None:
    application = Application(name="A", path="b", health_path="c", instances=())
    assert [text.split(":")[0] for text in problems(application)] == ["application", "path", "health_path"]


@pytest.mark.parametrize("path", ["/shop", "/shop/", "/a/b.c", "/A~z_1", "/-shop"])
def test_usual_paths_are_fine(path: str) -> None:
    assert problems(Application(**{**SHOP, "path": path})) == []


def test_rendering_is_the_same_each_time() -> None:
    assert application_vcl(Application(**SHOP)) == application_vcl(Application(**SHOP))


def test_probes_eject_a_dead_instance_within_two_seconds() -> None:
    lines = [line.strip() for line in application_vcl(Application(**SHOP)).splitlines()]
    for line in (".interval = 1s;", ".timeout = 0.5s;", '"Connection: close";', ".expected_response = 200;"):
        assert line in lines
    assert (f".window = {WINDOW};" in lines, f".threshold = {THRESHOLD};" in lines) == (True, True)
    assert (WINDOW, THRESHOLD) == (3, 2)
    assert ".initial" not in "".join(lines), "with initial = 0 thousands fail before the first probe"


def test_emulated_machines_are_given_time() -> None:
    vcl = application_vcl(Application(**{**SHOP, "probe_timeout": 2}))
    assert ".timeout = 2s;" in vcl
    assert ".window = 5;" in vcl


def test_an_instance_has_the_same_backend_name_everywhere() -> None:
    assert Instance("10.10.10.2", 32768).name == "i_10_10_10_2_32768"
    assert Instance("fd00::2", 80).name == "i_fd00__2_80"


def test_a_route_matches_whole_segments_and_literally() -> None:
    assert route_vcl(Application(**{**SHOP, "path": "/a.b"})).splitlines()[0].strip() == (
        r'if (req.url ~ "^/a\.b(/|\?|$)") {'
    )


def test_the_top_has_one_place_for_routes() -> None:
    assert top_vcl().splitlines().count(ROUTES_HERE) == 1
