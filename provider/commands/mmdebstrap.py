"""Arguments of mmdebstrap for small trees from Debian packages. Pure."""

from collections.abc import Sequence
from pathlib import Path

from provider.mirrors import copied

PROGRAM = "mmdebstrap"
UNWANTED = ("/usr/share/doc/*", "/usr/share/info/*", "/usr/share/locale/*")
"""Not the manual pages: the JDK's own set-up fails without their folders; its hook removes them."""


def tree(
    release: str, packages: Sequence[str], variant: str, hook: Path, target: Path, sources: Sequence[str]
) -> list[str]:
    """Make `target`, a tar file. `hook` is an executable that gets the tree's folder as its argument.

    The variant "extract" unpacks and runs no package's scripts, so its hook comes right after that, and
    there is nothing of apt's to clean up afterwards.
    """
    if variant == "extract":
        own = [f"--extract-hook={hook}", "--skip=cleanup,output/dev"]
    else:
        own = [f"--customize-hook={hook}", "--skip=output/dev"]
        own += ["--dpkgopt=force-unsafe-io", *(f"--dpkgopt=path-exclude={path}" for path in UNWANTED)]
    return [
        PROGRAM,
        f"--variant={variant}",
        f"--include={','.join(packages)}",
        '--aptopt=APT::Install-Recommends "false"',
        *own,
        release,
        str(target),
        *sources,
    ]


def sources(main: str, updates: str, security: str, release: str) -> list[str]:
    """apt source lines of a release; an archive that is not offered is an empty string."""
    offered = ((main, release), (updates, f"{release}-updates"), (security, f"{release}-security"))
    return [f"deb {copied(uri)} {suite} main" for uri, suite in offered if uri]
