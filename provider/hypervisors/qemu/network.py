"""A stack's private networks: one switch process each, kept in `<stack>/networks/<name>/`."""

import os
import shutil
import sys
import threading
import time
from pathlib import Path

from provider.errors import UserError
from provider.hypervisors.qemu import process, switch
from provider.hypervisors.qemu.record import write

FILE, SOCKET, LOG = "network.json", "switch.sock", "switch.log"
START_DEADLINE = 20.0
_lock = threading.Lock()


class Networks:
    """`root` is the project's `.matrix` folder. Thread-safe; the switch holds nothing worth keeping."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def create(self, stack: str, name: str, cidr: str) -> None:
        folder = self._folder(stack, name)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write(folder / FILE, {"name": name, "stack": stack, "cidr": cidr})
        self.ensure(stack, name)

    def exists(self, stack: str, name: str) -> bool:
        return (self._folder(stack, name) / FILE).exists()

    def ensure(self, stack: str, name: str) -> None:
        """Start the switch unless it runs. UserError: there is no such network, or the switch fails."""
        if not self.exists(stack, name):
            raise UserError(
                f'network "{name}" of stack "{stack}" does not exist on this computer; run up --refresh'
            )
        with _lock:
            daemon, folder = self._daemon(stack, name), self._folder(stack, name)
            running = process.find(daemon)
            if running and (folder / SOCKET).exists():
                return
            process.kill(daemon)
            (folder / SOCKET).unlink(missing_ok=True)
            argv = [sys.executable, "-I", switch.__file__, *daemon.marks, "--socket", SOCKET]
            process.spawn(daemon, argv, folder / LOG)
            self._await_socket(daemon, folder)

    def delete(self, stack: str, name: str) -> None:
        """End the switch and remove all it owned. UserError: something is left."""
        folder = self._folder(stack, name)
        with _lock:
            process.kill(self._daemon(stack, name))
            if folder.exists():
                shutil.rmtree(folder)
        remove_empty(folder.parent, self._root)

    def socket(self, stack: str, name: str, base: Path) -> str:
        """The switch's socket as seen from the folder `base`: short, wherever the project is."""
        return os.path.relpath(self._folder(stack, name) / SOCKET, base)

    def _folder(self, stack: str, name: str) -> Path:
        return self._root / stack / "networks" / name

    def _daemon(self, stack: str, name: str) -> process.Daemon:
        marks = ("--id", f"cloudmatrix-{stack}-{name}")
        return process.Daemon("python", marks, self._folder(stack, name), self._root)

    def _await_socket(self, daemon: process.Daemon, folder: Path) -> None:
        end = time.monotonic() + START_DEADLINE
        while not (folder / SOCKET).exists():
            if time.monotonic() > end or process.find(daemon) is None:
                log = (folder / LOG).read_text(errors="replace")[-2000:]
                raise UserError(f"the network's switch did not start\n{log}".rstrip())
            time.sleep(process.POLL)


def remove_empty(folder: Path, root: Path) -> None:
    """Remove the folder and its parents below `root` as far as they are empty."""
    while folder != root and folder.is_relative_to(root):
        try:
            folder.rmdir()
        except FileNotFoundError:
            pass
        except OSError:
            return
        folder = folder.parent
