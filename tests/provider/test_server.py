"""The plugin over the real wire, with a resource type that can fail in every way."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from pulumi.runtime.proto import provider_pb2 as proto

from provider.resources.base import UNKNOWN
from tests.rig.lifecycle import Case, contract, stages
from tests.rig.plugin import TOY, Difference, Failed, Plugin, State, running
from tests.rig.wire import Secret

TOKEN = "canary-5b1e77d0"
URN = Plugin.urn("Note", "n")


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plugin]:
    folder = tmp_path_factory.mktemp("toy")
    (folder / ".matrix").mkdir(mode=0o755)
    with running(folder, TOY) as plugin:
        yield plugin


def inputs(folder: Path, **more: object) -> dict[str, object]:
    return {"path": str(folder / "note"), "lines": ["a"], "token": Secret(TOKEN), "reach": "ssh", **more}


def scribble(state: State) -> None:
    Path(state.identifier).write_text(json.dumps({"lines": ["b"], "token": TOKEN}))


def test_contract(plugin: Plugin, tmp_path: Path) -> None:
    case = Case(
        type="Note",
        inputs=inputs(tmp_path),
        drift=scribble,
        drifted="lines",
        secret_outputs=frozenset({"seal"}),
        unknown="path",
    )
    contract(plugin, case)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("user", "Note n: the pen is dry\ncause: no ink\ntry a pencil"),
        ("quote", "Note n: [secret] was refused"),
    ],
)
def test_a_users_error_is_shown_as_it_is_but_for_secrets(
    plugin: Plugin, tmp_path: Path, fault: str, message: str
) -> None:
    with pytest.raises(Failed) as failure:
        plugin.create(URN, inputs(tmp_path, fault=fault))
    assert str(failure.value) == message
    assert failure.value.half is None


def test_an_internal_error_is_one_message_that_names_the_log(plugin: Plugin, tmp_path: Path) -> None:
    with pytest.raises(Failed) as failure:
        plugin.create(URN, inputs(tmp_path, fault="bug"))
    log = plugin.project / ".matrix" / "logs" / "provider.log"
    assert str(failure.value) == (
        f"internal error: KeyError('no [secret] here')\nthe traceback is in {log}; please report it"
    )
    assert f"create {URN} failed\nTraceback (most recent call last):" in plugin.log()
    assert "KeyError: 'no [secret] here'" in plugin.log()
    assert TOKEN not in plugin.log()


@pytest.mark.parametrize("lines", [["a"], ["x" * 1000] * 200], ids=["small", "200 KB"])
def test_half_made_in_create_is_saved_whole(plugin: Plugin, tmp_path: Path, lines: list[str]) -> None:
    given = inputs(tmp_path, fault="half", lines=lines)
    with pytest.raises(Failed) as failure:
        plugin.create(URN, given)
    half = failure.value.half
    assert half is not None
    assert half.identifier == given["path"]
    assert half.reasons == ["half written", "[secret] is unknown"]
    assert half.properties == {**given, "kind": "note", "length": 0.0}


def test_half_made_is_finished_by_update_and_stays_half_made_while_it_fails(
    plugin: Plugin, tmp_path: Path
) -> None:
    given = inputs(tmp_path, fault="half")
    with pytest.raises(Failed) as failure:
        plugin.create(URN, given)
    assert failure.value.half
    half = State(failure.value.half.identifier, given, failure.value.half.properties)
    with pytest.raises(Failed) as failure:
        plugin.update(URN, half, given)
    assert failure.value.half and failure.value.half.properties == half.properties

    with pytest.raises(Failed) as failure:
        plugin.read(URN, State(half.identifier, inputs(tmp_path), {**half.properties, "made": "long ago"}))
    assert failure.value.half
    assert failure.value.half.properties["made"] == "long ago"
    assert failure.value.half.inputs == inputs(tmp_path)
    assert failure.value.half.reasons == [f"{half.identifier} is not ready"]

    made = plugin.update(URN, half, inputs(tmp_path))
    assert plugin.read(URN, made) is not None


def test_check_failures_have_no_property_so_that_the_reason_reads_well(plugin: Plugin) -> None:
    _, reasons = plugin.check(URN, {"path": "note", "token": Secret(TOKEN)})
    assert reasons == ["path: got 'note'; need an absolute path; try /tmp/note"]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, Difference([], [], {}, True)),
        ({"reach": "another way"}, Difference([], [], {}, True)),
        ({"reach": UNKNOWN}, Difference([], [], {}, True)),
        ({"lines": ["a", "b"]}, Difference(["lines"], [], {"lines[1]": "add"}, True)),
        ({"lines": UNKNOWN}, Difference(["lines"], [], {"lines": "update"}, True)),
        ({"path": "/new"}, Difference(["path"], ["path"], {"path": "update_replace"}, True)),
        ({"token": Secret("another")}, Difference(["token"], [], {"token": "update"}, True)),
        ({"token": TOKEN}, Difference([], [], {}, True)),
    ],
    ids=str,
)
def test_diff(plugin: Plugin, tmp_path: Path, changes: dict[str, object], expected: Difference) -> None:
    old = State("note", inputs(tmp_path), {**inputs(tmp_path), "kind": "note"})
    assert plugin.diff(URN, old, inputs(tmp_path, **changes)) == expected


def test_preview_of_an_update_keeps_the_old_outputs(plugin: Plugin, tmp_path: Path) -> None:
    old = State("note", inputs(tmp_path), {**inputs(tmp_path), "length": 1, "seal": Secret("s")})
    previewed = plugin.update(URN, old, inputs(tmp_path, lines=UNKNOWN), preview=True)
    assert previewed.properties == {
        **inputs(tmp_path, lines=UNKNOWN),
        "length": 1.0,
        "seal": Secret("s"),
        "kind": "note",
    }
    assert not (tmp_path / "note").exists()


def test_refresh_keeps_ignored_inputs_and_those_it_cannot_see(plugin: Plugin, tmp_path: Path) -> None:
    made = plugin.create(URN, inputs(tmp_path, hidden="kept"))
    found = plugin.read(URN, made)
    assert found is not None
    assert (found.inputs["reach"], found.inputs["hidden"]) == ("ssh", "kept")


def test_a_new_way_to_reach_a_thing_is_used_though_outputs_hold_the_old(
    plugin: Plugin, tmp_path: Path
) -> None:
    made = plugin.create(URN, inputs(tmp_path, reach="nowhere"))
    moved = State(made.identifier, inputs(tmp_path, reach="new way"), made.properties)
    updated = plugin.update(URN, moved, inputs(tmp_path, reach="new way"))
    assert updated.properties["reached_by"] == "new way"
    plugin.delete(URN, moved)
    assert not (tmp_path / "note").exists()


def test_an_output_that_quotes_a_secret_input_is_secret(plugin: Plugin, tmp_path: Path) -> None:
    made = plugin.create(URN, inputs(tmp_path))
    assert made.properties["echo"] == Secret(f"token={TOKEN}")
    assert made.properties["length"] == 1.0


def test_additional_secret_outputs_stay_secret(plugin: Plugin, tmp_path: Path) -> None:
    made = plugin.create(URN, inputs(tmp_path))
    told = State(made.identifier, made.inputs, {**made.properties, "length": Secret(1), "ratio": Secret(0.5)})
    found = plugin.read(URN, told)
    assert found is not None
    updated = plugin.update(URN, told, inputs(tmp_path, lines=[]))
    assert [found.properties["length"], found.properties["ratio"]] == [Secret(1.0), Secret(0.5)]
    assert [updated.properties["length"], updated.properties["ratio"]] == [Secret(0.0), Secret(0.5)]


def test_absent_inputs_are_left_out(plugin: Plugin) -> None:
    assert plugin.check(URN, {"path": "/note"}) == ({"path": "/note", "lines": []}, [])


def test_the_engine_is_told_to_send_secrets_and_to_ask_for_previews(plugin: Plugin) -> None:
    answer = plugin.stub.Configure(proto.ConfigureRequest(acceptSecrets=True))
    assert (answer.acceptSecrets, answer.supportsPreview) == (True, True)
    assert (answer.acceptResources, answer.acceptOutputs) == (False, False)


def test_a_preview_is_shown_and_not_recorded(plugin: Plugin, tmp_path: Path) -> None:
    urn = Plugin.urn("Note", "preview")
    plugin.preview(urn, inputs(tmp_path))
    assert plugin.engine.shown(urn) == ["thinking"]
    assert stages(plugin, urn) == []


def test_progress_sends_changes_only_and_records_each_stage(plugin: Plugin, tmp_path: Path) -> None:
    urn = Plugin.urn("Note", "progress")
    plugin.create(urn, inputs(tmp_path))
    assert plugin.engine.shown(urn) == ["writing", "written with [secret]"]
    lines = [line for line in plugin.engine.lines if line.urn == urn]
    assert all(line.ephemeral and line.severity == 1 for line in lines)
    assert stages(plugin, urn) == ["create", "writing", "written with [secret]", "done"]


def test_cancel_ends_what_is_under_way_and_not_what_comes_after(plugin: Plugin, tmp_path: Path) -> None:
    urn = Plugin.urn("Note", "slow")
    finish = plugin.start_create(urn, inputs(tmp_path, fault="slow"))
    plugin.engine.wait_for(urn, "waiting")
    plugin.cancel()
    with pytest.raises(Failed) as failure:
        finish()
    assert str(failure.value) == "Note slow: interrupted; nothing was written"
    plugin.cancel()
    plugin.cancel()

    again = plugin.start_create(urn, inputs(tmp_path, fault="slow"))
    plugin.engine.wait_for(urn, "waiting", times=2)
    plugin.cancel()
    with pytest.raises(Failed, match="interrupted"):
        again()


def test_more_calls_at_once_than_the_cli_makes_do_not_hold_up_cancel(plugin: Plugin, tmp_path: Path) -> None:
    urns = [Plugin.urn("Note", f"one-{index}") for index in range(256)]
    waiting = [plugin.start_create(urn, inputs(tmp_path, fault="slow")) for urn in urns]
    for urn in urns:
        plugin.engine.wait_for(urn, "waiting")
    plugin.cancel()
    for finish in waiting:
        with pytest.raises(Failed, match="interrupted"):
            finish()


@pytest.mark.parametrize(
    ("type_name", "message"),
    [
        ("Nothing", "resource type matrix:index:Nothing: not known to this provider; it has Broken, Note"),
        (
            "Broken",
            "resource type matrix:index:Broken: tests.rig.toy.broken cannot be imported: "
            "No module named 'a_package_that_is_not_there'; reinstall the packages of requirements.lock",
        ),
    ],
)
def test_types_that_cannot_be_made(plugin: Plugin, type_name: str, message: str) -> None:
    with pytest.raises(Failed) as failure:
        plugin.create(Plugin.urn(type_name, "x"), {})
    assert str(failure.value) == message


def test_an_asset_is_refused_by_name(plugin: Plugin) -> None:
    asset = {"4dabf18193072939515e22adb298388d": "c44067f5952c0a294b673a41bacd8c17", "text": "x"}
    with pytest.raises(Failed) as failure:
        plugin.check(URN, {"path": asset})
    assert str(failure.value) == "assets and archives are not taken by this provider; pass a path as text"


def test_the_state_folder_is_the_users_alone(plugin: Plugin) -> None:
    assert (plugin.project / ".matrix").stat().st_mode & 0o777 == 0o700
    assert (plugin.project / ".matrix" / "logs" / "provider.log").stat().st_mode & 0o777 == 0o600


def test_children_see_no_setting_of_pulumi_and_prints_do_no_harm(plugin: Plugin, tmp_path: Path) -> None:
    assert "PULUMI_CONFIG_PASSPHRASE" not in os.environ
    with pytest.raises(Failed) as failure:
        plugin.create(URN, inputs(tmp_path, fault="print"))
    assert str(failure.value) == "[]"
