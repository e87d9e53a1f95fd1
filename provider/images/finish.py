"""What makes a system that an installer or a distribution has made the same as an image made from packages.

The bundle is a tar file: the script `finish`, run as root inside the new system with `sh <folder>/finish`,
and beside it all that it needs but the packages, which apt fetches.
"""

import io
import tarfile
from collections.abc import Mapping
from typing import Literal

from provider.images import disk, recipe
from provider.images.apt import source_lines
from provider.images.workshop import Stage, outward
from provider.mirrors import named_mirror, offered

Distribution = Literal["debian", "ubuntu"]
STAGES = (
    Stage("looking at the system", "^cloudmatrix: looking at the system", 60),
    Stage("reading package lists", "^cloudmatrix: reading package lists", 600),
    Stage("installing packages", "^cloudmatrix: installing packages(.*)", 3600),
    Stage("removing what is not needed", "^cloudmatrix: removing what is not needed", 1200),
    Stage("applying settings", "^cloudmatrix: applying settings", 300),
    Stage("preparing for a quick start", "^cloudmatrix: preparing for a quick start", 900),
    Stage("making it boot", "^cloudmatrix: making it boot", 120),
    Stage("sealing", "^cloudmatrix: sealing", 600),
    Stage("switching off", "^cloudmatrix: finished", 300),
)
"""Of the workshop, in which it runs."""


def judge(line: str) -> str | None:
    """What went wrong, when a line of the console says so."""
    start = "cloudmatrix: failed: "
    return line.partition(start)[2] if start in line else None


def bundle(distribution: Distribution, release: str, mirror: str = "", proxy: str = "") -> bytes:
    """The tar file. Without a mirror the system's own package sources are used; `proxy` is for apt alone.

    UserError: the mirror does not offer the release.
    """
    return _tar(files(distribution, release, sources(distribution, release, mirror), proxy))


def sources(distribution: Distribution, release: str, mirror: str) -> str:
    """The lines of a sources.list, "" for those that the system has."""
    if not mirror:
        return ""
    if distribution == "debian":
        lines = source_lines(offered(named_mirror(mirror), release), release, "")
    else:
        parts = (release, f"{release}-updates", f"{release}-security")
        lines = [f"deb {mirror.rstrip('/')} {suite} main universe" for suite in parts]
    return "".join(f"{outward(line)}\n" for line in lines)


def files(distribution: Distribution, release: str, source_list: str, proxy: str = "") -> Mapping[str, bytes]:
    """What the bundle holds, by name. Pure."""
    texts = {
        "packages": "".join(f"{name}\n" for name in recipe.packages(distribution, release)),
        "kernel": recipe.kernel_package(distribution) + "\n",
        "dpkg.cfg": "".join(
            ["force-unsafe-io\n", *(f"path-exclude={pattern}\n" for pattern in recipe.exclusions())]
        ),
        "apt.conf": (recipe.TREE / "etc/apt/apt.conf.d/99cloudmatrix").read_text(),
        "apt.once": _apt_once(proxy),
        "sources": source_list,
        "boot": recipe.BOOTING.read_text().replace("MODULES", " ".join(disk.GRUB_MODULES)),
    }
    scripts = {"finish": recipe.FINISH, "prepare": recipe.PREPARE, "seal": recipe.SEAL}
    return {
        **{name: text.encode() for name, text in texts.items()},
        **{name: path.read_bytes() for name, path in scripts.items()},
        "overlay.tar": recipe.overlay(),
    }


def _apt_once(proxy: str) -> str:
    """apt's settings while the image is made."""
    lines = [
        'Acquire::Retries "3";',
        'Acquire::http::Timeout "30";',
        'APT::AutoRemove::RecommendsImportant "false";',
        'APT::AutoRemove::SuggestsImportant "false";',
        'DPkg::Options { "--force-confnew"; };',
        'DPkg::Use-Pty "false";',
        'DPkg::Lock::Timeout "300";',
        *([f'Acquire::http::Proxy "{proxy}";'] if proxy else []),
    ]
    return "".join(f"{line}\n" for line in lines)


def _tar(contents: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in sorted(contents.items()):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o644
            tar.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()
