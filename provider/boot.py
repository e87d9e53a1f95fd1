"""Waiting for a machine in named stages, each with its deadline, and saying why it did not come up."""

import hashlib
import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from provider import ssh
from provider.errors import Cancelled, UserError
from provider.hypervisors.base import Hypervisor, PowerState

PANIC = "Kernel panic"
RESULT = "/run/cloud-init/result.json"
# One command waits ten seconds by itself: a new one each half second would slow down an emulated guest.
AWAIT_RESULT = f"i=0; while [ ! -s {RESULT} ] && [ $i -lt 20 ]; do i=$((i+1)); sleep 0.5; done; cat {RESULT}"
TAIL_LINES = 25
RESTARTS = 2
"""How often a machine is started again whose hypervisor broke down. QEMU 10.0.2 did so once in 159 emulated
starts on a busy computer, by an assertion in iotlb_to_section while the guest's kernel set up its devices."""


@dataclass(frozen=True)
class Patience:
    """Seconds. `silence` is how long SSH may be away while the serial console says nothing new; it grows by
    `silence_each` for every machine of the stack, as they share the computer."""

    ssh: float = 900.0
    cloud_init: float = 600.0
    silence: float = 240.0
    silence_each: float = 60.0
    pause: float = 1.0


class NotUp(UserError):
    """The machine did not come up. The text names the stage and the cause."""


class FirstBootFailed(NotUp):
    """cloud-init has ended and failed: another wait cannot help, only another first boot."""


@dataclass
class Failures:
    """Hosts that did not come up in this run, so that nobody waits for a way through them."""

    _reasons: dict[tuple[str, int], str] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, connection: Mapping[str, Any], name: str) -> None:
        with self._lock:
            self._reasons[_address(connection)] = name

    def clear(self, connection: Mapping[str, Any]) -> None:
        with self._lock:
            self._reasons.pop(_address(connection), None)

    def on_the_way(self, connection: Mapping[str, Any]) -> str | None:
        """The failed host that this connection leads through, if there is one."""
        proxy = connection.get("proxy")
        if not proxy:
            return None
        with self._lock:
            failed = self._reasons.get(_address(proxy))
        return failed or self.on_the_way(proxy)


FAILURES = Failures()


@dataclass(frozen=True)
class Boot:
    """One machine that is coming up."""

    hypervisor: Hypervisor
    uuid: str
    name: str
    stack: str
    connection: Mapping[str, Any]
    cancelled: threading.Event
    patience: Patience = Patience()
    failures: Failures = field(default_factory=lambda: FAILURES)
    connect: Callable[[Mapping[str, Any]], ssh.Host] = field(default_factory=lambda: ssh.connect)
    progress: Callable[[str], None] = lambda _: None

    def await_ssh(self) -> None:
        """Until SSH lets us in. NotUp: it cannot any more; WrongHostKey at once; Cancelled."""
        end = time.monotonic() + self.patience.ssh
        watch = _Watch(self)
        while True:
            self._check_cancelled("waiting for SSH")
            try:
                self.connect(self.connection).run("true", timeout=60)
                return
            except ssh.WrongHostKey:
                raise
            except (ssh.Unreachable, ssh.AuthenticationFailed, ssh.CommandFailed) as error:
                last = str(error)
            self._check_alive(watch, last)
            if time.monotonic() > end:
                raise NotUp(f"no SSH after {self.patience.ssh:.0f} s: {last}")
            self.cancelled.wait(self.patience.pause)

    def await_cloud_init(self) -> None:
        """Until cloud-init has ended well. FirstBootFailed; NotUp: it takes too long; Cancelled."""
        end = time.monotonic() + self.patience.cloud_init
        last = "it has not ended"
        while time.monotonic() < end:
            self._check_cancelled("cloud-init")
            try:
                done = self.connect(self.connection).sudo(AWAIT_RESULT, timeout=60, check=False)
            except (ssh.Unreachable, ssh.CommandFailed) as error:
                last = str(error)
                self.cancelled.wait(self.patience.pause)
                continue
            if done.code == 0:
                _judge(done.stdout)
                return
        raise NotUp(f"cloud-init not ready after {self.patience.cloud_init:.0f} s: {last}")

    def explain(self, stage: str, error: UserError) -> str:
        """One block for the user: the stage, the cause, the last lines of the serial console."""
        tail = self.hypervisor.console_tail(self.uuid, TAIL_LINES)
        console = "\n".join(f"  | {line}" for line in tail) or "  | (nothing)"
        return f'VM "{self.name}" stopped at: {stage}\n{error}\nserial console:\n{console}'

    def _check_cancelled(self, stage: str) -> None:
        if self.cancelled.is_set():
            raise Cancelled(f"interrupted at: {stage}; the next run goes on")

    def _check_alive(self, watch: "_Watch", last: str) -> None:
        broken = self.failures.on_the_way(self.connection)
        if broken:
            raise NotUp(f'the way leads through "{broken}", which did not come up')
        status = self.hypervisor.status(self.uuid)
        if status.state is not PowerState.RUNNING:
            reason = status.reason.splitlines()
            if not status.crashed or watch.restarts == RESTARTS:
                raise NotUp("\n".join(["the machine stopped by itself", *reason]))
            watch.restarts += 1
            self.progress(f"starting again, its hypervisor broke down: {reason[0]}")
            self.hypervisor.start(self.uuid)
        watch.check(last)


class _Watch:
    """Of one wait: notices a kernel panic and a console that has gone silent, and counts restarts."""

    def __init__(self, boot: Boot) -> None:
        self._boot = boot
        self.restarts = 0
        self._seen = ""
        self._since = time.monotonic()

    def check(self, last: str) -> None:
        boot = self._boot
        tail = boot.hypervisor.console_tail(boot.uuid, TAIL_LINES)
        if any(PANIC in line for line in tail):
            raise NotUp("the guest's kernel panicked")
        digest = hashlib.sha256("\n".join(tail).encode()).hexdigest()
        if digest != self._seen:
            self._seen, self._since = digest, time.monotonic()
        machines = len(boot.hypervisor.list(boot.stack))
        limit = boot.patience.silence + boot.patience.silence_each * machines
        if time.monotonic() - self._since > limit:
            raise NotUp(f"the serial console has said nothing new for {limit:.0f} s; SSH says: {last}")


def _judge(result: str) -> None:
    try:
        errors = json.loads(result)["v1"]["errors"]
    except (ValueError, KeyError, TypeError):
        raise FirstBootFailed(f"cloud-init's result cannot be read: {result[:200]}") from None
    if errors:
        raise FirstBootFailed("cloud-init failed: " + "; ".join(str(error) for error in errors))


def _address(connection: Mapping[str, Any]) -> tuple[str, int]:
    return str(connection["host"]), int(connection["port"])
