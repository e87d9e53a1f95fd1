"""Reading the stack config inside a Pulumi program."""

import asyncio
import contextvars
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pulumi
import pytest

import config

PROJECT = Path(__file__).parents[2]
PLAN = {"shop": {"source": "apps/shop", "port": 8080, "secrets": {"KEY": "hunter2"}}}


class Mocks(pulumi.runtime.Mocks):
    def new_resource(self, args):
        return args.name, args.inputs

    def call(self, args):
        return {}


def load(settings, secret_keys=()):
    """`config.load` as a program of a stack with these settings meets it."""

    def program():
        asyncio.set_event_loop(asyncio.new_event_loop())
        pulumi.runtime.set_mocks(Mocks(), project="cloudmatrix", stack="test")
        pulumi.runtime.set_all_config(settings, list(secret_keys))
        return config.load()

    return contextvars.copy_context().run(program)


def test_texts_and_json_are_read_as_pulumi_hands_them_over():
    loaded = load(
        {
            "cloudmatrix:nodes": "3",
            "cloudmatrix:hypervisor": "qemu",
            "cloudmatrix:applications": json.dumps(PLAN),
            "other:nodes": "x",
        },
        secret_keys=["cloudmatrix:applications"],
    )
    assert len(loaded.nodes) == 3
    assert loaded.hypervisor == "qemu"
    assert loaded.applications[0].port == 8080


def test_one_secret_in_the_plan_makes_nothing_else_secret():
    loaded = load({"cloudmatrix:applications": json.dumps(PLAN)}, ["cloudmatrix:applications"])
    assert loaded.applications[0].source == "apps/shop"
    assert loaded.applications[0].secrets["KEY"].value == "hunter2"


def test_a_secret_is_handed_on_as_a_secret():
    async def is_secret():
        return await config.Secret("hunter2").output.is_secret()

    assert asyncio.new_event_loop().run_until_complete(is_secret()) is True


def test_a_mistake_ends_the_program_with_the_code_that_means_shown_already(caplog):
    with pytest.raises(SystemExit) as caught:
        load({"cloudmatrix:node_s": "3", "cloudmatrix:nodes": "x"})
    assert caught.value.code == 32
    shown = caplog.text
    assert len(caplog.records) == 1
    assert shown.count('node_s: unknown key; did you mean "nodes"?') == 1
    assert shown.count('nodes: got "x", a string; need a whole number') == 1
    assert "Traceback" not in shown


# Whoever runs the tests in the background has them ignore interrupts, and Python leaves it at that.
PROGRAM = """
import os, signal, time
signal.signal(signal.SIGINT, signal.default_int_handler)
from config.load import quiet_interrupts
quiet_interrupts()
os.kill(os.getpid(), signal.SIGINT)
time.sleep(5)
"""


@pytest.mark.parametrize(("by_the_cli", "noise"), [(True, False), (False, True)])
def test_only_under_the_cli_an_interrupt_ends_the_program_without_a_word(by_the_cli, noise):
    settings = {"PULUMI_CONFIG": "{}"} if by_the_cli else {}
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("PULUMI_")}
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=PROJECT,
        env=inherited | settings,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert run.returncode == (1 if by_the_cli else -signal.SIGINT)
    assert ("KeyboardInterrupt" in run.stderr) is noise
