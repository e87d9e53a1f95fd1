"""A stack's config: what the program gets, and how a value is written into the file."""

from pathlib import Path

import pytest
import yaml

from engine import set_config
from engine.errors import EngineError
from tests.rig.stack import SALT, Stack

FILE = """\
# the head
config:
  # a count
  scratch:nodes: 2  # of nodes
  scratch:plan:
    web: {port: 80}
    # inside
  # after the plan
  other:key: text
# the tail
"""


def test_the_program_gets_every_kind_of_value(stack: Stack) -> None:
    stack.config(
        "config:\n  scratch:count: 2\n  flag: true\n  scratch:plan: {web: {ports: [80, 1.5]}}\n"
        "  other:config:word: x\n  'off': null\n"
    )
    stack.up(
        "c = pulumi.Config()\n"
        'export("all", [c.require_int("count"), c.require("flag"), c.require_object("plan"), '
        'c.require("off"), pulumi.Config("other").require("word")])'
    )

    assert stack.run("preview").outputs["all"] == [2, "true", {"web": {"ports": [80, 1.5]}}, "", "x"]


def test_secrets_at_any_depth_are_opened_and_stay_secret(stack: Stack) -> None:
    set_config(stack.root, "test", "word", "canary-1", secret=True, path=False)
    set_config(stack.root, "test", "plan.db.password", "canary-2", secret=True, path=True)
    set_config(stack.root, "test", "plan.db.port", "5432", secret=False, path=True)
    stack.up(
        "c = pulumi.Config()\n"
        'Thing("a", word=c.require_secret("word"), plan=c.require_secret_object("plan"))\n'
        'export("plan", c.require_secret_object("plan"))'
    )

    assert "canary" not in stack.checkpoint.read_text() + (stack.root / "Pulumi.test.yaml").read_text()
    assert stack.lab.world(stack.resource("a")["id"]).read_text().count("canary") == 2


@pytest.mark.parametrize(
    ("key", "value", "path", "line", "written"),
    [
        ("nodes", "3", False, "  scratch:nodes: '3'\n", "3"),
        ("scratch:nodes", "3", True, "  scratch:nodes: 3\n", 3),
        ("fresh", "x: y", False, "  scratch:fresh: 'x: y'\n", "x: y"),
        ("other:key", "true", True, "  other:key: true\n", True),
        ("a.b[0]", "1", True, "  scratch:a:\n    b:\n    - 1\n", {"b": [1]}),
        ("plan.web.port", "81", True, "  scratch:plan:\n    web:\n      port: 81\n", {"web": {"port": 81}}),
    ],
)
def test_one_value_changes_and_the_rest_of_the_file_stays(
    stack: Stack, key: str, value: str, path: bool, line: str, written: object
) -> None:
    file = stack.root / "Pulumi.test.yaml"
    file.write_text(FILE)

    set_config(stack.root, "test", key, value, secret=False, path=path)

    text = file.read_text()
    full = key if ":" in key else f"scratch:{key.split('.', maxsplit=1)[0]}"
    assert line in text
    assert yaml.safe_load(text)["config"][full] == written
    kept = {name: item for name, item in yaml.safe_load(FILE)["config"].items() if name != full}
    assert {name: item for name, item in yaml.safe_load(text)["config"].items() if name != full} == kept
    for comment in ("# the head", "# a count", "# after the plan", "# the tail"):
        assert comment in text


def test_values_are_written_into_an_empty_and_into_no_file(stack: Stack) -> None:
    file = stack.root / "Pulumi.test.yaml"
    file.unlink()

    set_config(stack.root, "test", "a", "1", secret=False, path=False)
    assert file.read_text() == "config:\n  scratch:a: '1'\n"

    file.write_text("config: {}\n")
    set_config(stack.root, "test", "a", "1", secret=False, path=False)
    assert yaml.safe_load(file.read_text()) == {"config": {"scratch:a": "1"}}


def test_a_first_secret_brings_a_salt_into_the_file_the_one_of_the_state_if_there_is_one(
    stack: Stack,
) -> None:
    file = stack.root / "Pulumi.test.yaml"
    file.write_text("# mine\n")
    set_config(stack.root, "test", "a", "1", secret=True, path=False)
    assert yaml.safe_load(file.read_text())["encryptionsalt"].startswith("v1:")
    assert "# mine" in file.read_text()

    stack.config("")
    stack.up('Thing("a")')
    file.write_text("")
    set_config(stack.root, "test", "a", "1", secret=True, path=False)
    assert yaml.safe_load(file.read_text())["encryptionsalt"] == SALT


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("plan[x]", "config key 'plan[x]': 'plan[x]' is no property path; need a path like outer.inner[0]"),
        ("list[5]", "config key 'list[5]': index 5 is outside the list"),
        ("word.inner", "config key 'word.inner': 'inner' is inside a value that is no object"),
    ],
)
def test_wrong_paths_are_told(stack: Stack, key: str, text: str) -> None:
    stack.config("config: {'scratch:word': x, 'scratch:list': [1]}\n")

    with pytest.raises(EngineError) as raised:
        set_config(stack.root, "test", key, "1", secret=False, path=True)

    assert str(raised.value) == text


def test_reading_config_needs_no_file(stack: Stack) -> None:
    Path(stack.root / "Pulumi.test.yaml").unlink()

    assert stack.up('export("x", pulumi.Config().get("x") or "default")').outputs == {"x": "default"}
