"""What the installers say on the serial console: stages in their order, and every way to wait for ever."""

import pytest

from provider.images.iso import console
from provider.images.workshop import Job, Watch

DEBIAN = """\
[    0.000000] Linux version 6.12.48+deb13-amd64
Detecting hardware to find installation media  ... 50%... 95%... 100%
Scanning installation media  ... 0%... 30%... 100%
Loading additional components  ... 4%... 53%... 100%
Detecting network hardware  ... 95%... 100%
Detecting link on ens2; please wait...  ... 0%
Configuring the network with DHCP  ... 0%... 100%
Setting up the clock  ... 0%... 100%
Detecting disks and all other hardware  ... 97%... 100%
Starting up the partitioner  ... 50%... 100%
Partitions formatting  ... 33%
Installing the base system  ... 0%... 17%... 60%... 100%
Configuring apt  ... 50%... 100%
Select and install software  ... 1%... 100%
Installing GRUB boot loader  ... 16%... 100%
Finishing the installation  ... 3%... 44%
cloudmatrix: looking at the system
cloudmatrix: reading package lists
cloudmatrix: installing packages (unpacking 20/120)
cloudmatrix: removing what is not needed
cloudmatrix: applying settings
cloudmatrix: preparing for a quick start
cloudmatrix: making it boot
cloudmatrix: sealing
cloudmatrix: finished
[  900.000000] reboot: Power down
"""
UBUNTU = """\
[    0.000000] Linux version 6.8.0-71-generic
connecting...  -
start: subiquity/Early/run:
start: subiquity/Install/install/configure_apt: configuring apt
start: subiquity/Install/install/curtin_install/run_curtin_step: executing curtin install partitioning step
start: subiquity/Install/install/curtin_install/run_curtin_step: executing curtin install extract step
start: subiquity/Install/install/curtin_install/run_curtin_step: executing curtin install curthooks step
start: subiquity/Install/install/postinstall: final system configuration
start: subiquity/Late/run:
cloudmatrix: looking at the system
cloudmatrix: installing packages
cloudmatrix: finished
"""


def shown(tmp_path, distribution, text):
    """The progress that a whole console makes; it fails when a line is taken for a question."""
    texts = []
    job = Job("base image", tmp_path, tmp_path / "disk", console.STAGES[distribution], log=tmp_path / "log")
    watch = Watch(job, lambda line: console.judge(distribution, line), texts.append, 0)
    for second, line in enumerate(text.splitlines(keepends=True)):
        watch.feed(line.encode(), second)
    watch.end("")
    return texts


def test_debian_goes_through_its_stages(tmp_path):
    assert shown(tmp_path, "debian", DEBIAN) == [
        "starting the machine",
        "booting the installer",
        "reading the disc 100%",
        "loading the installer 100%",
        "setting up the network",
        "finding the disk",
        "making the file system",
        "installing the base system 100%",
        "setting up packages 100%",
        "installing GRUB 100%",
        "ending the installation",
        "looking at the system",
        "reading package lists",
        "installing packages (unpacking 20/120)",
        "removing what is not needed",
        "applying settings",
        "preparing for a quick start",
        "making it boot",
        "sealing",
        "switching off",
    ]


def test_ubuntu_goes_through_its_stages(tmp_path):
    assert shown(tmp_path, "ubuntu", UBUNTU) == [
        "starting the machine",
        "booting the installer",
        "starting the installer",
        "preparing the disk",
        "copying the system",
        "installing the kernel and GRUB",
        "setting up the system",
        "looking at the system",
        "installing packages",
        "switching off",
    ]


@pytest.mark.parametrize(
    ("distribution", "line", "error"),
    [
        ("debian", "!! ERROR: Bad archive mirror", "ERROR: Bad archive mirror"),
        (
            "debian",
            "Prompt: '?' for help, default=20> ",
            "the installer asks and would wait for ever (Prompt: '?' for help, default=20>)",
        ),
        (
            "debian",
            "[Press enter to continue] ",
            "the installer asks and would wait for ever ([Press enter to continue])",
        ),
        (
            "debian",
            "Root password: ",
            "the installer asks and would wait for ever (Root password:)",
        ),
        ("debian", "Could not find kernel image: linux", "Could not find kernel image: linux"),
        (
            "debian",
            "error: file `/install.amd/vmlinuz' not found.",
            "error: file `/install.amd/vmlinuz' not found.",
        ),
        ("debian", "cloudmatrix: failed: no disc with bundle", "no disc with bundle"),
        ("ubuntu", "An error occurred. Press enter to start a shell", "An error occurred"),
        (
            "ubuntu",
            "Continue with autoinstall? (yes|no)",
            "the installer asks and would wait for ever (Continue with autoinstall? (yes|no))",
        ),
        (
            "ubuntu",
            "Unable to find a medium containing a live file system",
            "Unable to find a medium containing a live file system",
        ),
        ("ubuntu", "cloudmatrix: failed: the installer has stopped", "the installer has stopped"),
        ("debian", "Get:1 http://mirror.example/debian trixie/main amd64 libgpg-error0", None),
        ("debian", "Installing the base system  ... 10%", None),
        ("debian", "Setting up users and passwords  ... 10%", None),
        ("ubuntu", "[  1.0] EXT4-fs (vda1): errors=remount-ro", None),
    ],
)
def test_what_would_wait_for_ever(distribution, line, error):
    assert console.judge(distribution, line) == error
