"""One direction, no back and forth: who may import whom."""

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
EFFECTS = ("provider", "engine", "cli", "fabric", "paramiko", "subprocess", "socket", "pulumi_command.local")

FORBIDDEN = {
    "config": EFFECTS,
    "components": EFFECTS,
    "cloudinit": (*EFFECTS, "pulumi"),
    "services": (*EFFECTS, "pulumi"),
    "vcl": (*EFFECTS, "pulumi"),
    "provider": ("components", "config", "engine", "cli"),
    "engine": ("components", "config", "provider", "cli", "services", "cloudinit", "vcl"),
    "cli": ("provider",),
}
"""Package -> what it must not import, with everything below it."""

ALLOWED = {("provider", "components.resources")}
"""The wire's names, which both of its ends use."""


PAYLOAD = ROOT / "services" / "router" / "host"
"""Programs that run inside the manager: they may do what they like, with Python alone."""


def imports(file):
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def below(name, package):
    return name == package or name.startswith(f"{package}.")


def breaches(package):
    for file in sorted((ROOT / package).rglob("*.py")):
        if PAYLOAD in file.parents:
            continue
        for name in imports(file):
            allowed = any(below(name, wire) for importer, wire in ALLOWED if importer == package)
            if not allowed and any(below(name, forbidden) for forbidden in FORBIDDEN[package]):
                yield f"{file.relative_to(ROOT)} imports {name}"


@pytest.mark.parametrize("package", sorted(FORBIDDEN))
def test_a_package_keeps_to_its_side(package):
    assert list(breaches(package)) == []


def test_what_runs_inside_the_manager_needs_python_alone():
    names = {name.partition(".")[0] for file in PAYLOAD.glob("*.py") for name in imports(file)}
    assert names
    assert names <= sys.stdlib_module_names


def test_the_rule_sees_an_import_in_every_form(tmp_path):
    file = tmp_path / "x.py"
    file.write_text(
        "import provider.ssh as s\ndef f():\n    from provider import ssh\n    from provider.ssh import a\n"
    )
    assert [name for name in imports(file) if below(name, "provider")] == [
        "provider.ssh",
        "provider.ssh",
        "provider.ssh.a",
    ]
