"""Running the user's program: in this process, or in one of its own."""

import asyncio
import contextvars
import io
import os
import re
import runpy
import sys
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pulumi
from pulumi.runtime import settings as sdk_settings

from engine.errors import EngineError, unsupported
from engine.stack_config import Config
from engine.steps import Stopped

_GATE = re.compile(r"The Pulumi CLI does not support (?:the )?(.+?)(?: option)?\. Please (?:update|upgrade)")
_ALREADY_SHOWN = 32
"""The exit code with which a program says that it has told the user why."""


class Exited(Exception):
    """The program called sys.exit."""

    def __init__(self, code: Any) -> None:
        super().__init__(code)
        self.code = code


def run(
    root: Path,
    *,
    monitor: Any,
    engine: Any,
    config: Config,
    project: str,
    stack: str,
    parallel: int,
    preview: bool,
    write: Callable[[str], None],
    restored: Callable[[], None],
) -> None:
    """Run `__main__.py` to its end, with every registration that it began.

    `write` gets what the program prints. `restored` is called once its top level has run, which may have
    changed the handlers of signals. Raises EngineError for the user, Stopped when the engine stopped it.
    """
    program = root / "__main__.py"
    if not program.exists():
        raise EngineError(f"no program: {program} does not exist")

    def top_level() -> None:
        try:
            runpy.run_path(str(program), run_name="__main__")
        except SystemExit as error:
            raise Exited(error.code) from None
        finally:
            restored()

    def inside() -> None:
        sdk_settings.ROOT.set(None)
        pulumi.runtime.set_all_config(config.values, sorted(config.secret_keys))
        pulumi.runtime.configure(
            pulumi.runtime.Settings(
                project=project,
                stack=stack,
                monitor=monitor,
                engine=engine,
                parallel=parallel,
                dry_run=preview,
                organization="organization",
                root_directory=str(root),
            )
        )
        _loop(top_level, parallel)

    with _surroundings(root, write):
        try:
            contextvars.copy_context().run(inside)
        except BaseException as error:
            raise judge(error, root) from None


def _loop(top_level: Callable[[], None], parallel: int) -> None:
    loop = asyncio.new_event_loop()
    # Each registration under way blocks one thread of this pool.
    executor = ThreadPoolExecutor(max(parallel, 1) * 4)
    loop.set_default_executor(executor)
    loop.set_exception_handler(lambda *_: None)  # a stopped program leaves futures that nobody awaits
    asyncio.set_event_loop(loop)
    try:
        loop.run_until_complete(pulumi.runtime.run_in_stack(top_level))
    finally:
        executor.shutdown(wait=True)
        asyncio.set_event_loop(None)
        loop.close()


@contextmanager
def _surroundings(root: Path, write: Callable[[str], None]) -> Iterator[None]:
    """The program's folder, arguments and import path; the modules it imports are forgotten afterwards."""
    folder, argv, path, modules = Path.cwd(), sys.argv, list(sys.path), set(sys.modules)
    os.chdir(root)
    sys.argv, sys.path[:0] = [str(root / "__main__.py")], [str(root)]
    out = Lines(write)
    try:
        with redirect_stdout(out), redirect_stderr(out):
            yield
    finally:
        out.finish()
        os.chdir(folder)
        sys.argv, sys.path[:] = argv, path
        for name in set(sys.modules) - modules:
            if _is_users(getattr(sys.modules[name], "__file__", None), root):
                del sys.modules[name]


def _is_users(file: str | None, root: Path) -> bool:
    if not file or not Path(file).is_relative_to(root):
        return False
    return "site-packages" not in file and not Path(file).is_relative_to(Path(__file__).parent)


class Lines(io.TextIOBase):
    """A text stream that hands over whole lines."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write, self._rest = write, ""

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            self._write(line)
        return len(text)

    def finish(self) -> None:
        if self._rest:
            self._write(self._rest)
            self._rest = ""


def judge(error: BaseException, root: Path) -> BaseException:
    """What a program's end means for the user."""
    if isinstance(error, Exited):
        if error.code in (None, 0):
            return EngineError("the program called sys.exit before its end; remove that call")
        if error.code == _ALREADY_SHOWN:
            return Stopped()
        return EngineError(f"the program exited with code {error.code}")
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, Stopped | EngineError):
            return cause
        cause = cause.__cause__
    if isinstance(error, pulumi.RunError):
        return EngineError(str(error))
    if gate := _GATE.search(str(error)):
        return unsupported(f"the option {gate[1].lower()}")
    if isinstance(error, KeyboardInterrupt):
        return Stopped()
    return EngineError("the program failed:\n" + _users_traceback(error, root))


def _users_traceback(error: BaseException, root: Path) -> str:
    """The traceback from the user's first frame on."""
    frames = traceback.extract_tb(error.__traceback__)
    first = next((i for i, frame in enumerate(frames) if _is_users(frame.filename, root)), 0)
    lines = traceback.format_list(frames[first:]) + traceback.format_exception_only(error)
    return "".join(lines).rstrip()
