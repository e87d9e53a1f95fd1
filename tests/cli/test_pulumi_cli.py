"""Pulumi's own CLI as the engine: the tree stays clean, the secrets' salt is kept."""

import json
import shutil

import pytest
import yaml

from cli import passphrase, pulumi_cli
from cli.engines import Run
from cli.pulumi_cli import PulumiCli, checkpoint, config_file, environment
from tests.rig import project

SALTED = "encryptionsalt: v1:abc:v1:def\nconfig: {}\n"


def test_a_config_with_a_salt_is_used_as_it_is(tmp_path):
    project.write(tmp_path)
    environment(tmp_path)
    (tmp_path / "Pulumi.dev.yaml").write_text(SALTED)
    assert config_file(tmp_path, "dev") == tmp_path / "Pulumi.dev.yaml"


def test_without_a_salt_a_copy_is_used_that_has_the_states_own(tmp_path):
    project.write(tmp_path, "  cloudmatrix:nodes: 1 # one\n")
    environment(tmp_path)
    state = checkpoint(tmp_path, "dev")
    state.parent.mkdir(parents=True)
    salt = {"type": "passphrase", "state": {"salt": "v1:abc:v1:def"}}
    state.write_text(json.dumps({"checkpoint": {"latest": {"secrets_providers": salt}}}))
    copy = config_file(tmp_path, "dev")
    assert copy == tmp_path / ".matrix" / "state" / "Pulumi.dev.yaml"
    assert copy.read_text() == "encryptionsalt: v1:abc:v1:def\nconfig:\n  cloudmatrix:nodes: 1 # one\n"


def test_a_copy_follows_the_config_and_keeps_its_salt(tmp_path):
    project.write(tmp_path)
    environment(tmp_path)
    copy = tmp_path / ".matrix" / "state" / "Pulumi.dev.yaml"
    copy.write_text("encryptionsalt: v1:abc:v1:def\n")
    (tmp_path / "Pulumi.dev.yaml").write_text("config: {cloudmatrix:nodes: 5}\n")
    assert yaml.safe_load(config_file(tmp_path, "dev").read_text()) == {
        "encryptionsalt": "v1:abc:v1:def",
        "config": {"cloudmatrix:nodes": 5},
    }


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("pulumi"), reason="pulumi is not on PATH")
def test_the_real_cli_goes_up_and_down_and_leaves_the_tree_clean(tmp_path, monkeypatch):
    root = project.write(tmp_path / "a project", "  cloudmatrix:nodes: 1 # one\n")
    monkeypatch.setenv("PULUMI_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("PULUMI_CONFIG_PASSPHRASE", raising=False)
    monkeypatch.delenv("PULUMI_CONFIG_PASSPHRASE_FILE", raising=False)
    (root / ".matrix").mkdir()
    passphrase.provide(root / ".matrix")
    before = {path.name: path.read_bytes() for path in root.iterdir() if path.is_file()}
    engine, run = PulumiCli(shutil.which("pulumi"), ""), Run(root, "dev")
    assert engine.outputs(root, "dev", show_secrets=True) == {}
    assert engine.preview(run)
    assert engine.up(run)
    salt = pulumi_cli._salt_in_state(root, "dev")
    assert engine.up(run)
    assert salt is not None
    assert pulumi_cli._salt_in_state(root, "dev") == salt
    shown = engine.outputs(root, "dev", show_secrets=True)
    assert shown["connections"] == {"manager": {"private_key": "hunter2"}}
    assert shown["addresses"] == {"manager": "10.10.10.1", "node2": "10.10.10.2"}
    assert engine.outputs(root, "dev", show_secrets=False)["connections"] == "[secret]"
    assert engine.refresh(run)
    assert engine.destroy(run)
    assert engine.outputs(root, "dev", show_secrets=False) == {}
    assert before == {path.name: path.read_bytes() for path in root.iterdir() if path.is_file()}
    assert b"hunter2" not in checkpoint(root, "dev").read_bytes()
