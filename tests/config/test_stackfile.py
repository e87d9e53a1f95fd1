"""Reading Pulumi.<stack>.yaml without Pulumi."""

import pytest

from config import ConfigError, parse, stackfile

FILE = """
encryptionsalt: v1:abc
config:
  other:nodes: 9
  cloudmatrix:nodes: 3
  cloudmatrix:applications:
    shop:
      source: apps/shop
      secrets: {KEY: {secure: v1:def}}
"""


def test_our_own_keys_are_read_and_secrets_stay_shut(tmp_path):
    (tmp_path / "Pulumi.dev.yaml").write_text(FILE)
    raw = stackfile.read(tmp_path, "dev")
    assert sorted(raw) == ["applications", "nodes"]
    assert raw["applications"]["shop"]["secrets"] == {"KEY": stackfile.HIDDEN}
    assert parse(raw).applications[0].name == "shop"


@pytest.mark.parametrize("text", ["", "config:\n", "config: {}\n", "encryptionsalt: v1:abc\n"])
def test_an_empty_file_is_an_empty_stack(tmp_path, text):
    (tmp_path / "Pulumi.dev.yaml").write_text(text)
    assert stackfile.read(tmp_path, "dev") == {}


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("- a\n", "Pulumi.dev.yaml: got no mapping; need `config:` and settings; try config: {}"),
        ("config: [1]\n", "Pulumi.dev.yaml: got no mapping; need `config:` and settings; try config: {}"),
        (
            "config:\n  a: [\n",
            "Pulumi.dev.yaml: got line 3: expected the node content, but found '<stream end>'; "
            "need YAML; try mending that line",
        ),
    ],
)
def test_a_broken_file_is_named(tmp_path, text, error):
    (tmp_path / "Pulumi.dev.yaml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        stackfile.read(tmp_path, "dev")
    assert str(caught.value) == error
