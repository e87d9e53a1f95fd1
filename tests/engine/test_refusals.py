"""What the embedded engine does not do: refused by name, and before anything is written."""

import json

import pytest

from engine.errors import EngineError
from tests.rig.stack import Stack

USE = "is not supported by the embedded engine; use the pulumi CLI for this stack"


@pytest.mark.parametrize(
    ("program", "what"),
    [
        ('Thing("a", opts=Opts(import_="x"))', "the option import_"),
        (
            'Thing.get = classmethod(lambda c, n, i: c(n, Opts(id=i)))\nThing.get("a", "x")',
            "reading an existing",
        ),
        ('pulumi.StackReference("other")', "a stack reference"),
        ('pulumi.runtime.invoke("lab:index:find", {})', "the function lab:index:find"),
        ('b = Thing("b")\nThing("a", opts=Opts(replace_with=[b]))', "the option replacewith"),
        ('Thing("a", opts=Opts(replacement_trigger="x"))', "the option replacement_trigger"),
        ('Thing("a", opts=Opts(transforms=[lambda args: None]))', "the option transforms"),
        ('Thing("a", opts=Opts(plugin_download_url="x"))', "the option plugin_download_url"),
        ('Thing("a", file=pulumi.StringAsset("x"))', "an asset or archive"),
        ('pulumi.ComponentResource("lab:index:Far", "f", {}, remote=True)', "a remote component"),
        (
            "from pulumi.dynamic import Resource, ResourceProvider\n"
            "class Own(Resource):\n  pass\nOwn(ResourceProvider(), 'd', {})",
            "a dynamic provider",
        ),
    ],
)
def test_a_program_that_needs_more_is_refused_before_the_first_write(
    stack: Stack, program: str, what: str
) -> None:
    assert not stack.up(f'Thing("first")\n{program}').ok

    assert what in stack.shown
    assert USE in stack.shown
    assert stack.shown.count("error:") == 1
    assert "up: failed: nothing to do" in stack.shown
    assert stack.calls() == []
    assert not stack.checkpoint.exists()


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda whole: whole.update(version=4), "checkpoint version 4"),
        (lambda whole: whole.update(features=["taint"]), "the state feature 'taint'"),
        (
            lambda whole: whole["checkpoint"]["latest"]["secrets_providers"].update(type="cloud"),
            "the secrets provider 'cloud'",
        ),
        (lambda whole: whole["checkpoint"]["latest"].update(snippets=[{}]), "the state's 'snippets'"),
        (
            lambda whole: whole["checkpoint"]["latest"]["resources"][-1].update(external=True),
            "'external' of urn:pulumi:test::scratch::lab:index:Thing::a in the state",
        ),
        (
            lambda whole: whole["checkpoint"]["latest"]["resources"][-1].update(newField=1),
            "'newField' of urn:pulumi:test::scratch::lab:index:Thing::a in the state",
        ),
        (
            lambda whole: whole["checkpoint"]["latest"].update(metadata={"integrity_error": {"error": "x"}}),
            "a state that the CLI has marked as damaged",
        ),
    ],
    ids=["version", "features", "secrets", "snippets", "external", "new-field", "damaged"],
)
@pytest.mark.parametrize("verb", ["up", "preview", "refresh", "destroy"])
def test_a_state_that_holds_more_is_refused_and_left_as_it_is(
    stack: Stack, change: object, what: str, verb: str
) -> None:
    stack.up('Thing("a")')
    stack.calls()
    whole = json.loads(stack.checkpoint.read_text())
    change(whole)  # type: ignore[operator]
    stack.checkpoint.write_text(json.dumps(whole))

    with pytest.raises(EngineError) as raised:
        stack.run(verb)

    assert str(raised.value) == f"{what} {USE}"
    assert (stack.calls(), json.loads(stack.checkpoint.read_text())) == ([], whole)


@pytest.mark.parametrize(
    ("file", "text", "what"),
    [
        ("Pulumi.yaml", "name: x\nruntime: nodejs\n", f"runtime 'nodejs' {USE}"),
        ("Pulumi.yaml", "name: x\nruntime: python\nmain: src\n", f"`main:` in Pulumi.yaml {USE}"),
        (
            "Pulumi.yaml",
            "name: x\nruntime: python\nbackend: {url: 's3://b'}\n",
            f"the backend s3://b {USE}",
        ),
        (
            "Pulumi.yaml",
            "name: x\nruntime: python\n",
            "no backend: set PULUMI_BACKEND_URL=file://… or `backend: {url: file://…}` in Pulumi.yaml",
        ),
        ("Pulumi.test.yaml", "environment: [e]\n", f"`environment:` in Pulumi.test.yaml {USE}"),
        ("Pulumi.test.yaml", "secretsprovider: awskms://k\n", f"the secrets provider awskms://k {USE}"),
        ("Pulumi.test.yaml", "config: [\n", "Pulumi.test.yaml is no valid YAML"),
        (
            "Pulumi.test.yaml",
            "config: {a: {secure: 'v1:x:y'}}\n",
            "Pulumi.test.yaml has a `secure:` value but no `encryptionsalt:`; set the value again",
        ),
    ],
)
def test_a_project_that_needs_more_is_refused(stack: Stack, file: str, text: str, what: str) -> None:
    (stack.root / file).write_text(text)
    stack.program("")

    with pytest.raises(EngineError) as raised:
        stack.run("up")

    assert what in str(raised.value)


def test_a_compressed_checkpoint_is_refused(stack: Stack) -> None:
    stack.up('Thing("a")')
    stack.checkpoint.rename(stack.checkpoint.with_name("test.json.gz"))

    with pytest.raises(EngineError, match=r"^a compressed checkpoint is not supported"):
        stack.run("up")


def test_a_provider_without_a_plugin_is_told_with_what_to_do(stack: Stack) -> None:
    stack.program('pulumi.CustomResource("gone:index:X", "x", {}, Opts(version="2.1.0"))')

    assert not stack.run("up").ok
    assert (
        "no plugin for the provider 'gone': it is neither in Pulumi.yaml's plugins, nor on PATH, nor "
        "installed; run `pulumi plugin install resource gone 2.1.0`"
    ) in stack.shown


def test_a_stack_that_is_not_there_cannot_be_destroyed(stack: Stack) -> None:
    with pytest.raises(EngineError, match=r"^there is no stack 'test'; nothing to destroy$"):
        stack.run("destroy")
