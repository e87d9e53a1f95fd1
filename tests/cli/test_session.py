"""Which stack a command works on."""

import stat

import pytest

from cli.errors import CliError
from cli.session import Session


def test_dev_unless_another_is_selected_unless_one_is_given(tmp_path):
    session = Session(tmp_path)
    assert session.stack == "dev"
    session.selection.write_text("prod\n")
    assert session.stack == "prod"
    session.choose("test")
    assert session.stack == "test"
    assert session.folder == tmp_path / ".matrix" / "test"


def test_the_project_folder_is_the_owners_alone(tmp_path):
    assert stat.S_IMODE(Session(tmp_path).matrix.stat().st_mode) == 0o700


@pytest.mark.parametrize("name", ["../..", "state", "logs", "Dev", "a/b", "1st", "", "-x", "a" * 41])
def test_a_name_that_would_lead_elsewhere_is_refused(tmp_path, name):
    with pytest.raises(CliError) as caught:
        Session(tmp_path).choose(name)
    assert caught.value.message == (
        f'stack: got "{name}"; need a-z, 0-9 and -, a letter first, at most 40 characters, '
        "not logs or state; try dev"
    )


def test_a_stack_without_a_file_is_an_error(tmp_path):
    with pytest.raises(CliError) as caught:
        Session(tmp_path, "prod").config()
    assert caught.value.message == (
        'there is no stack "prod": Pulumi.prod.yaml is missing; '
        "write it (an empty file is the smallest stack) or choose another with --stack"
    )


def test_an_empty_file_is_a_stack(tmp_path):
    (tmp_path / "Pulumi.prod.yaml").touch()
    assert len(Session(tmp_path, "prod").config().nodes) == 2
