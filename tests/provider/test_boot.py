"""Waiting for a machine: each way in which it does not come up, told with its stage and its console."""

import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from provider import ssh
from provider.boot import RESTARTS, Boot, Failures, NotUp, Patience
from provider.errors import Cancelled
from provider.hypervisors.base import PowerState, Status

MANAGER = {"host": "127.0.0.1", "port": 2222}
NODE = {"host": "10.10.10.2", "port": 22, "proxy": MANAGER}
IMPATIENT = Patience(ssh=0.2, cloud_init=0.2, silence=0.0, silence_each=60.0, pause=0.01)


@dataclass
class Guest:
    """The hypervisor and SSH as the wait sees them: `answers` are what each connection meets in turn."""

    answers: list[Exception | ssh.Result] = field(default_factory=list)
    console: Sequence[str] = ()
    state: PowerState = PowerState.RUNNING
    reason: str = ""
    starts: int = 0
    heals_at: int = 0

    def connect(self, connection: object) -> Any:
        return self

    def run(self, command: str, **options: object) -> ssh.Result:
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    sudo = run

    def status(self, uuid: str) -> Status:
        return Status(self.state, reason=self.reason, crashed="(Aborted)" in self.reason)

    def start(self, uuid: str) -> None:
        self.starts += 1
        if self.starts == self.heals_at:
            self.state = PowerState.RUNNING

    def console_tail(self, uuid: str, lines: int) -> Sequence[str]:
        return self.console

    def list(self, stack: str) -> Sequence[str]:
        return ["uuid"]


REFUSED = ssh.Unreachable("SSH to 127.0.0.1:2222: Connection refused")
NO_USER_YET = ssh.AuthenticationFailed("SSH to 127.0.0.1:2222: the key is refused for user matrix")
FINE = ssh.Result(0, "", "")


def boot(guest: Guest, **changes: Any) -> Boot:
    given = {"connection": MANAGER, "patience": IMPATIENT, "failures": Failures(), **changes}
    return Boot(
        guest,  # type: ignore[arg-type]
        uuid="uuid",
        name="manager",
        stack="dev",
        cancelled=threading.Event(),
        connect=guest.connect,
        **given,
    )


def test_ssh_is_tried_until_it_lets_us_in() -> None:
    guest = Guest([REFUSED, NO_USER_YET, FINE])
    boot(guest, patience=Patience(pause=0.01)).await_ssh()
    assert guest.answers == [FINE]


@pytest.mark.parametrize(
    ("guest", "patience", "reason"),
    [
        (Guest([REFUSED]), IMPATIENT, "no SSH after 0 s: SSH to 127.0.0.1:2222: Connection refused"),
        (Guest([REFUSED], state=PowerState.OFF), IMPATIENT, "the machine stopped by itself"),
        (
            Guest([REFUSED], state=PowerState.OFF, reason="QEMU says: io-error"),
            IMPATIENT,
            "the machine stopped by itself\nQEMU says: io-error",
        ),
        (
            Guest([REFUSED], console=["[ 2.1] Kernel panic - not syncing: VFS"]),
            IMPATIENT,
            "the guest's kernel panicked",
        ),
        (
            Guest([REFUSED]),
            Patience(silence=0.0, silence_each=0.0, pause=0.01),
            "the serial console has said nothing new for 0 s; SSH says: "
            "SSH to 127.0.0.1:2222: Connection refused",
        ),
    ],
)
def test_why_there_is_no_ssh(guest: Guest, patience: Patience, reason: str) -> None:
    with pytest.raises(NotUp) as error:
        boot(guest, patience=patience).await_ssh()
    assert str(error.value) == reason


BROKEN = "qemu: iotlb_to_section: Assertion failed\nended by signal 6 (Aborted)"


def test_a_machine_whose_hypervisor_broke_down_is_started_again() -> None:
    guest = Guest([REFUSED, REFUSED, REFUSED, FINE], state=PowerState.OFF, reason=BROKEN, heals_at=2)
    said: list[str] = []
    boot(guest, patience=Patience(pause=0.01), progress=said.append).await_ssh()
    line = "starting again, its hypervisor broke down: qemu: iotlb_to_section: Assertion failed"
    assert (said, guest.starts) == ([line, line], 2)


def test_one_that_breaks_down_again_and_again_is_given_up() -> None:
    guest = Guest([REFUSED], state=PowerState.OFF, reason=BROKEN)
    with pytest.raises(NotUp) as error:
        boot(guest, patience=Patience(pause=0.01)).await_ssh()
    assert str(error.value) == f"the machine stopped by itself\n{BROKEN}"
    assert guest.starts == RESTARTS


def test_a_wrong_host_key_ends_the_wait_at_once() -> None:
    with pytest.raises(ssh.WrongHostKey):
        boot(Guest([ssh.WrongHostKey("not the one"), FINE])).await_ssh()


def test_an_interrupt_ends_the_wait_at_once() -> None:
    waiting = boot(Guest([REFUSED]))
    waiting.cancelled.set()
    with pytest.raises(Cancelled, match=r"^interrupted at: waiting for SSH; the next run goes on$"):
        waiting.await_ssh()


def test_nobody_waits_for_a_way_through_a_machine_that_failed() -> None:
    failures = Failures()
    failures.add(MANAGER, "manager")
    with pytest.raises(NotUp, match=r'^the way leads through "manager", which did not come up$'):
        boot(Guest([REFUSED]), connection=NODE, failures=failures).await_ssh()
    failures.clear(MANAGER)
    assert failures.on_the_way(NODE) is None
    assert failures.on_the_way(MANAGER) is None


def result(*errors: str) -> ssh.Result:
    return ssh.Result(0, json.dumps({"v1": {"datasource": "NoCloud", "errors": list(errors)}}), "")


def test_cloud_init_is_awaited_over_lost_connections() -> None:
    patience = Patience(pause=0.01)
    boot(Guest([REFUSED, ssh.Result(1, "", "no such file"), result()]), patience=patience).await_cloud_init()


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (result("no such user", "bad key"), "cloud-init failed: no such user; bad key"),
        (ssh.Result(0, "{", ""), "cloud-init's result cannot be read: {"),
        (ssh.Result(1, "", ""), "cloud-init not ready after 0 s: it has not ended"),
    ],
)
def test_why_cloud_init_did_not_end_well(answer: ssh.Result, reason: str) -> None:
    with pytest.raises(NotUp) as error:
        boot(Guest([answer])).await_cloud_init()
    assert str(error.value) == reason


@pytest.mark.parametrize(
    ("console", "shown"),
    [([], "  | (nothing)"), (["booting", "login:"], "  | booting\n  | login:")],
)
def test_a_failure_is_told_with_the_console(console: list[str], shown: str) -> None:
    text = boot(Guest(console=console)).explain("waiting for SSH", NotUp("no SSH after 900 s"))
    assert text == f'VM "manager" stopped at: waiting for SSH\nno SSH after 900 s\nserial console:\n{shown}'
