"""A machine made of namespaces: own network, processes and a private copy of /etc, /run and /var.

Files go to the very paths they have on a real machine and daemons start with the very command of their
unit, without touching this computer. All that runs in a jail dies with it, and it dies with the test run.
"""

import functools
import re
import shlex
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from services.files import File

Process = subprocess.Popen[bytes]

_ENTER = """
set -e
mount -t tmpfs tmpfs /mnt
for folder in /etc /root /var/lib /var/log; do
    mkdir -p /mnt$folder/upper /mnt$folder/work
    mount -t overlay overlay -o lowerdir=$folder,upperdir=/mnt$folder/upper,workdir=/mnt$folder/work $folder
done
mount -t tmpfs -o mode=755 tmpfs /run
ip link set lo up
echo ready
exec sleep 3600
"""


class Jail:
    """One such machine. Use as a context."""

    def __init__(self, name: str) -> None:
        self.name = name
        namespaces = ["--net", "--mount", "--uts", "--pid", "--fork", "--kill-child=KILL", "--mount-proc"]
        self._keeper = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "unshare", *namespaces, "sh", "-c", _ENTER],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self._keeper.stdout is not None and self._keeper.stderr is not None
        if self._keeper.stdout.readline() != "ready\n":
            raise RuntimeError(f"no namespaces: {self._keeper.stderr.read().strip()}")
        children = Path(f"/proc/{self._keeper.pid}/task/{self._keeper.pid}/children").read_text()
        self.pid = int(children.split()[0])

    def __enter__(self) -> "Jail":
        return self

    def __exit__(self, *_: object) -> None:
        self._keeper.kill()
        self._keeper.wait()
        for pipe in (self._keeper.stdout, self._keeper.stderr):
            if pipe:
                pipe.close()

    def argv(self, command: Sequence[str]) -> list[str]:
        return ["nsenter", "--target", str(self.pid), "--all", *command]

    def run(
        self, *command: str, check: bool = True, stdin: str = "", timeout: float = 20, user: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Run a program in the jail. Raises AssertionError with its output when `check` fails."""
        argv = self.argv([*_as(user), *command])
        done = subprocess.run(argv, input=stdin, capture_output=True, text=True, timeout=timeout)
        assert not check or done.returncode == 0, f"{shlex.join(command)}: {done.stdout}{done.stderr}"
        return done

    def shell(self, script: str, **options: Any) -> subprocess.CompletedProcess[str]:
        return self.run("sh", "-c", script, **options)

    @contextmanager
    def running(self, *command: str, user: str = "", log: Path | None = None) -> Iterator[Process]:
        """A program that runs while the context is open."""
        process = self.spawn(*command, user=user, log=log)
        try:
            yield process
        finally:
            process.terminate()
            process.wait(10)

    def spawn(self, *command: str, user: str = "", log: Path | None = None) -> Process:
        """Start a program that ends, at the latest, with the jail."""
        out = log.open("ab") if log else subprocess.DEVNULL
        try:
            # A signal to the process that entered the jail has to reach the one inside.
            inside = [*_as(user), "setpriv", "--pdeathsig", "TERM", *command]
            return subprocess.Popen(self.argv(inside), stdout=out, stderr=subprocess.STDOUT)
        finally:
            if log:
                out.close()  # type: ignore[union-attr]

    def write(self, files: Sequence[File]) -> None:
        for file in files:
            path = shlex.quote(file.path)
            script = f"mkdir -p $(dirname {path}) && cat >{path} && chmod {file.mode} {path}"
            self.shell(f"{script} && chown {file.owner} {path}", stdin=file.content)

    def start(self, files: Sequence[File], log: Path) -> AbstractContextManager[Process]:
        """Write the files and run the command of the unit among them, as the unit's user."""
        self.write(files)
        unit = next(file.content for file in files if file.path.endswith(".service"))
        settings = dict(re.findall(r"^(ExecStart|User)=(.*)$", unit, re.MULTILINE))
        user = settings.get("User", "")
        return self.running(*shlex.split(settings["ExecStart"]), user=user, log=log)


def connect(left: Jail, left_card: str, right: Jail, right_card: str, mac: str = "") -> None:
    """A cable between two jails; `mac` is the left card's."""
    address = ["address", mac] if mac else []
    left_end = ["name", left_card, *address, "netns", str(left.pid)]
    right_end = ["name", right_card, "netns", str(right.pid)]
    argv = ["ip", "link", "add", *left_end, "type", "veth", "peer", *right_end]
    subprocess.run(argv, check=True, capture_output=True)
    left.run("ip", "link", "set", left_card, "up")
    right.run("ip", "link", "set", right_card, "up")


def until(condition: Callable[[], bool], what: str, seconds: float = 15) -> None:
    """Wait for a condition. Raises TimeoutError naming `what`."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"{what}: not within {seconds:g} s")
        time.sleep(0.05)


@functools.cache
def missing(*programs: str) -> str | None:
    """Why jails or programs cannot run here; None when they can."""
    absent = [name for name in programs if not _which(name)]
    if absent:
        return f"needs {', '.join(absent)}"
    try:
        with Jail("probe"):
            return None
    except (OSError, RuntimeError) as error:
        return str(error)


def _as(user: str) -> list[str]:
    return ["setpriv", f"--reuid={user}", "--clear-groups"] if user else []


def _which(name: str) -> bool:
    return any(Path(folder, name).exists() for folder in ("/usr/sbin", "/usr/bin", "/sbin", "/bin"))
