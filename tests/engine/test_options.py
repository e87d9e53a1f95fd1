"""Resource options and what each means for the provider's calls and the state."""

import json

import pytest

from tests.rig.stack import Stack


def test_protect_refuses_deletion_replacement_and_destroy_until_it_is_taken_away(stack: Stack) -> None:
    program = 'Thing("a", shape={n}, opts=Opts(protect={p}))\nThing("b")'
    stack.up(program.format(n=1, p=True))
    stack.calls()

    for attempt in ('Thing("b")', program.format(n=2, p=True)):
        assert not stack.up(attempt).ok
        assert "protect" in stack.shown
    assert not stack.run("destroy").ok
    assert stack.shown.splitlines()[:3] == [
        "error: unable to delete protected resources, so nothing was deleted; remove `protect` "
        "in the program and run `up` first:",
        "      urn:pulumi:test::scratch::lab:index:Thing::a",
        "destroy: failed: nothing to do (0.0 s)",
    ]
    assert stack.calls() == []

    assert stack.up(program.format(n=1, p=False)).ok
    assert "protect" not in stack.resource("a")
    assert stack.run("destroy").ok


def test_children_inherit_what_protects_their_parent(stack: Stack) -> None:
    stack.up(
        'o = Thing("o")\ng = Group("g", Opts(protect=True, retain_on_delete=True, deleted_with=o))\n'
        'Thing("a", opts=Opts(parent=g))\nThing("b", opts=Opts(parent=g, retain_on_delete=False))'
    )
    a = stack.resource("a")

    assert (a["protect"], a["retainOnDelete"]) == (True, True)
    assert a["deletedWith"] == stack.resource("o")["urn"]
    assert "retainOnDelete" not in stack.resource("b")


def test_a_protected_dependent_stops_a_delete_first_replacement(stack: Stack) -> None:
    program = 'a = Thing("a", place={n})\nThing("b", place=a.tag, opts=Opts(protect=True))'
    stack.up(program.format(n=1))
    stack.calls()

    assert not stack.up(program.format(n=2)).ok
    assert "would be replaced with it and is protected" in stack.shown
    assert stack.calls() == []


def test_retain_on_delete_forgets_without_deleting(stack: Stack) -> None:
    stack.up('Thing("a", opts=Opts(retain_on_delete=True))')
    stack.calls()

    assert stack.up("").ok
    assert (stack.calls(), stack.names()) == ([], [])


def test_deleted_with_leaves_the_deletion_to_the_owner(stack: Stack) -> None:
    stack.up('a = Thing("a")\nThing("b", opts=Opts(deleted_with=a))')
    stack.calls()

    assert stack.run("destroy").ok
    assert stack.calls() == ["delete a"]


@pytest.mark.parametrize(
    ("what", "calls"),
    [
        ("place", ["delete a", "create a", "create b"]),
        ("shape", ["create a", "create b", "delete a"]),
    ],
)
def test_deleted_with_follows_a_replacement_of_the_owner(stack: Stack, what: str, calls: list[str]) -> None:
    program = f'a = Thing("a", {what}={{n}})\nThing("b", opts=Opts(deleted_with=a))'
    stack.up(program.format(n=1))
    stack.calls()

    assert stack.up(program.format(n=2)).ok
    assert stack.calls() == calls
    assert stack.names() == ["a", "b"]


@pytest.mark.parametrize(
    ("ignored", "before", "after"),
    [
        ("size", "size=1", "size=2"),
        ("size", "size=1", "shape=None"),
        ("size", "other=1", "other=1, size=2"),
        ("box.size", 'box={"size": 1, "kind": "x"}', 'box={"size": 2, "kind": "x"}'),
        ("list[*].size", 'list=[{"size": 1}, {"size": 2}]', 'list=[{"size": 8}, {"size": 9}]'),
        ('box["a.b"]', 'box={"a.b": 1}', 'box={"a.b": 2}'),
        ("box.*", 'box={"a": 1}', 'box={"b": 2}'),
    ],
)
def test_ignored_changes_are_no_changes(stack: Stack, ignored: str, before: str, after: str) -> None:
    program = f"Thing('a', {{inputs}}, opts=Opts(ignore_changes=['{ignored}']))"
    stack.up(program.replace("{inputs}", before))
    stack.calls()
    inputs = stack.resource("a")["inputs"] if before != "size=1" else {"size": 1}

    outcome = stack.up(program.replace("{inputs}", after))

    assert (outcome.ok, stack.calls(), stack.resource("a")["inputs"]) == (True, [], inputs)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('Thing("a", size=1)', 'Thing("b", size=1, opts=Opts(aliases=[pulumi.Alias(name="a")]))'),
        (
            'Thing("a", size=1)',
            'g = Group("g")\n'
            "top = pulumi.Alias(parent=pulumi.ROOT_STACK_RESOURCE)\n"
            'Thing("a", size=1, opts=Opts(parent=g, aliases=[top]))',
        ),
        (
            'Thing("a", size=1)',
            'Thing("b", size=1, opts=Opts(aliases=["urn:pulumi:test::scratch::lab:index:Thing::a"]))',
        ),
        (
            'g = Group("g")\nThing("g-a", size=1, opts=Opts(parent=g))',
            'g = Group("h", Opts(aliases=[pulumi.Alias(name="g")]))\n'
            'Thing("h-a", size=1, opts=Opts(parent=g))',
        ),
        (
            'g = Group("g")\nThing("g-a", size=1, opts=Opts(parent=g))',
            'g = Group("g", Opts(aliases=[pulumi.Alias(type_="lab:index:Group")]), kind="Club")\n'
            'Thing("g-a", size=1, opts=Opts(parent=g))',
        ),
    ],
    ids=["name", "parent", "urn", "component-name", "component-type"],
)
def test_an_alias_keeps_the_thing_under_its_new_name(stack: Stack, before: str, after: str) -> None:
    stack.up(before)
    identifier = next(item["id"] for item in stack.resources() if item["type"] == "lab:index:Thing")
    stack.calls()

    assert stack.up(after).ok

    assert stack.calls() == []
    things = [item for item in stack.resources() if item["type"] == "lab:index:Thing"]
    assert [item["id"] for item in things] == [identifier]
    assert "aliases" not in things[0]
    stack.calls()
    assert stack.up().changes["same"] == len(stack.resources()) - 1


def test_what_fails_after_a_rename_leaves_references_that_hold(stack: Stack) -> None:
    stack.up('g = Group("g")\na = Thing("a", opts=Opts(parent=g))\nThing("b", of=a.tag, opts=Opts(parent=g))')
    stack.orders(create_z="fail")

    alias = 'Opts(aliases=[pulumi.Alias(type_="lab:index:Group")])'
    stack.up(f'g = Group("g", {alias}, kind="Club")\nThing("z", opts=Opts(parent=g))')

    assert stack.resource("b")["urn"] == "urn:pulumi:test::scratch::lab:index:Club$lab:index:Thing::b"
    assert stack.resource("b")["dependencies"] == [stack.resource("a")["urn"]]
    assert stack.resource("b")["parent"] == stack.resource("g")["urn"]


def test_additional_secret_outputs_and_outputs_named_like_secret_inputs_are_sealed(stack: Stack) -> None:
    stack.up(
        'Thing("a", word=Output.secret("canary-2"), deep={"x": [Output.secret("canary-3")]}, '
        'opts=Opts(additional_secret_outputs=["tag"]))\n'
        'a = Thing("b", plain="visible")\nexport("word", Output.secret({"k": "canary-4"}))'
    )
    text = stack.checkpoint.read_text()
    outputs = stack.resource("a")["outputs"]

    assert "visible" in text
    assert [word for word in ("canary-2", "canary-3", "canary-4", "key of a") if word in text] == []
    assert all("ciphertext" in outputs[name] for name in ("word", "tag", "key"))
    assert "ciphertext" in outputs["deep"]["x"][0]
    assert stack.run("up").outputs == {"word": "[secret]"}


def test_an_unchanged_secret_is_written_with_its_old_ciphertext(stack: Stack) -> None:
    program = 'Thing("a", word=Output.secret("hush"))\nThing("b", size={n})'
    stack.up(program.format(n=1))
    before = json.dumps(stack.resource("a"))

    stack.up(program.format(n=2))

    assert json.dumps(stack.resource("a")) == before


def test_custom_timeouts_reach_the_state_as_whole_seconds(stack: Stack) -> None:
    stack.up('Thing("a", opts=Opts(custom_timeouts=pulumi.CustomTimeouts(create="5m", delete="1h30m")))')

    assert stack.resource("a")["customTimeouts"] == {"create": 300, "delete": 5400}


def test_a_changed_option_alone_is_saved_without_a_call(stack: Stack) -> None:
    stack.up('Thing("a")')
    stack.calls()

    stack.up('Thing("a", opts=Opts(retain_on_delete=True))')

    assert (stack.calls(), stack.resource("a")["retainOnDelete"]) == ([], True)
