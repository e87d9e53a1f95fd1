"""Refresh: the state follows what is really there."""

import json

from tests.rig.stack import Stack


def world(stack: Stack, name: str) -> dict[str, object]:
    return json.loads(stack.lab.world(stack.resource(name)["id"]).read_text())


def test_drift_enters_the_state_and_the_next_run_mends_it(stack: Stack) -> None:
    stack.up('Thing("a", size=1)\nThing("b")')
    stack.lab.world(stack.resource("a")["id"]).write_text('{"size": 7}')
    stack.calls()

    outcome = stack.run("refresh", diff=True)

    assert sorted(stack.calls()) == ["read a", "read b"]
    assert stack.resource("a")["inputs"] == {"size": 7}
    assert (outcome.changes["update"], outcome.changes["same"]) == (1, 1)
    assert stack.shown.splitlines()[0] == " ~ lab:index:Thing a [size] updated (0.0 s)"
    assert stack.shown.splitlines()[1] == "      ~ size: 1 => 7"
    stack.up()
    assert stack.calls() == ["update a"]
    assert world(stack, "a") == {"size": 1}


def test_what_is_gone_leaves_the_state_and_takes_references_along(stack: Stack) -> None:
    program = 'g = Group("g")\na = Thing("a", opts=Opts(parent=g))\nThing("b", of=a.tag, opts=Opts(parent=a))'
    stack.up(program)
    stack.lab.world(stack.resource("a")["id"]).unlink()
    stack.calls()

    outcome = stack.run("refresh")

    assert (outcome.changes["delete"], stack.names()) == (1, ["g", "b"])
    assert "dependencies" not in stack.resource("b")
    assert stack.resource("b")["parent"] == stack.resource("g")["urn"]
    stack.calls()
    assert stack.up().ok
    assert stack.calls() == ["create a", "update b"]


def test_a_failed_read_keeps_that_state_and_refreshes_the_others(stack: Stack) -> None:
    stack.up('Thing("a", size=1)\nThing("b", size=1)')
    stack.lab.world(stack.resource("b")["id"]).write_text('{"size": 2}')
    stack.orders(read_a="fail")

    outcome = stack.run("refresh")

    assert not outcome.ok
    assert "error: lab:index:Thing a: read of a failed" in stack.shown
    assert (stack.resource("a")["inputs"], stack.resource("b")["inputs"]) == ({"size": 1}, {"size": 2})


def test_an_unhealthy_read_warns_and_a_healthy_one_forgets_it(stack: Stack) -> None:
    stack.up('Thing("a")')
    stack.orders(read_a="half")

    assert stack.run("refresh").ok
    assert "warning: lab:index:Thing a: the resource is not well:\n    * a is cold" in stack.shown
    assert stack.names() == ["a ill"]

    stack.orders()
    assert stack.run("refresh").ok
    assert stack.names() == ["a"]


def test_a_secret_stays_a_secret_when_the_provider_reads_it_back_in_the_clear(stack: Stack) -> None:
    stack.up(
        'Thing("a", word=Output.secret("canary"), deep={"x": [Output.secret("canary")]}, '
        'opts=Opts(additional_secret_outputs=["tag"]))'
    )
    stack.orders(read_a="forget")
    stack.calls()

    assert stack.run("refresh").ok

    assert "canary" not in stack.checkpoint.read_text()
    assert all("ciphertext" in stack.resource("a")["outputs"][name] for name in ("word", "tag"))
    assert stack.up().ok
    assert stack.calls() == ["read a"]
