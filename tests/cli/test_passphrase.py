"""The passphrase: the user's own comes first, else one is made once and kept."""

import stat

import pytest

from cli import passphrase
from cli.errors import CliError


def test_one_is_made_once_and_only_its_owner_can_read_it(tmp_path):
    first, second = {}, {}
    passphrase.provide(tmp_path, first)
    made = (tmp_path / "passphrase").read_text()
    passphrase.provide(tmp_path, second)
    assert first == second == {"PULUMI_CONFIG_PASSPHRASE_FILE": str(tmp_path / "passphrase")}
    assert (tmp_path / "passphrase").read_text() == made
    assert len(made.strip()) == 43
    assert stat.S_IMODE((tmp_path / "passphrase").stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["passphrase"]


@pytest.mark.parametrize(
    "given", [{"PULUMI_CONFIG_PASSPHRASE": "x"}, {"PULUMI_CONFIG_PASSPHRASE_FILE": "/some/file"}]
)
def test_the_users_own_is_left_alone(tmp_path, given):
    environment = dict(given)
    passphrase.provide(tmp_path, environment)
    assert environment == given
    assert not (tmp_path / "passphrase").exists()


def test_an_empty_one_is_refused(tmp_path):
    with pytest.raises(CliError) as caught:
        passphrase.provide(tmp_path, {"PULUMI_CONFIG_PASSPHRASE": ""})
    assert caught.value.message == (
        "PULUMI_CONFIG_PASSPHRASE is empty, which protects nothing; set it to a passphrase, or unset it"
    )
