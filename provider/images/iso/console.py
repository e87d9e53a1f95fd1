"""What the installers say on the serial console: the stages, and the words after which they wait for ever.

Debian's text frontend keeps a line open while it counts ("Installing the base system  ... 30%"); Ubuntu's
prints an event a line. Deadlines are for an emulated machine, several times what one has taken.
"""

import re
from typing import Literal

from provider.images import finish
from provider.images.workshop import Stage

_PERCENT = r"(?:.*?(\d+%)\D*$)?"

DEBIAN: tuple[Stage, ...] = (
    Stage("booting the installer", r"Linux version \d", 600),
    Stage("reading the disc", r"Scanning (?:installation media|the CD-ROM)" + _PERCENT, 600),
    Stage("loading the installer", r"Loading additional components" + _PERCENT, 1200),
    Stage("setting up the network", r"Configuring the network with DHCP|Detecting link on", 600),
    Stage("finding the disk", r"Detecting disks and all other hardware|Starting up the partitioner", 900),
    Stage("making the file system", r"Partitions formatting", 600),
    Stage("installing the base system", r"Installing the base system" + _PERCENT, 2700),
    Stage("setting up packages", r"Configuring apt" + _PERCENT, 1800),
    Stage("installing GRUB", r"Installing GRUB boot loader" + _PERCENT, 1200),
    Stage("ending the installation", r"Finishing the installation", 900),
    *finish.STAGES,
)

UBUNTU: tuple[Stage, ...] = (
    Stage("booting the installer", r"Linux version \d", 1800),
    Stage("starting the installer", r"start: subiquity/(?!Install|Late)|^connecting\.\.\.", 1800),
    Stage(
        "preparing the disk",
        r"subiquity/Install/install/configure_apt|partitioning step|cmd-block-meta",
        1200,
    ),
    Stage("copying the system", r"extract step|cmd-extract", 3600),
    Stage("installing the kernel and GRUB", r"curthooks step|cmd-curthooks", 3600),
    Stage("setting up the system", r"install/postinstall:|final system configuration", 3600),
    *finish.STAGES,
)

STAGES = {"debian": DEBIAN, "ubuntu": UBUNTU}

_COMMON = (
    r"(?P<why>Unable to find a medium containing a live file system.*)",
    r"(?P<why>VFS: Unable to mount root fs.*)",
    r"^(?P<why>error: (?:file|no such device|symbol|you need to load).*)",
    r"^(?P<why>(?:Could not find kernel image|Failed to load ldlinux|ERROR: No configuration file).*)",
)
_ASKS = {
    "debian": (
        r"^!! (?P<why>ERROR:.*)",
        r"(?P<asks>Prompt: '.' for help.*)",
        r"(?P<asks>\[Press enter to continue\])",
        r"(?P<asks>Press enter to continue)",
        r"^(?P<asks>[\w ,-]*[Pp]assword[\w ,-]*:)\s*$",  # has no prompt
    ),
    "ubuntu": (
        r"(?P<why>An error occurred)\. Press enter to start a shell",
        r"(?P<asks>Confirmation is required to continue|Continue with autoinstall\?.*)",
    ),
}
_PATTERNS = {name: [re.compile(pattern) for pattern in (*_COMMON, *asks)] for name, asks in _ASKS.items()}


def judge(distribution: Literal["debian", "ubuntu"], line: str) -> str | None:
    """The error behind a line after which the installer never goes on, None for every other line."""
    if why := finish.judge(line):
        return why
    for pattern in _PATTERNS[distribution]:
        if match := pattern.search(line):
            found = match.groupdict()
            if found.get("why") is not None:
                return found["why"].strip()
            return f"the installer asks and would wait for ever ({found['asks'].strip()})"
    return None
