"""The Route resource on the real router: its life, its drift, and what a preview shows."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from provider import ssh
from provider.diff import difference
from provider.errors import UserError
from provider.resources.base import UNKNOWN, Context
from provider.resources.route import RouteResource
from tests.rig.backend import Backend
from tests.rig.router import MISSING, Router, route

CONNECTION = {"host": "manager", "port": 22, "user": "matrix", "private_key": "-", "host_key": "-"}


@pytest.fixture(scope="module")
def router(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Router]:
    if MISSING:
        pytest.skip(f"not installed: {', '.join(MISSING)}")
    with Router(tmp_path_factory.mktemp("router")) as router:
        yield router


@pytest.fixture(autouse=True)
def host(router: Router, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ssh, "connect", lambda connection: router)


@pytest.fixture(scope="module")
def one() -> Iterator[Backend]:
    backend = Backend("one")
    yield backend
    backend.kill()


@pytest.fixture(scope="module")
def two() -> Iterator[Backend]:
    backend = Backend("two")
    yield backend
    backend.kill()


def context(stages: list[str] | None = None) -> Context:
    progress = (stages if stages is not None else []).append
    return Context("dev", "route", Path("/nowhere"), progress, threading.Event())


def checked(name: str, *backends: Backend, **changes: Any) -> dict[str, Any]:
    wire = {**route(name, *backends), "connection": CONNECTION, "machine": "m-1", **changes}
    inputs, failures = RouteResource().check(context(), wire)
    assert failures == []
    return inputs


def test_a_whole_life(router: Router, one: Backend, two: Backend) -> None:
    handler, stages = RouteResource(), list[str]()
    inputs = checked("life", one)
    made = handler.create(context(stages), inputs)
    assert (made.identifier, stages) == ("life", ["switching to 1 instance"])
    assert router.get("/life/").json["name"] == "one"

    found = handler.read(context(), "life", inputs, inputs)
    assert found is not None
    assert found.inputs == inputs, "a refresh of what was just made changes nothing"

    wider = checked("life", one, two)
    handler.update(context(stages), "life", inputs, wider)
    assert stages[-1] == "switching to 2 instances"
    assert {router.get("/life/").json["name"] for _ in range(20)} == {"one", "two"}

    for _ in range(2):
        handler.delete(context(), "life", wider)
        assert handler.read(context(), "life", wider, wider) is None
    assert router.get("/life/").status == 404


def test_each_operation_is_one_command_on_the_manager(router: Router, one: Backend) -> None:
    handler, inputs, before = RouteResource(), checked("frugal", one), len(router.commands)
    handler.create(context(), inputs)
    handler.read(context(), "frugal", inputs, inputs)
    handler.delete(context(), "frugal", inputs)
    words = [command.split("matrix-router")[-1] for command in router.commands[before:]]
    assert words == [" apply frugal", " show frugal", " remove frugal"]


def _edit_the_file(router: Router) -> None:
    path = router.state / "applications" / "drift.vcl"
    path.write_text(path.read_text() + "# by hand\n")


def _forget_the_label(router: Router) -> None:
    router.command("remove", "drift")


def _use_another_top(router: Router) -> None:
    (router.folder / "other.vcl").write_text("vcl 4.1; backend none none;")
    cli = router.cli()
    cli.ask("vcl.load", "other", str(router.folder / "other.vcl"))
    cli.ask("vcl.use", "other")


@pytest.mark.parametrize("drift", [_edit_the_file, _forget_the_label, _use_another_top])
def test_what_was_changed_on_the_manager_is_seen_and_mended(router: Router, one: Backend, drift: Any) -> None:
    handler, inputs = RouteResource(), checked("drift", one)
    handler.create(context(), inputs)
    drift(router)
    found = handler.read(context(), "drift", inputs, inputs)
    assert found is None or difference(handler, found.inputs, inputs).changed == ("vcl",)
    handler.update(context(), "drift", inputs, inputs)
    found = handler.read(context(), "drift", inputs, inputs)
    assert found is not None
    assert found.inputs == inputs
    assert router.get("/drift/").json["name"] == "one"


def test_a_preview_names_the_instances_that_change(one: Backend, two: Backend) -> None:
    handler = RouteResource()
    old = checked("preview", one)
    not_made = {"address": "10.10.10.4", "port": UNKNOWN}
    new = checked("preview", instances=[*old["instances"], not_made])
    assert new["instances"][-1] == not_made
    assert new["vcl"] == UNKNOWN
    found = difference(handler, old, new)
    assert found.changed == ("instances", "vcl")
    assert found.details[("instances", 1)] == "add"
    assert found.replaces == ()


@pytest.mark.parametrize(
    "unknown", ["instances", "path", "health_path", "machine", "connection", "timeout_seconds"]
)
def test_what_is_not_known_yet_is_no_mistake(one: Backend, unknown: str) -> None:
    inputs = checked("unknown", one, **{unknown: UNKNOWN})
    assert inputs[unknown] == UNKNOWN
    assert (inputs["vcl"] == UNKNOWN) is (unknown not in ("machine", "connection"))


def test_two_instances_not_made_yet_are_two(one: Backend) -> None:
    twins = [{"address": "10.10.10.2", "port": UNKNOWN}] * 2
    assert checked("twins", instances=twins)["instances"] == twins


def test_the_way_to_the_manager_is_no_change(one: Backend) -> None:
    old = checked("moved", one)
    new = checked("moved", one, connection={**CONNECTION, "port": 2222})
    assert difference(RouteResource(), old, new).changed == ()


@pytest.mark.parametrize("key", ["application", "machine"])
def test_another_application_or_machine_is_another_route(one: Backend, key: str) -> None:
    old = checked("replaced", one)
    new = checked("replaced", one, **{key: "other"})
    assert key in difference(RouteResource(), old, new).replaces


def test_every_mistake_is_told_at_preview(one: Backend) -> None:
    wire = {**route("mistakes", one), "path": "x y", "timeout_seconds": 0, "connection": CONNECTION}
    inputs, failures = RouteResource().check(context(), wire)
    assert [failure.reason for failure in failures] == [
        'path: got "x y"; need / or segments of A-Z a-z 0-9 . _ ~ -; try /shop',
        "timeout_seconds: got 0; need 1 to 3600 seconds; try 1",
    ]
    assert inputs["vcl"] == UNKNOWN


def test_a_failed_switch_says_why_and_leaves_the_old(router: Router, one: Backend) -> None:
    handler, inputs = RouteResource(), checked("failing", one)
    handler.create(context(), inputs)
    dead = Backend("dead")
    dead.kill()
    with pytest.raises(UserError) as error:
        handler.update(context(), "failing", inputs, checked("failing", dead))
    assert str(error.value) == (
        "Route failing: not switched, what served before still does\n"
        "failing: 1 of 1 instances not healthy within 1.5 s\n"
        f"  http://127.0.0.1:{dead.port}/health: Connection refused"
    )
    assert router.get("/failing/").json["name"] == "one"


def test_an_import_says_what_to_do_instead() -> None:
    with pytest.raises(UserError) as error:
        RouteResource().read(context(), "shop", {}, {})
    assert str(error.value) == (
        "Route shop cannot be imported: its manager is not known from the id\n"
        "declare it and run up; what the router has already is taken over"
    )


class _Unreachable(Router):
    def sudo(self, *arguments: Any, **settings: Any) -> Any:
        raise ssh.Unreachable("SSH to manager:22: timed out")


def test_a_manager_out_of_reach_keeps_what_is_recorded(
    tmp_path: Path, one: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ssh, "connect", lambda connection: _Unreachable(tmp_path))
    inputs, stages = checked("away", one), list[str]()
    found = RouteResource().read(context(stages), "away", inputs, inputs)
    assert found is not None
    assert found.inputs == inputs
    assert stages == ["host not reachable; kept as recorded"]


def test_a_manager_without_router_has_no_route(one: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("provider.resources.route.COMMAND", "/nowhere/matrix-router")
    inputs = checked("bare", one)
    assert RouteResource().read(context(), "bare", inputs, inputs) is None
    RouteResource().delete(context(), "bare", inputs)
