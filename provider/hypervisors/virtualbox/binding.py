"""VirtualBox's own Python binding (vboxapi): where it is, how it is loaded, on which threads it runs.

Nothing here needs VirtualBox until `api()` is called. COM, and XPCOM in its place on Linux and macOS, wants
every thread attached; XPCOM aborts the process when a thread attaches a second time. So all calls run on
worker threads of this module, each attached once and for good: `run` hands a function to one of them.
"""

import atexit
import functools
import importlib.util
import io
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, TypeVar

Result = TypeVar("Result")

CONNECT_DEADLINE = 20.0
WORKERS = 64
"""More than a cloud has machines: a worker waits while its machine stops, and must not hold up the others."""

_worker = threading.local()
_guard = threading.Lock()


class NotInstalled(Exception):
    """VirtualBox, or its Python binding, is not there or cannot be loaded: "what is wrong; what to do"."""


class Api:
    """The loaded binding. `manager` is vboxapi's VirtualBoxManager: untyped, for library.py alone."""

    def __init__(self, manager: Any) -> None:
        self.manager = manager
        self.errors: type[BaseException] = manager.oXcptClass
        self._names: dict[str, dict[int, str]] = {}

    def number(self, enum: str, name: str) -> int:
        """An enum's value in the VirtualBox that is installed: MachineState, Running -> 6 (5 in 6.1)."""
        return int(getattr(self.manager.constants, f"{enum}_{name}"))

    def name(self, enum: str, value: int) -> str:
        """The name of an enum's value. Pseudo-values (FirstOnline) give way to real ones."""
        if enum not in self._names:
            values = self.manager.constants.all_values(enum)
            spans = {key: number for key, number in values.items() if key.startswith(("First", "Last"))}
            real = {number: key for key, number in values.items() if key not in spans}
            self._names[enum] = real
        return self._names[enum].get(int(value), str(value))


def run(function: Callable[[], Result]) -> Result:
    """What `function` returns or raises, run on an attached thread. NotInstalled: there is no VirtualBox."""
    if getattr(_worker, "attached", False):
        return function()
    api()
    return _pool().submit(function).result()


@functools.cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(WORKERS, thread_name_prefix="virtualbox", initializer=_attach)


def _attach() -> None:
    api().manager.initPerThread()
    _worker.attached = True


_loaded: list[Api] = []


def api() -> Api:
    """The binding, loaded once, on a thread that lives as long as the process."""
    with _guard:
        if not _loaded:
            _loaded.append(_load_on_own_thread())
        return _loaded[0]


def _load_on_own_thread() -> Api:
    """COM belongs to the thread that brought it up, so that one must never end."""
    result: list[Api | BaseException] = []
    ready = threading.Event()

    def keep() -> None:
        try:
            result.append(_load())
        except BaseException as error:
            result.append(error)
        ready.set()
        if isinstance(result[0], Api):
            threading.Event().wait()

    threading.Thread(target=keep, name="virtualbox-main", daemon=True).start()
    ready.wait()
    if isinstance(result[0], BaseException):
        raise result[0]
    return result[0]


def _load() -> Api:
    program = program_folder()
    if program is None:
        raise NotInstalled("VirtualBox is not installed; install it, or set hypervisor: qemu")
    os.environ.setdefault("VBOX_PROGRAM_PATH", str(program))
    os.environ.setdefault("VBOX_SDK_PATH", str(program / "sdk"))
    try:
        # It prints its troubles, also passing ones, and the plugin's standard output belongs to the engine.
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            manager = _import().VirtualBoxManager(None, None)
        _await_service(manager)
    except ImportError as error:
        raise NotInstalled(
            f"VirtualBox's Python binding cannot be loaded ({error}); {_binding_hint()}"
        ) from error
    except Exception as error:
        raise NotInstalled(
            f"VirtualBox's service VBoxSVC does not answer ({error}); "
            "end every VirtualBox program and try again, or set hypervisor: qemu"
        ) from error
    # At the interpreter's end vboxapi would still import modules, and complain.
    atexit.register(setattr, manager, "platform", None)
    return Api(manager)


def _await_service(manager: Any) -> None:
    """VBoxSVC ends a few seconds after its last client; one that is just ending refuses us."""
    end = time.monotonic() + CONNECT_DEADLINE
    while True:
        try:
            if manager.getVirtualBox() is not None:
                return
        except manager.oXcptClass:
            if time.monotonic() > end:
                raise
        if time.monotonic() > end:
            raise TimeoutError("no answer")
        time.sleep(0.5)


def _import() -> Any:
    """vboxapi, from our own environment or from where VirtualBox put it.

    Only this package is taken from there: its neighbours are not meant for our environment.
    """
    for folder in (None, *binding_folders()):
        if folder is None:
            spec = importlib.util.find_spec("vboxapi")
        elif (file := folder / "vboxapi" / "__init__.py").exists():
            spec = importlib.util.spec_from_file_location(
                "vboxapi", file, submodule_search_locations=[str(file.parent)]
            )
        else:
            continue
        if spec is None or spec.loader is None:
            continue
        module = importlib.util.module_from_spec(spec)
        sys.modules["vboxapi"] = module
        spec.loader.exec_module(module)
        return module
    raise ImportError("no vboxapi found")


def program_folder() -> Path | None:
    """Where VirtualBox's programs are; None when it is not installed."""
    return next((folder for folder in _program_folders() if _has_programs(folder)), None)


def _program_folders() -> Iterator[Path]:
    # VBOX_MSI_INSTALL_PATH is what the installer for Windows sets.
    for variable in ("VBOX_PROGRAM_PATH", "VBOX_MSI_INSTALL_PATH", "VBOX_INSTALL_PATH"):
        if value := os.environ.get(variable):
            yield Path(value)
    if sys.platform == "win32":
        yield Path(os.environ.get("PROGRAMFILES", "C:\\Program Files")) / "Oracle" / "VirtualBox"
    elif sys.platform == "darwin":
        yield Path("/Applications/VirtualBox.app/Contents/MacOS")
    else:
        # The packages of Debian and of Oracle, of other distributions, Oracle's .run installer.
        yield from map(Path, ("/usr/lib/virtualbox", "/usr/lib64/virtualbox", "/opt/VirtualBox"))


def _has_programs(folder: Path) -> bool:
    return any((folder / name).exists() for name in ("VBoxSVC", "VBoxSVC.exe"))


def binding_folders() -> Iterator[Path]:
    """Folders that may hold vboxapi: of the system's Python, then of VirtualBox's own SDK."""
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    if sys.platform not in ("win32", "darwin"):
        for prefix in ("/usr/lib", "/usr/local/lib", "/usr/lib64"):
            for python in ("python3", version):
                yield from (Path(prefix, python, kind) for kind in ("dist-packages", "site-packages"))
    sdk = Path(os.environ.get("VBOX_SDK_PATH", ""))
    for name in ("installer", "install"):
        # Up to 7.0 beside its setup script, since 7.1 in a source tree of its own.
        for part in ((), ("python",), ("python", "vboxapi", "src")):
            yield sdk.joinpath(name, *part)


def _binding_hint() -> str:
    if sys.platform == "win32":
        return "install pywin32 in this Python, and VirtualBox with its Python support"
    return "install VirtualBox's Python support"
