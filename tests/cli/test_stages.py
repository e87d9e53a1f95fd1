"""The record of stages, and the tables made of it."""

import io

from rich.console import Console

from cli import summary
from cli.stages import Stage, Work, collect, read

URN = "urn:pulumi:dev::cloudmatrix::matrix:index:VirtualMachine::manager"


def entry(time, stage, name="manager", urn=URN):
    return {"time": time, "urn": urn, "name": name, "type": "matrix:index:VirtualMachine", "stage": stage}


def test_a_stage_lasts_until_the_next_begins():
    lines = [entry(100.0, "create"), entry(100.5, "booting"), entry(110.5, "SSH"), entry(112.0, "done")]
    stages = (Stage("create", 0.5), Stage("booting", 10.0), Stage("SSH", 1.5))
    assert collect(lines) == (Work("manager", "VirtualMachine", 100.0, 112.0, stages),)


def test_a_stage_that_counts_is_one_stage():
    lines = [
        entry(0, "pushing layer 1 of 2 (3 MB)"),
        entry(4, "pushing layer 2 of 2 (9 MB)"),
        entry(9, "done"),
    ]
    assert collect(lines)[0].stages == (Stage("pushing layer", 9),)


def test_a_stage_that_comes_twice_is_added_up():
    lines = [entry(0, "wait"), entry(1, "work"), entry(3, "wait"), entry(6, "done")]
    assert collect(lines)[0].stages == (Stage("wait", 4), Stage("work", 2))


def test_resources_are_in_the_order_in_which_they_began():
    lines = [entry(2.0, "create", "b", "urn:b"), entry(1.0, "create", "a", "urn:a")]
    assert [work.name for work in collect(lines)] == ["a", "b"]


def test_only_this_run_is_read_and_a_line_cut_off_by_a_crash_is_skipped(tmp_path):
    file = tmp_path / "progress.jsonl"
    assert read(file, 0) == ()
    file.write_text(
        '{"time": 5, "urn": "u", "name": "old", "stage": "create"}\n'
        '{"time": 10, "urn": "v", "name": "new", "stage": "create"}\n'
        '{"time": 12, "urn": "v", "name": "new", "stage": "done"}\n'
        '{"time": 13, "urn": "v", "na'
    )
    (work,) = read(file, 10)
    assert (work.name, work.seconds) == ("new", 2)


def test_the_summary_tells_urls_ssh_commands_and_times():
    stages = (Stage("booting", 30.0), Stage("SSH", 2.0))
    outputs = {
        "urls": {"shop": "http://127.0.0.1:6081/shop/"},
        "addresses": {"manager": "10.10.10.1", "node2": "10.10.10.2"},
        "ssh": {"manager": "./matrix ssh manager", "node2": "./matrix ssh node2"},
    }
    works = [Work("manager", "VirtualMachine", 0, 32, stages), Work("keys", "KeyPair", 0, 0.1, ())]
    text = io.StringIO()
    summary.show(Console(file=text, width=100), outputs, works, 95.2)
    assert [line.rstrip() for line in text.getvalue().splitlines()] == [
        "resource  seconds  of which",
        "manager      32.0  booting 30.0, SSH 2.0",
        "application  URL",
        "shop         http://127.0.0.1:6081/shop/",
        "machine  address     SSH",
        "manager  10.10.10.1  ./matrix ssh manager",
        "node2    10.10.10.2  ./matrix ssh node2",
        "Done in 1 min 35 s.",
    ]


def test_a_run_that_changed_nothing_has_no_table():
    text = io.StringIO()
    summary.show(Console(file=text, width=100), {}, [], 1.26)
    assert text.getvalue() == "Done in 1.3 s.\n"
