"""Which hypervisor is used, and what doctor says about it."""

import json

import pytest

from cli import hypervisor
from cli.checks import Finding, judge_virtualbox
from cli.hypervisor import VirtualBox, choose

MODULE = "VirtualBox: its kernel module vboxdrv is not loaded; run sudo modprobe vboxdrv"
NAT = "VirtualBox 7.2.2 breaks NAT when a machine has several port forwards; install 7.2.4 or newer"

ABSENT = VirtualBox("", problems=("VirtualBox is not installed; install 7.2.14 or newer",))
GOOD = VirtualBox("7.2.22")
NO_MODULE = VirtualBox("7.2.22", problems=(MODULE,))


@pytest.mark.parametrize(
    ("wanted", "in_use", "virtualbox", "name", "reason"),
    [
        ("virtualbox", None, ABSENT, "virtualbox", "the stack config says so"),
        ("virtualbox", "qemu", GOOD, "virtualbox", "the stack config says so"),
        ("auto", None, ABSENT, "qemu", "VirtualBox is not installed"),
        (
            "auto",
            None,
            NO_MODULE,
            "qemu",
            "VirtualBox cannot be used: its kernel module vboxdrv is not loaded",
        ),
        ("auto", None, GOOD, "virtualbox", "VirtualBox 7.2.22 is installed"),
        ("auto", "qemu", GOOD, "qemu", "the stack has machines on it"),
        ("auto", "virtualbox", NO_MODULE, "virtualbox", "the stack has machines on it"),
    ],
)
def test_auto_takes_virtualbox_where_it_can_be_used(wanted, in_use, virtualbox, name, reason):
    choice = choose(wanted, in_use, virtualbox)
    assert (choice.name, choice.reason) == (name, reason)


def test_a_stack_stays_with_what_its_machines_are_on(tmp_path):
    record = {"hypervisor": "qemu"}
    (tmp_path / "networks").mkdir()
    (tmp_path / "networks" / "internal.json").write_text(json.dumps(record))
    choice = hypervisor.chosen("auto", tmp_path)
    assert (choice.name, choice.reason) == ("qemu", "the stack has machines on it")


def test_nobody_asks_about_virtualbox_where_qemu_is_wanted(tmp_path):
    assert hypervisor.chosen("qemu", tmp_path) == hypervisor.Choice("qemu", "the stack config says so")


@pytest.mark.parametrize(
    ("found", "used", "findings"),
    [
        (GOOD, True, [Finding("ok", "VirtualBox 7.2.22")]),
        (ABSENT, True, [Finding("failure", "VirtualBox is not installed", "install 7.2.14 or newer")]),
        (ABSENT, False, []),
        (
            NO_MODULE,
            True,
            [
                Finding(
                    "failure",
                    "VirtualBox: its kernel module vboxdrv is not loaded",
                    "run sudo modprobe vboxdrv",
                )
            ],
        ),
        (
            NO_MODULE,
            False,
            [
                Finding(
                    "warning",
                    "VirtualBox: its kernel module vboxdrv is not loaded",
                    "run sudo modprobe vboxdrv",
                )
            ],
        ),
        (
            VirtualBox("7.2.2", warnings=(NAT,)),
            True,
            [
                Finding("ok", "VirtualBox 7.2.2"),
                Finding(
                    "warning",
                    "VirtualBox 7.2.2 breaks NAT when a machine has several port forwards",
                    "install 7.2.4 or newer",
                ),
            ],
        ),
    ],
)
def test_what_is_wrong_with_virtualbox_comes_with_what_to_do(found, used, findings):
    assert list(judge_virtualbox(found, used=used)) == findings
