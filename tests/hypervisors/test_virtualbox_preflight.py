"""What stands in VirtualBox's way on a computer, by the versions of all that take part."""

import pytest

from provider.hypervisors.virtualbox.preflight import Host, Kvm, Verdict, judge, kvm, numbers, this_host

GOOD = (7, 2, 22)
LINUX = Host("linux", "x86_64", (6, 18, 2))

KVM_HOLDS = (
    "KVM holds VT-x or AMD-V (Linux {} gives it away when KVM's module is loaded); "
    "run sudo modprobe -r kvm_intel kvm_amd, or set the module option kvm.enable_virt_at_load=0, "
    "or set hypervisor: qemu, which uses KVM"
)


def linux(kernel, kvm=Kvm.ABSENT, *, module=True):
    return Host("linux", "x86_64", kernel, module, kvm)


@pytest.mark.parametrize(
    ("version", "host", "problem"),
    [
        (
            (6, 0, 24),
            LINUX,
            "VirtualBox 6.0.24 is too old; install 6.1 or newer, 7.2.14 at best, or set hypervisor: qemu",
        ),
        (
            GOOD,
            Host("darwin", "arm64"),
            "VirtualBox cannot run amd64 machines on this computer, whose processor is arm64; "
            "use a computer with an Intel or AMD processor",
        ),
        (
            GOOD,
            linux((6, 18, 2), module=False),
            "VirtualBox: its kernel module vboxdrv is not loaded; run sudo modprobe vboxdrv, or where it is "
            "not built sudo /sbin/vboxconfig (with Secure Boot the module must be signed), "
            "or set hypervisor: qemu",
        ),
        ((7, 2, 8), linux((6, 18, 2), Kvm.HOLDING), KVM_HOLDS.format("6.18.2")),
        ((7, 1, 12), linux((6, 12, 73), Kvm.HOLDING), KVM_HOLDS.format("6.12.73")),
        (GOOD, linux((6, 12, 73), Kvm.HOLDING), KVM_HOLDS.format("6.12.73")),
        (
            GOOD,
            linux((6, 18, 2), Kvm.IDLE),
            "VirtualBox 7.2.22 shares VT-x with KVM, which was told to wait; remove the module option "
            "kvm.enable_virt_at_load=0 (in /etc/modprobe.d or on the kernel's command line), "
            "or set hypervisor: qemu",
        ),
    ],
)
def test_what_would_stop_every_machine_is_a_problem(version, host, problem):
    assert judge(version, host) == Verdict(problems=(problem,))


@pytest.mark.parametrize(
    ("version", "host", "warning"),
    [
        (
            (7, 2, 2),
            LINUX,
            "VirtualBox 7.2.2 breaks NAT when a machine has several port forwards; install 7.2.4 or newer",
        ),
        (
            (7, 2, 6),
            LINUX,
            "VirtualBox 7.2.6 can reset connections through NAT; install 7.2.8 or newer",
        ),
        (
            (7, 2, 12),
            linux((7, 1), Kvm.HOLDING),
            "VirtualBox 7.2.12 can freeze a Linux computer whose KVM is loaded; install 7.2.14 or newer",
        ),
        (
            GOOD,
            Host("win32", "AMD64", hyperv=True),
            "Windows runs on Hyper-V, so VirtualBox's machines run through it and are slow; "
            "switch off Hyper-V, Virtual Machine Platform and Memory integrity, then restart Windows",
        ),
    ],
)
def test_what_is_worth_knowing_is_a_warning(version, host, warning):
    assert judge(version, host) == Verdict(warnings=(warning,))


@pytest.mark.parametrize(
    ("version", "host"),
    [
        (GOOD, LINUX),
        (GOOD, linux((6, 18, 2), Kvm.HOLDING)),
        ((7, 1, 12), linux((6, 12, 73), Kvm.IDLE)),
        ((7, 0, 20), linux((6, 1), Kvm.IDLE)),
        ((6, 1, 50), linux((5, 10))),
        (GOOD, Host("win32", "AMD64")),
        (GOOD, Host("darwin", "x86_64")),
    ],
)
def test_what_fits_is_silent(version, host):
    assert judge(version, host) == Verdict()


@pytest.mark.parametrize(
    ("modules", "parameter", "expected"),
    [
        ((), None, Kvm.ABSENT),
        (("kvm",), "Y", Kvm.ABSENT),
        (("kvm", "kvm_intel"), None, Kvm.IDLE),
        (("kvm", "kvm_amd"), "N", Kvm.IDLE),
        (("kvm", "kvm_intel"), "Y", Kvm.HOLDING),
    ],
)
def test_kvm_is_looked_up_among_the_modules(tmp_path, modules, parameter, expected):
    for name in modules:
        (tmp_path / name).mkdir()
    if parameter:
        (tmp_path / "kvm" / "parameters").mkdir()
        (tmp_path / "kvm" / "parameters" / "enable_virt_at_load").write_text(f"{parameter}\n")
    assert kvm(tmp_path) is expected


def test_this_computer_can_be_read():
    assert this_host().kernel >= (3,)


def test_the_numbers_of_a_release_are_read():
    assert [numbers(name) for name in ("6.12.3-amd64", "7.2.22_Debianr175245", "x")] == [
        (6, 12, 3),
        (7, 2, 22),
        (),
    ]
