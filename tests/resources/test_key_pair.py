"""KeyPair: keys that OpenSSH itself reads."""

import shutil
import subprocess
from pathlib import Path

import pytest

from provider.resources.base import UNKNOWN
from provider.resources.key_pair import KeyPairResource, fingerprint, generate
from tests.rig.lifecycle import Case, contract
from tests.rig.plugin import running

CASE = Case(
    type="KeyPair",
    inputs={"comment": "dev"},
    importable=False,
    secret_outputs=frozenset({"private_key"}),
    unknown="comment",
)


def test_contract(tmp_path: Path) -> None:
    with running(tmp_path) as plugin:
        contract(plugin, CASE)


@pytest.mark.skipif(not shutil.which("ssh-keygen"), reason="ssh-keygen is not on PATH")
def test_openssh_reads_the_pair_and_agrees_on_the_fingerprint(tmp_path: Path) -> None:
    pair = generate("dev")
    private = tmp_path / "key"
    private.write_text(pair["private_key"])
    private.chmod(0o600)
    public = _ssh_keygen("-y", "-f", str(private))
    assert public.split()[:2] == pair["public_key"].split()[:2]
    (tmp_path / "key.pub").write_text(pair["public_key"])
    listed = _ssh_keygen("-l", "-f", str(tmp_path / "key.pub"))
    assert listed.split() == ["256", pair["fingerprint"], "dev", "(ED25519)"]


def test_every_pair_is_another() -> None:
    assert generate("a")["fingerprint"] != generate("a")["fingerprint"]


def test_fingerprint_needs_no_comment() -> None:
    pair = generate("")
    assert len(pair["public_key"].split()) == 2
    assert fingerprint(pair["public_key"]) == pair["fingerprint"]


@pytest.mark.parametrize(
    ("comment", "reasons"),
    [
        ("matrix", []),
        ("", []),
        (UNKNOWN, []),
        ("two\nlines", ["comment: got 'two\\nlines'; need one line of text; try \"matrix\""]),
        (5, ['comment: got 5; need one line of text; try "matrix"']),
        (None, ['comment: got None; need one line of text; try "matrix"']),
    ],
)
def test_check(comment: object, reasons: list[str]) -> None:
    _, failures = KeyPairResource().check(None, {"comment": comment})  # type: ignore[arg-type]
    assert [failure.reason for failure in failures] == reasons


def _ssh_keygen(*arguments: str) -> str:
    done = subprocess.run(["ssh-keygen", *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()
