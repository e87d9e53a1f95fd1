"""Which hypervisor is used, and what doctor says about it."""

import pytest

from cli.checks import Finding, judge_virtualbox
from cli.hypervisor import choose

TOO_OLD, BROKEN, GOOD = (6, 0, 24), (7, 2, 2), (7, 2, 22)


@pytest.mark.parametrize(
    ("wanted", "virtualbox", "module", "name", "reason"),
    [
        ("qemu", GOOD, True, "qemu", "the stack config says so"),
        ("virtualbox", None, False, "virtualbox", "the stack config says so"),
        ("auto", None, False, "qemu", "VirtualBox is not installed"),
        ("auto", TOO_OLD, True, "qemu", "VirtualBox 6.0.24 is older than 6.1"),
        ("auto", GOOD, False, "qemu", "VirtualBox's kernel module is not loaded"),
        ("auto", GOOD, True, "virtualbox", "VirtualBox 7.2.22 is installed"),
    ],
)
def test_auto_takes_virtualbox_where_it_can_be_used(wanted, virtualbox, module, name, reason):
    choice = choose(wanted, virtualbox, module)
    assert (choice.name, choice.reason) == (name, reason)


def test_auto_takes_qemu_while_there_is_no_driver_for_virtualbox():
    choice = choose("auto", GOOD, True, driver=False)
    assert (choice.name, choice.reason) == (
        "qemu",
        "this version of cloudmatrix does not drive VirtualBox yet",
    )


@pytest.mark.parametrize(
    ("version", "module", "findings"),
    [
        (GOOD, True, [Finding("ok", "VirtualBox 7.2.22")]),
        (
            None,
            False,
            [
                Finding(
                    "failure",
                    "VirtualBox is not installed",
                    "install VirtualBox 7.2.4 or newer, or set hypervisor: qemu",
                )
            ],
        ),
        (
            TOO_OLD,
            True,
            [
                Finding(
                    "failure",
                    "VirtualBox 6.0.24 is too old",
                    "install 6.1 or newer, or set hypervisor: qemu",
                )
            ],
        ),
        (
            BROKEN,
            True,
            [
                Finding(
                    "warning",
                    "VirtualBox 7.2.2 breaks NAT when a machine has several port forwards",
                    "install 7.2.4 or newer",
                )
            ],
        ),
        (
            GOOD,
            False,
            [
                Finding("ok", "VirtualBox 7.2.22"),
                Finding(
                    "failure",
                    "VirtualBox: its kernel module is not loaded",
                    "run sudo modprobe vboxdrv (or /sbin/vboxconfig as root to build it), "
                    "or set hypervisor: qemu",
                ),
            ],
        ),
    ],
)
def test_what_is_wrong_with_virtualbox_comes_with_what_to_do(version, module, findings):
    assert list(judge_virtualbox(version, module)) == findings
