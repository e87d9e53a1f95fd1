"""Progress helps where it can and never fails the work."""

import json
from pathlib import Path

from provider import progress
from provider.progress import Progress
from tests.rig.plugin import Engine, Plugin

URN = Plugin.urn("VirtualMachine", "manager")


def test_only_changes_are_shown_and_a_new_call_starts_afresh(tmp_path: Path) -> None:
    engine = Engine()
    try:
        shown = Progress(engine.address, tmp_path)
        assert [shown.show(URN, stage) for stage in ("boot", "boot", "ssh", "boot")] == [
            True,
            False,
            True,
            True,
        ]
        shown.forget(URN)
        assert shown.show(URN, "boot")
        assert engine.shown(URN) == ["boot", "ssh", "boot", "boot"]
    finally:
        engine.close()


def test_an_engine_that_is_gone_is_no_error(tmp_path: Path) -> None:
    assert Progress("127.0.0.1:1", tmp_path).show(URN, "boot")


def test_stages_are_recorded_as_json_lines(tmp_path: Path) -> None:
    Progress("127.0.0.1:1", tmp_path).record(URN, "boot")
    entry = json.loads((tmp_path / ".matrix" / "contract" / "progress.jsonl").read_text())
    assert entry.pop("time") > 0
    assert entry == {"urn": URN, "name": "manager", "type": "matrix:index:VirtualMachine", "stage": "boot"}


def test_a_record_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / ".matrix").write_text("a file, not a folder")
    Progress("127.0.0.1:1", tmp_path).record(URN, "boot")
    Progress("127.0.0.1:1", tmp_path).record("no urn", "boot")


def test_the_record_is_bounded(tmp_path: Path) -> None:
    record = Progress("127.0.0.1:1", tmp_path)
    record.record(URN, "x" * progress.LIMIT)
    record.record(URN, "boot")
    folder = tmp_path / ".matrix" / "contract"
    assert json.loads((folder / "progress.jsonl").read_text())["stage"] == "boot"
    assert (folder / "progress.1.jsonl").stat().st_size > progress.LIMIT
