"""Boot menus that start an installer at once, with its words on the kernel's command line. Pure."""

import re

from provider.errors import UserError

CONSOLE = "console=ttyS0,115200"
DEBIAN_WORDS = f"auto=true priority=critical DEBIAN_FRONTEND=text TERM=dumb {CONSOLE}"
"""No question that has a default is asked; plain lines instead of a screen, on the serial port."""
UBUNTU_WORDS = f"autoinstall {CONSOLE} fsck.mode=skip"
"""Without `autoinstall` it would ask whether it may. The check of the medium would find our own change."""

_KERNEL = re.compile(
    r"^(?P<head>[ \t]*linux(?:efi)?[ \t]+/casper/\S*vmlinuz\S*)(?P<rest>[^\n]*)$", re.MULTILINE
)
_TIMEOUT = re.compile(r"^[ \t]*set[ \t]+timeout=\S*[ \t]*$", re.MULTILINE)


def isolinux(kernel: str, initrds: tuple[str, ...], words: str) -> bytes:
    """isolinux.cfg for BIOS. `timeout 0` would wait for ever; 1 is a tenth of a second."""
    return (
        "serial 0 115200\ndefault install\nprompt 0\ntimeout 1\nlabel install\n"
        f"kernel {kernel}\nappend {words} initrd={','.join(initrds)} ---\n"
    ).encode()


def grub(kernel: str, initrds: tuple[str, ...], words: str) -> bytes:
    """grub.cfg, for UEFI and for BIOS where GRUB starts that too."""
    return (
        f"set timeout=0\nset default=0\nmenuentry install {{\n"
        f"    linux {kernel} {words} ---\n    initrd {' '.join(initrds)}\n}}\n"
    ).encode()


def autoinstall(text: str, where: str, words: str = UBUNTU_WORDS) -> bytes:
    """A live server's grub.cfg or loopback.cfg with `words` for each of its kernels and no waiting.

    What stands behind `---` is for the installed system, so the words go before it. UserError: no kernel.
    """
    edited, kernels = _KERNEL.subn(lambda match: match["head"] + _with(match["rest"], words), text)
    if not kernels:
        raise UserError(f"{where}: starts no /casper kernel; use the distribution's own, unchanged ISO")
    edited, timeouts = _TIMEOUT.subn("set timeout=0", edited)
    return (edited if timeouts else f"set timeout=0\n{edited}").encode()


def _with(rest: str, words: str) -> str:
    given, mark, kept = rest.partition("---")
    return f" {' '.join([*given.split(), words])}" + (f" ---{kept}" if mark else "")
