"""Run pytest in the rig: python -m tests.rig.virtualbox [ARGUMENTS OF PYTEST]

Everything is mounted in a mount namespace and started in a process namespace of its own: with the run's end
nothing is mounted any more and nothing runs.
"""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.rig.tinyguest import build as tinyguest
from tests.rig.tinyguest.programs import Missing as NoGuest
from tests.rig.virtualbox.build import VENV, Missing, Unfit, build, in_use

PROJECT = Path(__file__).parents[3]
UNFIT = 77
"""Exit code where there can be no rig; the command line in cli/ knows it too."""
HOME = "/root"
SWITCH = "/run/cloudmatrix-switch"
ENVIRONMENT = {
    "HOME": HOME,
    "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
    "LC_ALL": "C.UTF-8",
    "TERM": "dumb",
    "PYTHONDONTWRITEBYTECODE": "1",
    # A service of its own, which does not meet a user's.
    "VBOX_USER_HOME": f"{HOME}/virtualbox",
    "VBOX_IPC_SOCKETID": "cloudmatrix-tests",
    "CLOUDMATRIX_VIRTUALBOX_DRIVERLESS": "1",
    "CLOUDMATRIX_VIRTUALBOX_NETWORK": f"vde:{SWITCH}",
}
# $1 is the folder, $2 the project, $3 a folder for temporary files, $4 the tiny guest's.
MOUNT = """
mount -t proc proc "$1/proc"
mount --rbind /sys "$1/sys"
mount --rbind /dev "$1/dev"
mount -t tmpfs home "$1/root"
mount -t tmpfs run "$1/run"
mount --bind "$3" "$1/tmp"
mkdir -p "$1$2" "$1/root/.cache/cloudmatrix/tests/$(basename "$4")"
mount --bind "$2" "$1$2"
mount --bind "$1/opt/venv" "$1$2/.venv"
mount --bind "$4" "$1/root/.cache/cloudmatrix/tests/$(basename "$4")"
"""
START = f"""
cd "$1"
shift
vde_switch --sock {SWITCH} --daemon
exec "$@"
"""


def argv(root: Path, temporary: Path, guest: Path, words: Sequence[str]) -> list[str]:
    """The command that runs `words` in the rig, in the project's folder."""
    enter = ["chroot", str(root), "env", "-i", *(f"{key}={value}" for key, value in ENVIRONMENT.items())]
    inside = [*enter, "sh", "-euc", START, "sh", str(PROJECT), *words]
    script = f'{MOUNT}shift 4\nexec "$@"'
    mounts = [str(root), str(PROJECT), str(temporary), str(guest)]
    namespaces = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--propagation", "private"]
    return [*namespaces, "sh", "-euc", script, "sh", *mounts, *inside]


def main(arguments: Sequence[str]) -> int:
    try:
        root, guest = build(), tinyguest.build()
    except Unfit as error:
        print(f"skipped: no VirtualBox to test on: {error}")
        return UNFIT
    except (Missing, NoGuest) as error:
        print(f"failed: no VirtualBox to test on: {error}")
        return 1
    # What ends us ends all that runs in there: unshare itself is deaf to this signal.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    pytest = [f"{VENV}/bin/python", "-m", "pytest", "-p", "no:cacheprovider"]
    with in_use(root), tempfile.TemporaryDirectory(prefix="cloudmatrix-virtualbox-") as temporary:
        command = argv(root, Path(temporary), guest, [*pytest, *(arguments or ["tests/virtualbox"])])
        path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
        return subprocess.run(command, env={**os.environ, "PATH": path}).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
