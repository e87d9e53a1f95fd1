"""What goes wrong on the way: what is saved, what is shown, and how the next run mends it."""

import pytest

from engine.errors import EngineError
from tests.rig.stack import SALT, Stack


def shown(stack: Stack) -> list[str]:
    """What was shown besides progress and what went well."""
    return [
        line
        for line in stack.shown.splitlines()
        if line.startswith(("error", "warning", "    ")) or "failed" in line
    ]


def test_a_failed_create_stops_what_depends_on_it_and_the_next_run_goes_on(stack: Stack) -> None:
    stack.orders(create_b="fail")
    program = 'a = Thing("a")\nb = Thing("b", of=a.tag)\nThing("c", of=b.tag)'

    assert not stack.up(program).ok

    assert stack.calls() == ["create a", "create b"]
    assert stack.names() == ["a"]
    assert "pending_operations" not in stack.latest
    assert shown(stack)[:2] == [
        "error: lab:index:Thing b: create of b failed",
        "    as it was told to",
    ]
    stack.orders()
    assert stack.up().ok
    assert stack.calls() == ["create b", "create c"]


def test_others_that_run_already_finish_and_are_saved(stack: Stack) -> None:
    stack.orders(create_a="wait", create_b="fail")
    stack.program('Thing("a")\nThing("b")')
    (stack.lab.folder / "go").touch()

    assert not stack.run("up").ok

    assert stack.names() == ["a"]


def test_what_waits_for_a_free_slot_does_not_start_after_a_failure(stack: Stack) -> None:
    stack.orders(create_a="late", create_b="late")
    stack.program('Thing("a")\nThing("b")')

    assert not stack.run("up", parallel=1).ok

    assert len(stack.calls()) == 1


def test_nothing_is_deleted_after_a_failure(stack: Stack) -> None:
    stack.up('Thing("a")\nThing("b", shape=1)')
    stack.orders(create_c="fail")
    stack.calls()

    assert not stack.up('b = Thing("b", shape=2)\nThing("c", of=b.tag)').ok

    assert stack.calls() == ["create b", "create c"]
    assert sorted(stack.names()) == ["a", "b", "b delete"]
    stack.orders()
    assert stack.up().ok
    assert stack.calls()[0] == "create c"
    assert stack.names() == ["b", "c"]


def test_a_half_made_resource_is_kept_and_updated_by_the_next_run(stack: Stack) -> None:
    stack.orders(create_a="half")
    program = 'a = Thing("a", word=Output.secret("hush"))\nThing("b", of=a.tag)'

    assert not stack.up(program).ok

    assert stack.names() == ["a ill"]
    assert stack.resource("a")["initErrors"] == ["a is cold"]
    assert stack.resource("a")["id"].startswith("a-")
    assert shown(stack)[0] == "error: lab:index:Thing a: a is cold"
    stack.orders()
    stack.calls()
    assert stack.up().ok
    assert stack.calls() == ["update a", "create b"]
    assert stack.names() == ["a", "b"]


def test_a_half_made_update_keeps_its_old_inputs_and_is_updated_again(stack: Stack) -> None:
    stack.up('Thing("a", size=1)')
    stack.orders(update_a="half")
    stack.calls()

    assert not stack.up('Thing("a", size=2)').ok
    assert (stack.names(), stack.resource("a")["inputs"]) == (["a ill"], {"size": 1})

    stack.orders()
    assert stack.up().ok
    assert (stack.calls(), stack.names()) == (["update a", "update a"], ["a"])


def test_a_failed_update_keeps_the_old_state(stack: Stack) -> None:
    stack.up('Thing("a", size=1)')
    stack.orders(update_a="fail")

    assert not stack.up('Thing("a", size=2)').ok

    assert stack.resource("a")["inputs"] == {"size": 1}


def test_delete_first_and_the_create_fails(stack: Stack) -> None:
    program = 'a = Thing("a", place={n})\nThing("b", place=a.tag)'
    stack.up(program.format(n=1))
    stack.orders(create_a="fail")
    stack.calls()

    assert not stack.up(program.format(n=2)).ok
    assert stack.calls() == ["delete b", "delete a", "create a"]
    assert stack.names() == ["a pending", "b pending"]

    stack.orders()
    assert stack.up().ok
    assert stack.calls() == ["create a", "create b"]
    assert stack.names() == ["a", "b"]


def test_delete_first_and_the_delete_fails_leaves_the_old_one_as_it_was(stack: Stack) -> None:
    stack.up('Thing("a", place=1)')
    stack.orders(delete_a="fail")
    stack.calls()

    assert not stack.up('Thing("a", place=2)').ok
    assert (stack.calls(), stack.names()) == (["delete a"], ["a"])

    stack.orders()
    assert stack.up().ok
    assert stack.calls() == ["delete a", "create a"]


def test_what_was_deleted_for_a_replacement_and_then_dropped_is_just_forgotten(stack: Stack) -> None:
    stack.up('Thing("a", place=1)')
    stack.orders(create_a="fail")
    stack.up('Thing("a", place=2)')
    stack.calls()

    assert stack.up("").ok
    assert (stack.calls(), stack.names()) == ([], [])


def test_create_first_and_the_old_ones_delete_fails(stack: Stack) -> None:
    stack.up('Thing("a", shape=1)')
    stack.orders(delete_a="fail")

    assert not stack.up('Thing("a", shape=2)').ok
    assert stack.names() == ["a", "a delete"]

    stack.orders()
    stack.calls()
    assert stack.up().ok
    assert (stack.calls(), stack.names()) == (["delete a"], ["a"])


def test_a_failed_delete_spares_what_it_depends_on_but_not_the_rest(stack: Stack) -> None:
    stack.up('a = Thing("a")\nb = Thing("b", of=a.tag)\nThing("c")')
    stack.orders(delete_b="fail")
    stack.calls()

    assert not stack.run("destroy").ok

    assert sorted(stack.calls()) == ["delete b", "delete c"]
    assert stack.names() == ["a", "b"]


def test_a_wrong_input_is_told_before_anything_is_made(stack: Stack) -> None:
    assert not stack.up('Thing("a")\nThing("b", size=-1)').ok

    assert stack.calls() == []
    assert not stack.checkpoint.exists()
    assert shown(stack)[0] == "error: lab:index:Thing b: size: got -1; need a number above 0; try 1"


@pytest.mark.parametrize(
    ("program", "text"),
    [
        (
            "def f():\n    raise ValueError('no luck')\nf()",
            "error: the program failed:\n"
            '      File "{root}/__main__.py", line 4, in <module>\n'
            "        f()\n"
            '      File "{root}/__main__.py", line 3, in f\n'
            "        raise ValueError('no luck')\n"
            "    ValueError: no luck",
        ),
        ("raise pulumi.RunError('do it by hand')", "error: do it by hand"),
        ("pulumi.log.error('nodes: got 0')\nimport sys; sys.exit(32)", "error: nodes: got 0"),
        ("import sys; sys.exit(3)", "error: the program exited with code 3"),
        ("import sys; sys.exit()", "error: the program called sys.exit before its end; remove that call"),
        (
            'Thing("a")\nThing("a")',
            "error: lab:index:Thing a: duplicate resource urn:pulumi:test::scratch::lab:index:Thing::a: "
            "choose another name for one of the two",
        ),
        (
            'Thing("a").tag.apply(lambda _: 1 / 0)\nexport("x", Output.from_input(1).apply(lambda n: n / 0))',
            "ZeroDivisionError: division by zero",
        ),
    ],
    ids=["exception", "run-error", "exit-32", "exit-3", "exit-0", "duplicate", "apply"],
)
def test_a_failing_program_is_told_once_and_without_noise(stack: Stack, program: str, text: str) -> None:
    stack.program(program)

    assert not stack.run("up").ok

    assert text.format(root=stack.root) in stack.shown
    assert stack.shown.count("error:") == 1
    assert stack.calls() == []


def test_an_existing_stack_is_left_alone_by_a_failing_program(stack: Stack) -> None:
    stack.up('Thing("a")\nexport("x", 1)')
    stack.calls()

    assert not stack.up("raise ValueError('no luck')").ok

    assert (stack.calls(), stack.names(), stack.run("preview").outputs) == ([], ["a"], {"x": 1})


def test_outputs_of_a_failed_run_are_laid_over_the_old_ones(stack: Stack) -> None:
    stack.up('export("kept", 1)\nexport("size", 1)')
    stack.orders(create_a="fail")

    assert not stack.up('export("size", 2)\nThing("a")').ok

    assert stack.resource("scratch-test")["outputs"] == {"kept": 1, "size": 2}


def test_a_failing_display_does_not_break_the_run(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.display.PlainDisplay.show", lambda *_: 1 / 0)

    assert stack.up('Thing("a")').ok
    assert stack.names() == ["a"]


@pytest.mark.parametrize(
    ("variables", "text"),
    [
        (
            {"PULUMI_CONFIG_PASSPHRASE": "wrong"},
            "incorrect passphrase: it does not open this stack's secrets; "
            "set PULUMI_CONFIG_PASSPHRASE to the one that the stack was made with",
        ),
        (
            {"PULUMI_CONFIG_PASSPHRASE": ""},
            "the passphrase is empty: an empty one protects nothing; set a longer one",
        ),
        ({}, "no passphrase: set PULUMI_CONFIG_PASSPHRASE or PULUMI_CONFIG_PASSPHRASE_FILE"),
        (
            {"PULUMI_CONFIG_PASSPHRASE_FILE": "/nowhere"},
            "cannot read the passphrase: PULUMI_CONFIG_PASSPHRASE_FILE: "
            "[Errno 2] No such file or directory: '/nowhere'",
        ),
    ],
    ids=["wrong", "empty", "none", "file"],
)  # fmt: skip
def test_without_the_passphrase_nothing_is_read_or_written(
    stack: Stack, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], text: str
) -> None:
    stack.up('Thing("a", word=Output.secret("hush"))')
    before = stack.checkpoint.read_bytes()
    monkeypatch.delenv("PULUMI_CONFIG_PASSPHRASE")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    with pytest.raises(EngineError) as raised:
        stack.run("up")

    assert str(raised.value) == text
    assert stack.checkpoint.read_bytes() == before


def test_a_stack_without_a_salt_in_its_config_keeps_it_in_the_checkpoint(stack: Stack) -> None:
    stack.config("config: {}\n", salt="")
    before = (stack.root / "Pulumi.test.yaml").read_text()

    stack.up('Thing("a", word=Output.secret("hush"))')
    salt = stack.latest["secrets_providers"]["state"]["salt"]
    stack.up('Thing("b", word=Output.secret("hush"))')

    assert (stack.root / "Pulumi.test.yaml").read_text() == before
    assert stack.latest["secrets_providers"]["state"]["salt"] == salt != SALT
