"""Waiting for VirtualBox and locking its machines: bounded, and never leaving a lock behind."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Literal, TypeVar

from provider.errors import UserError
from provider.hypervisors.virtualbox.library import (
    INVALID_OBJECT_STATE,
    Machine,
    Progress,
    Session,
    VirtualBox,
    VirtualBoxError,
)

Value = TypeVar("Value")

SLICE_MS = 500
PROGRESS_DEADLINE = 600.0
LOCK_DEADLINE = 30.0
UNLOCK_DEADLINE = 30.0
POLL = 0.1


def finish(progress: Progress, deadline: float = PROGRESS_DEADLINE) -> None:
    """Wait until it is completed, and read its result. VirtualBoxError: it failed, or took too long."""
    end = time.monotonic() + deadline
    while not progress.completed:
        if time.monotonic() > end:
            with suppress(VirtualBoxError):
                progress.cancel()
            raise VirtualBoxError(0, f"not done after {deadline:.0f} s")
        progress.wait_for_completion(SLICE_MS)
    if code := progress.result_code:
        raise VirtualBoxError(code, progress.error_text())


def retried(call: Callable[[], Value], deadline: float = LOCK_DEADLINE) -> Value:
    """The call's value; tried again only while the object is in a passing state (0x80BB0007)."""
    end = time.monotonic() + deadline
    while True:
        try:
            return call()
        except VirtualBoxError as error:
            if error.code != INVALID_OBJECT_STATE or time.monotonic() > end:
                raise
        time.sleep(POLL)


@contextmanager
def locked(
    machine: Machine, kind: Literal["Shared", "Write"], deadline: float = LOCK_DEADLINE
) -> Iterator[Session]:
    """A session with the machine locked, given back in any case.

    A shared lock is a write lock where nobody else has one: look at the session's type. UserError: another
    program holds the lock.
    """
    session = VirtualBox.session()
    try:
        retried(lambda: machine.lock_machine(session, kind), deadline)
    except VirtualBoxError as error:
        if error.code != INVALID_OBJECT_STATE:
            raise
        raise UserError(
            f'VM "{machine.name}" is locked by another program: {holder(machine)}\n'
            "close its window or settings in VirtualBox and run up again"
        ) from error
    try:
        yield session
    finally:
        release(machine, session)


def release(machine: Machine, session: Session) -> None:
    with suppress(VirtualBoxError):
        session.unlock_machine()
    end = time.monotonic() + UNLOCK_DEADLINE
    # The next lock would meet the end of this one.
    with suppress(VirtualBoxError):
        while machine.session_state == "Unlocking" and time.monotonic() < end:
            time.sleep(POLL)


def holder(machine: Machine) -> str:
    with suppress(VirtualBoxError):
        name, pid = machine.session_name, machine.session_pid
        if pid not in (0, 0xFFFFFFFF):
            return f"{name or 'a session'}, pid {pid}"
    return "it does not say which"


def await_unlocked(machine: Machine, deadline: float = UNLOCK_DEADLINE) -> bool:
    """Whether its VM process has let go: only then may the machine be changed or removed."""
    end = time.monotonic() + deadline
    while machine.session_state != "Unlocked":
        if time.monotonic() > end:
            return False
        time.sleep(POLL)
    return True
