"""Putting applications into service, changing them and taking them out, on the real router under load."""

import json
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from provider.resources.route import request
from tests.rig.router import Router, load, route
from tests.rig.waiting import wait_until
from tests.vcl.conftest import Backends


def test_killing_one_of_three_instances_loses_nothing(router: Router, backends: Backends) -> None:
    victim, *others = backends("one", "two", "three")
    router.apply("kill", victim, *others)
    with load(router.port, ["/kill/"], clients=16, rate=300) as seen:
        wait_until(lambda: len(seen.names) == 3)
        victim.kill()
        time.sleep(3)
    assert seen.failures == []
    assert seen.requests > 300


def test_blue_green_under_load_loses_nothing_and_waits_for_the_old(
    router: Router, backends: Backends
) -> None:
    blue, green = backends("blue-1", "blue-2"), backends("green-1", "green-2")
    router.apply("colour", *blue)
    with load(router.port, ["/colour/", "/colour/slow?seconds=0.3"], clients=16, rate=200) as seen:
        wait_until(lambda: seen.names["blue-1"] and seen.names["blue-2"])
        result = json.loads(router.apply("colour", *green).stdout)
        for backend in blue:
            backend.kill()  # as the old instances are deleted as soon as the route has switched
        wait_until(lambda: seen.names["green-1"] and seen.names["green-2"])
    assert result["drained"] is True
    assert seen.failures == []
    assert sum("application_colour_" in vcl for vcl in router.vcls()) == 1, (
        "the old one does not go on probing"
    )


def test_a_rolling_change_of_instances_loses_nothing(router: Router, backends: Backends) -> None:
    """A node more, a node less, an instance replaced: every step while the application is used."""
    one, two, three, four = backends("one", "two", "three", "four")
    router.apply("rolling", one, two)
    with load(router.port, ["/rolling/"], clients=8, rate=200) as seen:
        for group in ([one, two, three], [two, three], [three, four]):
            router.apply("rolling", *group)
            for backend in {one, two, three, four} - set(group) - ({four} if four not in group else set()):
                backend.kill()
            time.sleep(0.3)
    assert seen.failures == []
    assert set(seen.names) >= {"one", "two", "three", "four"}


def test_what_is_unchanged_is_left_alone(router: Router, backends: Backends) -> None:
    (one,) = backends("one")
    assert json.loads(router.apply("same", one).stdout)["changed"] is True
    before = router.vcls()
    assert json.loads(router.apply("same", one).stdout)["changed"] is False
    assert router.vcls() == before


def test_vcl_that_does_not_compile_changes_nothing_for_anyone(router: Router, backends: Backends) -> None:
    one, two = backends("one", "two")
    router.apply("fine", one)
    router.apply("broken", two)
    before = router.vcls()
    wanted = request(route("broken", one))
    wanted["vcl"] = wanted["vcl"].replace("sub vcl_recv {", "sub vcl_recv { nonsense;")
    with load(router.port, ["/fine/", "/broken/"]) as seen:
        result = router.command("apply", "broken", stdin=json.dumps(wanted), check=False)
        wait_until(lambda: seen.requests > 20)
    assert result.code == 1
    assert result.stderr.startswith(
        "matrix-router: Varnish refused the VCL of broken: Message from VCC-compiler:"
    )
    assert "nonsense" in result.stderr
    assert seen.failures == []
    assert set(seen.names) == {"one", "two"}
    assert router.vcls() == before
    assert not list(router.state.rglob("*.new"))


def test_an_instance_that_never_gets_healthy_is_named_and_the_old_serves_on(
    router: Router, backends: Backends
) -> None:
    one, sick, dead = backends("one", "sick", "dead")
    router.apply("sick", one)
    router.apply("helper", sick)
    router.get("/helper/health?status=500", method="PUT")
    dead.kill()
    before = router.vcls()
    result = router.apply("sick", sick, dead, check=False)
    assert result.code == 1
    assert result.stderr.splitlines() == [
        "matrix-router: sick: 2 of 2 instances not healthy within 1.5 s",
        f"  http://127.0.0.1:{sick.port}/health: answered 500",
        f"  http://127.0.0.1:{dead.port}/health: Connection refused",
    ]
    assert router.get("/sick/").json["name"] == "one"
    assert router.vcls() == before


def test_an_old_instance_that_died_does_not_hold_up_the_new(router: Router, backends: Backends) -> None:
    died, alive, new = backends("died", "alive", "new")
    router.apply("mended", died, alive)
    died.kill()
    assert router.apply("mended", died, alive, new, check=False).code == 0


def test_a_route_that_fails_its_smoke_test_is_taken_back(router: Router, backends: Backends) -> None:
    """Healthy when asked directly, but not through the router: here the prefix is not passed on rightly."""
    (one,) = backends("one")
    wanted = request(route("smoke", one))
    wanted["vcl"] = wanted["vcl"].replace('regsub(req.url, "^/smoke/", "/")', '"/slow?seconds=x"')
    before = router.vcls()
    result = router.command("apply", "smoke", stdin=json.dumps(wanted), check=False)
    assert result.code == 1
    assert result.stderr == (
        "matrix-router: smoke: through the router, /smoke/health answered 503 (by the router itself); "
        "expected 200 of the application\n"
    )
    assert router.get("/smoke/").headers["X-Router"] == "no-route"
    assert router.vcls() == before


def test_routes_that_come_together_share_one_top(router: Router, backends: Backends) -> None:
    (one,) = backends("one")
    names = [f"many-{number}" for number in range(4)]
    with ThreadPoolExecutor() as pool:
        results = list(pool.map(lambda name: json.loads(router.apply(name, one).stdout), names))
    assert [router.get(f"/{name}/").status for name in names] == [200] * 4
    assert 1 <= sum(result["top"] for result in results) < len(names)


def test_an_apply_that_was_killed_is_finished_by_the_next(router: Router, backends: Backends) -> None:
    """At whatever moment: the next one converges and leaves no second VCL behind."""
    one, two = backends("one", "two")
    router.apply("killed", one)
    for number, delay in enumerate((0.02, 0.1, 0.15, 0.25)):
        timeout = 2 + number % 2
        wanted = json.dumps(request(route("killed", two, timeout_seconds=timeout)))
        _killed_after(router, delay, "apply killed", wanted)
        assert router.get("/killed/").status == 200
        assert router.apply("killed", two, timeout_seconds=timeout).code == 0
        assert router.get("/killed/").json["name"] == "two"
        assert sum("application_killed_" in vcl for vcl in router.vcls()) == 1
        router.apply("killed", one)


def test_a_removed_route_is_gone_with_everything_it_had(router: Router, backends: Backends) -> None:
    (one,) = backends("one")
    before = router.vcls()
    files = _files(router.state)
    router.apply("short-lived", one)
    assert json.loads(router.command("remove", "short-lived").stdout) == {"changed": True, "drained": True}
    assert router.get("/short-lived/").headers["X-Router"] == "no-route"
    assert router.vcls() == before
    assert _files(router.state) == files
    assert json.loads(router.command("remove", "short-lived").stdout) == {"changed": False, "drained": True}


def test_the_log_of_a_name_that_is_none_is_short(router: Router) -> None:
    result = router.command("remove", "../x", check=False)
    assert (result.code, result.stderr) == (2, "matrix-router: '../x' is no name of an application\n")


@pytest.fixture
def own(tmp_path: Path, router: Router) -> Router:
    """A router of its own, for tests that stop it."""
    del router  # skips when there is no Varnish
    return Router(tmp_path)


def test_a_cold_start_serves_all_that_was_deployed_and_survives_one_that_is_broken(
    own: Router, backends: Backends
) -> None:
    one, two = backends("one", "two")
    with own:
        own.apply("good", one)
        own.apply("bad", two)
        own.stop()
        assert own.start().stderr == ""
        wait_until(lambda: own.get("/good/").status == own.get("/bad/").status == 200)

        own.stop()
        (own.state / "applications" / "bad.vcl").write_text("vcl 4.1; nonsense\n")
        told = own.start().stderr
        assert told.startswith("matrix-router: left out: bad: Message from VCC-compiler:")
        wait_until(lambda: own.get("/good/").status == 200)
        assert own.get("/bad/").headers["X-Router"] == "no-route"

        own.apply("bad", two)
        assert own.get("/bad/").json["name"] == "two"


def test_without_varnishd_a_route_can_still_be_removed(own: Router, backends: Backends) -> None:
    (one,) = backends("one")
    with own:
        own.apply("shop", one)
        own.stop()
        result = own.apply("shop", one, check=False)
        assert result.code == 1
        assert result.stderr.endswith("Connection refused; see: systemctl status matrix-router\n")
        assert own.command("remove", "shop").code == 0
        own.start()
        assert own.get("/shop/").status == 404


def test_a_worker_process_that_dies_comes_back_with_all_routes(own: Router, backends: Backends) -> None:
    (one,) = backends("one")
    with own:
        own.apply("shop", one)
        (worker,) = own.workers()
        worker.send_signal(signal.SIGKILL)
        wait_until(lambda: _answers(own, "/shop/"))


def _answers(router: Router, path: str) -> bool:
    try:
        return router.get(path).status == 200
    except OSError:
        return False


def _files(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.name != "top.loaded.vcl"}


def _killed_after(router: Router, seconds: float, command: str, stdin: str) -> None:
    argv = router.argv(*command.split())
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as run:
        assert run.stdin is not None
        run.stdin.write(stdin.encode())
        run.stdin.close()
        time.sleep(seconds)
        run.kill()
