"""What a change of the program does: the order of the provider's calls, and the state afterwards."""

from tests.rig.stack import Stack

CHAIN = """
a = Thing("a", {a})
b = Thing("b", of=a.tag)
c = Thing("c", of=b.tag)
export("tag", c.tag)
"""


def chain(a: str) -> str:
    return CHAIN.replace("{a}", a)


def test_everything_is_made_in_the_order_of_dependencies(stack: Stack) -> None:
    outcome = stack.up(chain("size=1"))

    assert stack.calls() == ["create a", "create b", "create c"]
    assert stack.names() == ["a", "b", "c"]
    assert outcome.ok
    assert outcome.changes["create"] == 4  # with the stack itself
    assert outcome.outputs == {"tag": stack.resource("c")["id"]}


def test_a_second_run_calls_nothing_and_writes_nothing(stack: Stack) -> None:
    stack.up(chain("size=1"))
    stack.calls()
    before = stack.checkpoint.read_bytes()

    outcome = stack.up()

    assert (stack.calls(), outcome.changes["same"], stack.checkpoint.read_bytes()) == ([], 4, before)


def test_an_update_keeps_the_id_so_that_dependents_stay(stack: Stack) -> None:
    stack.up(chain("size=1"))
    identifier = stack.resource("a")["id"]
    stack.calls()

    outcome = stack.up(chain("size=2"))

    assert stack.calls() == ["update a"]
    assert (stack.resource("a")["id"], stack.resource("a")["inputs"]) == (identifier, {"size": 2})
    assert (outcome.changes["update"], outcome.changes["same"]) == (1, 3)


def test_what_the_program_drops_is_deleted_last_made_first(stack: Stack) -> None:
    stack.up(chain("size=1"))
    stack.calls()

    outcome = stack.up('Thing("d")')

    assert stack.calls() == ["create d", "delete c", "delete b", "delete a"]
    assert stack.names() == ["d"]
    assert outcome.changes["delete"] == 3


def test_create_first_replacement_deletes_the_old_one_at_the_end(stack: Stack) -> None:
    stack.up(chain('shape="round"'))
    old = stack.resource("a")["id"]
    stack.calls()

    outcome = stack.up(chain('shape="square"'))

    assert stack.calls() == ["create a", "update b", "delete a"]
    assert stack.names() == ["a", "b", "c"]
    assert stack.resource("a")["id"] != old
    assert outcome.changes["replace"] == 1


def test_create_first_replacement_cascades_through_those_that_must_follow(stack: Stack) -> None:
    program = 'a = Thing("a", shape={a})\nb = Thing("b", shape=a.tag)\nc = Thing("c", shape=b.tag)\n'
    stack.up(program.replace("{a}", "1"))
    stack.calls()

    stack.up(program.replace("{a}", "2"))

    assert stack.calls() == ["create a", "create b", "create c", "delete c", "delete b", "delete a"]
    assert stack.names() == ["a", "b", "c"]


def test_delete_first_replacement_takes_dependents_down_before_and_up_after(stack: Stack) -> None:
    program = 'a = Thing("a", place={a})\nb = Thing("b", place=a.tag)\nc = Thing("c", size=b.tag)\n'
    stack.up(program.replace("{a}", "1"))
    stack.calls()

    stack.up(program.replace("{a}", "2"))

    assert stack.calls() == ["delete b", "delete a", "create a", "create b", "update c"]
    assert stack.names() == ["a", "b", "c"]


def test_delete_first_replacement_without_dependents(stack: Stack) -> None:
    stack.up('Thing("a", place=1)')
    stack.calls()

    stack.up('Thing("a", place=2)')

    assert stack.calls() == ["delete a", "create a"]


def test_the_option_decides_over_the_provider_which_goes_first(stack: Stack) -> None:
    program = 'Thing("a", {what}={n}, opts=Opts(delete_before_replace={first}))'
    stack.up(program.format(what="place", n=1, first=False))
    stack.calls()

    stack.up(program.format(what="place", n=2, first=False))
    stack.up(program.format(what="place", n=2, first=True))
    stack.up(program.format(what="shape", n=2, first=True))

    assert stack.calls() == ["create a", "delete a", "delete a", "create a"]


def test_replace_on_changes_makes_an_update_a_replacement(stack: Stack) -> None:
    program = 'Thing("a", size={n}, opts=Opts(replace_on_changes=["size"]))'
    stack.up(program.format(n=1))
    stack.calls()

    stack.up(program.format(n=2))

    assert stack.calls() == ["create a", "delete a"]


def test_destroy_deletes_everything_in_reverse_and_leaves_an_empty_state(stack: Stack) -> None:
    stack.up('g = Group("g")\n' + chain("opts=Opts(parent=g)"))
    stack.calls()

    outcome = stack.run("destroy")

    assert stack.calls() == ["delete c", "delete b", "delete a"]
    assert "resources" not in stack.latest
    assert (outcome.ok, outcome.changes["delete"], outcome.outputs) == (True, 5, {})


def test_destroy_does_not_need_the_program(stack: Stack) -> None:
    stack.up('Thing("a")')
    stack.program("raise SystemExit('must not run')")

    assert stack.run("destroy").ok


def test_components_carry_outputs_and_parents(stack: Stack) -> None:
    stack.up('g = Group("g")\na = Thing("a", opts=Opts(parent=g))\ng.register_outputs({"inner": a.tag})')

    assert stack.resource("g")["outputs"] == {"inner": stack.resource("a")["id"]}
    assert stack.resource("a")["parent"] == stack.resource("g")["urn"]
    assert stack.resource("a")["urn"] == "urn:pulumi:test::scratch::lab:index:Group$lab:index:Thing::a"


def test_a_preview_touches_nothing_and_tells_every_change(stack: Stack) -> None:
    stack.up('Thing("a", size=1)\nThing("b", shape=1)\nThing("c")')
    stack.calls()
    before = stack.checkpoint.read_bytes()
    stack.program(
        'a = Thing("a", size=2)\nb = Thing("b", shape=2, opts=Opts(depends_on=[a]))\n'
        'Thing("d", of=b.tag, secret=Output.secret(1))'
    )

    outcome = stack.run("preview", diff=True)

    assert (stack.calls(), stack.checkpoint.read_bytes()) == ([], before)
    assert stack.shown.splitlines()[:-1] == [
        " ~ lab:index:Thing a [size]",
        "      ~ size: 1 => 2",
        "+- lab:index:Thing b [shape]",
        "      ~ shape: 1 => 2",
        " + lab:index:Thing d",
        "      + of: [unknown]",
        "      + secret: [secret]",
        " - lab:index:Thing c",
    ]
    assert {op: n for op, n in outcome.changes.items() if n} == {
        "same": 1, "create": 1, "update": 1, "replace": 1, "delete": 1
    }  # fmt: skip


def test_a_preview_of_a_stack_that_is_not_there_yet_makes_no_file(stack: Stack) -> None:
    stack.program('a = Thing("a")\nThing("b", of=a.tag)')

    outcome = stack.run("preview")

    assert (outcome.ok, outcome.changes["create"]) == (True, 3)
    assert not stack.checkpoint.exists()


def test_preview_and_up_in_one_process_both_run_the_modules_of_the_program(stack: Stack) -> None:
    (stack.root / "parts.py").write_text('from lab import Thing\nThing("a")\n')
    stack.program("import parts")

    stack.run("preview")
    stack.up()

    assert stack.calls() == ["create a"]


def test_the_default_provider_carries_the_stacks_settings_for_it(stack: Stack) -> None:
    stack.config("config:\n  lab:region: north\n")
    stack.up('Thing("a")')
    provider = stack.resource("default_1_0_0")

    assert provider["inputs"] == {"region": "north", "version": "1.0.0", "__internal": {}}
    assert provider["outputs"] == {"region": "north", "version": "1.0.0"}
    assert stack.resource("a")["provider"] == f"{provider['urn']}::{provider['id']}"


def test_a_provider_that_must_be_replaced_takes_its_resources_along(stack: Stack) -> None:
    program = 'p = Provider("p", region="{r}", speed={s})\nThing("a", opts=Opts(provider=p))'
    stack.up(program.format(r="north", s=1))
    stack.calls()

    stack.up(program.format(r="north", s=2))
    assert stack.calls()[-1:] == ["configure p"]

    stack.up(program.format(r="south", s=2))
    assert [call for call in stack.calls() if "configure" not in call] == ["create a", "delete a"]
    assert stack.names() == ["p", "a"]


def test_removing_an_explicit_provider_moves_the_resource_to_the_default_one(stack: Stack) -> None:
    stack.up('p = Provider("p")\nThing("a", opts=Opts(provider=p))')
    stack.calls()

    stack.up('Thing("a")')

    assert stack.calls() == []
    assert stack.names() == ["a"]
    assert "::default_1_0_0::" in stack.resource("a")["provider"]
