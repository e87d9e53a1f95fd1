"""Installing Debian packages: the commands as pure functions, and the one place that runs them."""

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from cli import sources
from cli.errors import CliError

POLICY = Path("/usr/sbin/policy-rc.d")
UPDATE = ("apt-get", "update", "--quiet")
INSTALL = ("apt-get", "install", "--yes", "--quiet", "--no-install-recommends")


def install_command(names: Sequence[str]) -> list[str]:
    return [*INSTALL, "-o", "DPkg::Lock::Timeout=120", *names]


def backports_options(folder: Path) -> list[str]:
    """Options that make apt use the sources in `folder` and keep what it learns there."""
    return [
        "-o",
        f"Dir::Etc::sourceparts={folder}/sources",
        "-o",
        f"Dir::State::lists={folder}/lists",
        "-o",
        f"Dir::Cache::pkgcache={folder}/pkgcache.bin",
        "-o",
        f"Dir::Cache::srcpkgcache={folder}/srcpkgcache.bin",
    ]


def install(names: Sequence[str], log: Path) -> None:
    """Must run as root. The output goes to `log`; a failure raises CliError with its tail."""
    _run(UPDATE, log)
    _run(install_command(names), log)


def install_from_backports(names: Sequence[str], codename: str, log: Path) -> None:
    """As `install`, with the release's backports added for this one installation: the user's own sources,
    and what apt knows of them, stay as they are."""
    archive = sources.main_archive(sources.read(), codename)
    if archive is None:
        raise CliError(
            f"no apt source of this computer has {codename} main, so its backports cannot be found; "
            f"install {' and '.join(names)} 8.0 or newer by hand"
        )
    with tempfile.TemporaryDirectory(prefix="cloudmatrix-apt-") as scratch:
        folder = Path(scratch)
        folder.chmod(0o755)  # apt reads as a user of its own
        shutil.copytree(sources.APT / "sources.list.d", folder / "sources", dirs_exist_ok=True)
        (folder / "lists" / "partial").mkdir(parents=True)
        extra = folder / "sources" / "cloudmatrix-backports.sources"
        extra.write_text(sources.backports(archive, codename), encoding="utf-8")
        options = backports_options(folder)
        _run([*UPDATE, *options], log)
        _run([*install_command(names), *options, "-t", f"{codename}-backports"], log)


@contextlib.contextmanager
def no_daemons_started(units: Sequence[str]) -> Iterator[None]:
    """Packages installed meanwhile start no daemon of theirs, now or at the next boot. Debian's way to say
    so is a file, which is taken away again."""
    ours = bool(units) and not POLICY.exists()
    if ours:
        POLICY.write_text("#!/bin/sh\nexit 101\n", encoding="utf-8")
        POLICY.chmod(0o755)
    try:
        yield
    finally:
        if ours:
            POLICY.unlink()
            if Path("/run/systemd/system").is_dir():
                subprocess.run(["systemctl", "disable", "--quiet", *units], check=False, timeout=60)


def candidate(name: str) -> str:
    """The version that apt would install or has installed; empty when it knows none."""
    done = subprocess.run(
        ["apt-cache", "policy", name], capture_output=True, text=True, check=False, timeout=60
    )
    for line in done.stdout.splitlines():
        if line.strip().startswith("Candidate:"):
            version = line.partition(":")[2].strip()
            return "" if version == "(none)" else version
    return ""


def _run(argv: Sequence[str], log: Path) -> None:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
    with log.open("ab") as stream:
        done = subprocess.run(argv, env=environment, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream)
    if done.returncode:
        tail = "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-8:])
        raise CliError(f"{' '.join(argv)} failed (all of its output is in {log})\n{tail}")
