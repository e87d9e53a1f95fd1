"""How `./matrix test` runs pytest: what it shows at the end."""

import time
from pathlib import Path

import pytest

from cli import testing
from cli.session import Session

DAEMON = """\
import subprocess
subprocess.Popen(["sleep", "30"])
print("....", flush=True)
print("== 3 passed, 1 skipped in 0.10s ==")
raise SystemExit(3)
"""


def test_counts_are_the_last_line_even_when_a_daemon_holds_the_output(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(testing, "PATIENCE", 0.2)
    (tmp_path / "tests_of_something.py").write_text(DAEMON)
    begun = time.monotonic()
    assert testing._counted(Session(tmp_path), ("tests_of_something",)) == ("3 passed, 1 skipped in 0.10s", 3)
    assert time.monotonic() - begun < 30
    shown = capfdbinary.readouterr().out.decode()
    assert shown.splitlines()[-2:] == ["....", "== 3 passed, 1 skipped in 0.10s =="]


def test_the_rig_and_the_command_line_mean_the_same_code() -> None:
    rig = Path(__file__).parents[1] / "rig/virtualbox/__main__.py"
    assert f"UNFIT = {testing.NO_RIG}\n" in rig.read_text()
