"""Passphrase secrets as the Pulumi CLI makes them."""

import pytest

from engine.errors import EngineError
from engine.passphrase import Sealer

# Sealed by the Pulumi CLI 3.260.0 under the passphrase "test".
SALT = "v1:pVOQppxRu6k=:v1:7LPlSPmSuO59FTnF:Pwp6dRUMquKnreIGVbalVSWCHBBZkA=="
SEALED = "v1:H1lGuHvUSUaTZEam:jQrvRuBL1wqhWYKzabP3ATy2Oy/xpw=="


@pytest.fixture(autouse=True)
def passphrase(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "test")


def test_what_the_cli_has_sealed_is_opened() -> None:
    assert Sealer(SALT).open(SEALED) == '"hush"'


def test_what_is_sealed_here_is_opened_with_the_salt_alone() -> None:
    sealer = Sealer()

    assert Sealer(sealer.state).open(sealer.seal("grüße")) == "grüße"
    assert sealer.seal("x") != sealer.seal("x")


def test_another_salts_secret_is_refused() -> None:
    with pytest.raises(EngineError, match=r"^a secret cannot be opened: it was sealed with another salt"):
        Sealer().open(SEALED)


def test_a_wrong_passphrase_is_told_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "other")

    with pytest.raises(EngineError, match=r"^incorrect passphrase"):
        Sealer(SALT).open(SEALED)


def test_the_passphrase_may_be_in_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    monkeypatch.delenv("PULUMI_CONFIG_PASSPHRASE")
    file = tmp_path / "passphrase"  # type: ignore[operator]
    file.write_text("test\n")
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE_FILE", str(file))

    assert Sealer(SALT).open(SEALED) == '"hush"'


@pytest.mark.parametrize("state", ["v2:x:y", "v1:x", ""])
def test_other_secrets_are_refused(state: str) -> None:
    with pytest.raises(EngineError, match="need 'v1', a passphrase's salt"):
        Sealer(state)
