"""docs/settings.md tells every setting with its real default, and the sample stacks hold no mistake."""

import re
from dataclasses import asdict
from pathlib import Path

import pytest
import yaml

from cli.choice import VARIABLE
from cli.passphrase import FILE, TEXT
from config import applications, parse, stackfile
from config.parse import KEYS, MANAGER, NODE

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
ROWS = {
    name: default.strip("` ")
    for name, default in re.findall(r"^\| `([a-z0-9_.]+)` \| ([^|]+) \|", PAGE, flags=re.MULTILINE)
}
SECTIONS = {
    "manager": asdict(MANAGER),
    "node": asdict(NODE),
    "network": asdict(parse({}).network),
    "forwards": asdict(parse({}).forwards),
    "base": {
        "from": "packages",
        "release": "trixie",
        **dict.fromkeys(("url", "path", "sha256", "mirror"), "none"),
    },
}


def test_every_setting_of_the_stack_is_documented():
    for key in KEYS:
        assert key in ROWS or f"## {key}\n" in PAGE, f"{key} is not in docs/settings.md"


@pytest.mark.parametrize("section", SECTIONS)
def test_every_setting_of_a_section_is_documented_with_its_default(section):
    documented = {key: value for key, value in ROWS.items() if key.startswith(f"{section}.")}
    assert documented == {f"{section}.{key}": str(value) for key, value in SECTIONS[section].items()}


def test_every_setting_of_an_application_is_documented():
    plain = {key for key in ROWS if "." not in key} - set(KEYS)
    assert plain == set(applications.KEYS) - set(KEYS)
    assert "nodes" in ROWS


@pytest.mark.parametrize(
    ("key", "default"),
    [
        ("strip", True),
        ("health_path", "/"),
        ("memory", 256),
        ("cache_seconds", 0),
        ("timeout_seconds", 30),
        ("environment", {}),
        ("secrets", {}),
    ],
)
def test_the_documented_defaults_of_an_application_are_the_real_ones(key, default):
    (shop,) = parse({"applications": {"shop": {"source": "apps/shop", "port": 80}}}).applications
    assert getattr(shop, key) == default
    assert ROWS[key] == (str(default).lower() if isinstance(default, bool) else str(default))


def test_unknown_settings_are_refused_where_known_ones_are_documented():
    known = {row.partition(".")[2] for row in ROWS if row.startswith("forwards.")}
    assert known == set(asdict(parse({}).forwards))


def test_the_environment_variables_are_documented():
    for name in (VARIABLE, FILE, TEXT):
        assert f"`{name}`" in PAGE


def test_the_stack_dev_is_a_good_example():
    config = parse(stackfile.read(ROOT, "dev"))
    assert [application.name for application in config.applications] == ["simplewebapp1", "simplewebapp2"]
    for application in config.applications:
        assert [placement.node for placement in application.placements] == ["node2", "node3"]


def commented_settings():
    """The examples in the comments of Pulumi.dev.yaml, as a config each."""
    text = (ROOT / "Pulumi.dev.yaml").read_text(encoding="utf-8")
    return re.findall(r"^  # (cloudmatrix:.*)$", text, flags=re.MULTILINE)


@pytest.mark.parametrize("line", commented_settings())
def test_a_setting_in_a_comment_works_when_it_is_used(line):
    ((key, value),) = yaml.safe_load(line).items()
    parse({key.removeprefix("cloudmatrix:"): value})


def test_the_applications_in_comments_work_when_they_are_used():
    text = (ROOT / "Pulumi.dev.yaml").read_text(encoding="utf-8")
    used = re.sub(r"^    # ", "    ", text, flags=re.MULTILINE)
    plan = yaml.safe_load(used)["config"]["cloudmatrix:applications"]
    assert {"hello", "shop"} < set(plan)
    parse({"applications": plan})


def test_no_package_host_is_named_in_what_a_user_runs():
    for name in ("matrix", "Pulumi.yaml", "Pulumi.dev.yaml", ".ci/run"):
        assert "://" not in (ROOT / name).read_text(encoding="utf-8").replace("file://", "")
