"""One operation's surroundings: state, lock, plugins, signals; and one pass of the program over them."""

import os
import re
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import grpc
from pulumi.runtime._grpc_settings import _GRPC_CHANNEL_OPTIONS
from pulumi.runtime.proto import engine_pb2_grpc

from engine import program, project, stack_config, state
from engine.backend import Backend
from engine.errors import EngineError
from engine.events import Diagnostic, Display, Event
from engine.execute import Deployment
from engine.journal import Journal
from engine.monitor import EngineService, Monitor
from engine.passphrase import Sealer
from engine.providers import Loader, Providers
from engine.state import Snapshot
from engine.steps import Stopped

CLI_VERSION = "3.260.0"
"""The CLI whose checkpoints these are; a checkpoint keeps the version that it came with."""


def emitter(display: Display) -> Callable[[Event], None]:
    """Showing must never break doing: what the display raises is dropped."""

    def emit(event: Event) -> None:
        with suppress(Exception):
            display.show(event)

    return emit


class Session:
    """What every pass of one operation shares. `emit` may be exchanged between passes."""

    def __init__(self, root: Path, stack: str, parallel: int, emit: Callable[[Event], None]) -> None:
        if not re.fullmatch(r"[A-Za-z0-9_.-]{1,100}", stack):
            raise EngineError(f"stack: got {stack!r}; need letters, digits, '_', '.' and '-'; try 'dev'")
        self.project = project.load(root)
        self.stack, self.parallel, self.emit = stack, parallel, emit
        self.backend = Backend(self.project.backend, self.project.name, stack)
        self.latest = self.backend.read()
        self.deployment: Deployment | None = None
        self._interrupts = 0
        salt = stack_config.salt_of(self.project, stack)
        self._sealers: dict[str | None, Sealer] = {}
        self._salt = salt or state.salt_of(self.latest or {})
        self.snapshot()  # a state that is not ours to touch is refused before anything else
        self.config = stack_config.load(self.project, stack, self._unseal)

    def _unseal(self, text: str) -> str:
        salt = stack_config.salt_of(self.project, self.stack)
        if not salt:
            file = stack_config.file_of(self.project, self.stack).name
            raise EngineError(f"{file} has a `secure:` value but no `encryptionsalt:`; set the value again")
        return self._sealer(salt).open(text)

    def _sealer(self, salt: str | None) -> Sealer:
        if salt not in self._sealers:
            self._sealers[salt] = Sealer(salt)
        return self._sealers[salt]

    def snapshot(self) -> Snapshot:
        """The state as it is on disk, decoded anew each time: a pass changes what it gets."""
        return state.decode(self.latest or {})

    def write(self, snapshot: Snapshot) -> None:
        state.verify(snapshot.resources)
        version = ((self.latest or {}).get("manifest") or {}).get("version") or CLI_VERSION
        self.latest = state.encode(snapshot, self._sealer(self._salt), version)
        self.backend.write(self.latest)

    @contextmanager
    def locked(self) -> Iterator[None]:
        with self.backend.locked(lambda text: self.emit(Diagnostic("warning", text))):
            self.latest = self.backend.read()
            self.backend.keep_backup()
            yield

    @contextmanager
    def plugins(self) -> Iterator[None]:
        """The engine's own server, the loader of plugins and the handlers of ^C."""
        server = grpc.server(ThreadPoolExecutor(self.parallel * 4 + 16), options=_GRPC_CHANNEL_OPTIONS)
        self.service = EngineService(lambda event: self.emit(event))
        engine_pb2_grpc.add_EngineServicer_to_server(self.service, server)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        self.address = f"127.0.0.1:{port}"
        hidden = {"PULUMI_CONFIG_PASSPHRASE", "PULUMI_CONFIG_PASSPHRASE_FILE"}
        environment = {key: value for key, value in os.environ.items() if key not in hidden}
        environment["PULUMI_PROJECT"] = self.project.name
        self.loader = Loader(self.project.root, self.project.plugins, self.address, environment)
        self.loader.start_early()
        previous = self._catch_signals()
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)
            self.loader.close()
            server.stop(None)

    def _catch_signals(self) -> dict[int, Any]:
        """Handlers can only be set in the main thread; elsewhere there is nothing to restore."""
        if threading.current_thread() is not threading.main_thread():
            return {}
        return {number: signal.signal(number, self._on_signal) for number in (signal.SIGINT, signal.SIGTERM)}

    def _recatch(self) -> None:
        """A program may set handlers of its own, which are right under the CLI and wrong in this process."""
        self._catch_signals()

    def _on_signal(self, *_: Any) -> None:
        self._interrupts += 1
        if self._interrupts > 1:
            if os.isatty(2):
                os.write(2, b"\x1b[?25h\n")
            os._exit(130)
        # Not in the handler itself: it may interrupt a thread that holds the display's lock.
        threading.Thread(target=self._interrupt, daemon=True).start()

    def _interrupt(self) -> None:
        if self.deployment:
            self.deployment.cancel()
        text = "interrupted: finishing what is under way and saving; press ^C again to give up at once"
        self.emit(Diagnostic("warning", text))
        self.loader.cancel()

    def deploy(self, snapshot: Snapshot, *, preview: bool) -> tuple[Deployment, Journal]:
        journal = Journal(snapshot, (lambda _: None) if preview else self.write)
        deployment = Deployment(
            stack=self.stack,
            project=self.project.name,
            states=snapshot.resources,
            journal=journal,
            providers=Providers(self.loader),
            emit=lambda event: self.emit(event),
            parallel=self.parallel,
            preview=preview,
        )
        if self._interrupts:
            deployment.cancel()
        self.deployment = deployment
        return deployment, journal

    def run_program(self, *, preview: bool) -> tuple[Deployment, Journal]:
        """One pass: run the program, delete what it left over, set the stack's outputs."""
        snapshot = self.snapshot()
        deployment, journal = self.deploy(snapshot, preview=preview)
        monitor = Monitor(deployment, self.config, self.parallel)
        try:
            self._run(monitor, preview)
            if not deployment.verdict.failed:
                deployment.delete_leftovers()
        except EngineError as error:
            deployment.steps.fail("", str(error))
        except Stopped:
            deployment.verdict.failed = True
        if monitor.stack_outputs and deployment.knows(monitor.stack_outputs[0]):
            deployment.set_outputs(*monitor.stack_outputs)
        if not preview and not deployment.verdict.failed:
            journal.finish()
        return deployment, journal

    def _run(self, monitor: Monitor, preview: bool) -> None:
        program.run(
            self.project.root,
            monitor=monitor,
            engine=self.service,
            config=self.config,
            project=self.project.name,
            stack=self.stack,
            parallel=self.parallel,
            preview=preview,
            write=lambda line: self.emit(Diagnostic("info", line)),
            restored=self._recatch,
        )
