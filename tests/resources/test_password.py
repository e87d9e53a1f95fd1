"""Password: random, and its hash accepts it and nothing else."""

from pathlib import Path

import bcrypt
import pytest

from provider.resources.base import UNKNOWN
from provider.resources.password import ALPHABET, PasswordResource, generate
from tests.rig.lifecycle import Case, contract
from tests.rig.plugin import running

CASE = Case(
    type="Password",
    inputs={"length": 32},
    importable=False,
    secret_outputs=frozenset({"value", "bcrypt"}),
    unknown="length",
)


def test_contract(tmp_path: Path) -> None:
    with running(tmp_path) as plugin:
        contract(plugin, CASE)


@pytest.mark.parametrize("length", [16, 32, 72])
def test_the_hash_accepts_the_password_alone(length: int) -> None:
    made = generate(length)
    assert len(made["value"]) == length
    assert set(made["value"]) <= set(ALPHABET)
    assert bcrypt.checkpw(made["value"].encode(), made["bcrypt"].encode())
    assert not bcrypt.checkpw(made["value"][:-1].encode(), made["bcrypt"].encode())


@pytest.mark.parametrize(
    ("length", "reasons"),
    [
        (16, []),
        (72, []),
        (UNKNOWN, []),
        (15, ["length: got 15; need an integer from 16 to 72; try 32"]),
        (73, ["length: got 73; need an integer from 16 to 72; try 32"]),
        (True, ["length: got True; need an integer from 16 to 72; try 32"]),
        ("32", ["length: got '32'; need an integer from 16 to 72; try 32"]),
        (None, ["length: got None; need an integer from 16 to 72; try 32"]),
    ],
)
def test_check(length: object, reasons: list[str]) -> None:
    _, failures = PasswordResource().check(None, {"length": length})  # type: ignore[arg-type]
    assert [failure.reason for failure in failures] == reasons
