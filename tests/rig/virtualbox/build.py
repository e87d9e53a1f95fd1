"""A real VirtualBox where the computer has none: Debian sid in a folder, with VirtualBox from its packages.

`build()` makes it once and keeps it in the user's cache. In the place of VBoxHeadless stands launcher.c, so
that machines run without VirtualBox's kernel module, slowly: an interpreter executes them.
"""

import fcntl
import hashlib
import os
import platform
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import platformdirs

from provider.errors import UserError
from provider.mirrors import copied, machine_mirror

HERE = Path(__file__).parent
LOCK_FILE = HERE.parents[2] / "requirements.lock"
RELEASE = "sid"
"""The one release that has VirtualBox, in `contrib`."""
PACKAGES = (
    *("virtualbox", "vde2", "qemu-utils", "openssh-client", "procps"),
    *("python3", "python3-venv", "gcc", "libc6-dev"),
)
VENV = "/opt/venv"
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
PIP = Path("/etc/pip.conf")
HEADLESS = "/usr/lib/virtualbox/VBoxHeadless"
CACHE = platformdirs.user_cache_path("cloudmatrix") / "tests"


class Missing(Exception):
    """The rig could not be made; the text says why."""


class Unfit(Missing):
    """Nor can it ever be on this computer, as it is."""


def build() -> Path:
    """The folder to change root to, made at the first call."""
    _check()
    mirror = _mirror()
    target = CACHE / f"virtualbox-{_digest(mirror)}"
    CACHE.mkdir(parents=True, exist_ok=True)
    with _held(target, fcntl.LOCK_EX):
        if not target.exists():
            print(f"making Debian {RELEASE} with VirtualBox in {target} (once, a minute or two)", flush=True)
            _make(target.with_suffix(".part"), mirror).rename(target)
    _remove_others(target)
    return target


@contextmanager
def in_use(target: Path) -> Iterator[None]:
    """Nobody removes the folder meanwhile."""
    with _held(target, fcntl.LOCK_SH):
        yield


@contextmanager
def _held(target: Path, how: int) -> Iterator[None]:
    """The lock of one such folder; the operating system gives it back when we die."""
    with target.with_suffix(".lock").open("a") as file:
        fcntl.flock(file, how)
        yield


def _remove_others(target: Path) -> None:
    """What earlier versions of this file or of the lock file made, unless a test run uses it."""
    for other in CACHE.glob("virtualbox-*"):
        if other.suffix == ".lock" or other.stem == target.name:
            continue
        try:
            with _held(other, fcntl.LOCK_EX | fcntl.LOCK_NB):
                if other.is_dir():
                    shutil.rmtree(other)
                else:
                    other.unlink()
        except BlockingIOError:
            continue


def _check() -> None:
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        raise Unfit(f"VirtualBox runs such machines on Linux on amd64, not on {platform.platform()}")
    if os.geteuid() != 0:
        raise Unfit("only root can make a folder with another Debian in it and change root to it")
    for program in ("mmdebstrap", "unshare", "chroot"):
        if not shutil.which(program):
            raise Unfit(f"{program} is not installed")


def _mirror() -> str:
    try:
        return machine_mirror().main
    except UserError as error:
        raise Unfit(str(error)) from error


def _digest(mirror: str) -> str:
    """Of all that decides what is in the folder, but not of the day's packages."""
    parts = [HERE / "build.py", HERE / "launcher.c", LOCK_FILE]
    return hashlib.sha256(b"".join(path.read_bytes() for path in parts) + mirror.encode()).hexdigest()[:12]


def _make(root: Path, mirror: str) -> Path:
    if root.exists():  # of a build that was interrupted: we hold the lock
        shutil.rmtree(root)
    log = root.with_suffix(".log")
    with log.open("wb") as output:
        _run(_mmdebstrap(root, mirror), output.fileno(), log)
        for file in (CERTIFICATES, PIP):
            if file.exists():
                inside = root / file.relative_to("/")
                inside.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(file, inside)
        for file in (LOCK_FILE, HERE / "launcher.c"):
            shutil.copy(file, root / "opt" / file.name)
        _run(["chroot", str(root), "sh", "-euc", _SET_UP], output.fileno(), log)
    log.unlink()
    return root


def _mmdebstrap(root: Path, mirror: str) -> list[str]:
    options = (
        'APT::Install-Recommends "false"',
        # Some mirrors' copy of sid is older than it says it may be.
        'Acquire::Check-Valid-Until "false"',
    )
    return [
        *("mmdebstrap", "--mode=root", "--variant=apt", f"--include={','.join(PACKAGES)}"),
        *(f"--aptopt={option}" for option in options),
        "--dpkgopt=force-unsafe-io",
        *(f"--dpkgopt=path-exclude=/usr/share/{folder}/*" for folder in ("doc", "locale", "man")),
        *(RELEASE, str(root), f"deb {copied(mirror)} {RELEASE} main contrib"),
    ]


_SET_UP = f"""
python3 -m venv {VENV}
{VENV}/bin/python -m pip install --quiet --disable-pip-version-check --no-input \
    --require-hashes -r /opt/requirements.lock
mv {HEADLESS} {HEADLESS}.hardened
gcc -O2 -Wall -Wextra -Werror -o {HEADLESS} /opt/launcher.c -ldl
"""


def _run(argv: list[str], output: int, log: Path) -> None:
    done = subprocess.run(argv, stdout=output, stderr=output, env=_environment())
    if done.returncode:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
        raise Missing(f"{argv[0]} failed with code {done.returncode}:\n{tail}")


def _environment() -> dict[str, str]:
    """Ours, pip's settings and proxies included; programs of administrators may not be on a user's PATH."""
    return {**os.environ, "LC_ALL": "C.UTF-8", "PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"}
