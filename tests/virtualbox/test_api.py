"""The binding and its typed wrapper, against the VirtualBox that is installed."""

import gc
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from provider.errors import UserError
from provider.hypervisors.virtualbox import binding, identity, library, session
from provider.hypervisors.virtualbox.library import NOT_FOUND, VirtualBoxError
from tests.rig.virtualbox_lab import Elsewhere, Lab, manage, needs_virtualbox

pytestmark = needs_virtualbox

ROOT = Path(__file__).resolve().parents[2]


def on_api(work: Callable[[library.VirtualBox], object]) -> object:
    return binding.run(lambda: work(library.VirtualBox.connect()))


def test_enums_go_by_name_in_both_directions() -> None:
    api = binding.api()
    for enum, name in (
        ("MachineState", "Running"),
        ("MachineState", "PoweredOff"),
        ("SessionState", "Unlocked"),
        ("NetworkAttachmentType", "Internal"),
        ("CleanupMode", "DetachAllReturnHardDisksOnly"),
        ("MediumState", "Inaccessible"),
    ):
        assert api.name(enum, api.number(enum, name)) == name
    assert api.name("MachineState", 9999) == "9999"


def test_a_refusal_has_its_code_and_virtualboxs_words() -> None:
    with pytest.raises(VirtualBoxError) as caught:
        on_api(lambda api: api.call("findMachine", "no-such-machine"))
    assert caught.value.code == NOT_FOUND
    assert str(caught.value) == ("Could not find a registered machine named 'no-such-machine' (0x80BB0001)")


def test_completed_is_not_success(tmp_path: Path) -> None:
    """The progress ends at once; only its result code tells that there is no room for such a disk."""
    target = tmp_path / "missing" / "disk.vdi"
    (tmp_path / "missing").write_text("a file where a folder should be")

    def work(api: library.VirtualBox) -> None:
        medium = api.create_medium(str(target))
        variant = [library.number("MediumVariant", "Standard")]
        session.finish(library.Progress(medium.call("createBaseStorage", 1 << 20, variant)), 30)

    with pytest.raises(VirtualBoxError) as caught:
        on_api(work)
    assert "disk.vdi" in caught.value.text


def test_only_a_passing_state_is_tried_again() -> None:
    calls: list[int] = []

    def refuse(code: int) -> Callable[[], None]:
        def call() -> None:
            calls.append(code)
            raise VirtualBoxError(code, "no")

        return call

    with pytest.raises(VirtualBoxError):
        session.retried(refuse(NOT_FOUND), deadline=5)
    assert calls == [NOT_FOUND]
    calls.clear()
    with pytest.raises(VirtualBoxError):
        session.retried(refuse(library.INVALID_OBJECT_STATE), deadline=0.3)
    assert len(calls) > 1


def test_many_threads_call_at_once(lab: Lab) -> None:
    """Callers come and go, as the engine's calls do, while objects are collected on any thread."""
    machine = lab.machine()
    lab.driver.create(machine)

    def look(_: int) -> str:
        with pytest.raises(VirtualBoxError):
            on_api(lambda api: api.call("findMachine", "no-such-machine"))
        return str(lab.driver.status(machine.uuid).state)

    for _ in range(5):
        with ThreadPoolExecutor(16) as callers:
            assert set(callers.map(look, range(64))) == {"PowerState.OFF"}
        gc.collect()


def test_nested_calls_stay_on_their_thread() -> None:
    def outer() -> tuple[str, str]:
        return threading.current_thread().name, binding.run(lambda: threading.current_thread().name)

    first, second = binding.run(outer)
    assert first == second
    assert first.startswith("virtualbox")


def test_machines_are_made_in_parallel(lab: Lab) -> None:
    machines = [lab.machine(f"node{number}") for number in range(2, 10)]
    with ThreadPoolExecutor(8) as callers:
        list(callers.map(lab.driver.create, machines))
    assert set(lab.driver.list(lab.stack)) == {machine.uuid for machine in machines}
    assert {str(lab.driver.status(machine.uuid).state) for machine in machines} == {"PowerState.OFF"}
    with ThreadPoolExecutor(8) as callers:
        list(callers.map(lab.driver.delete, [machine.uuid for machine in machines]))


def test_the_service_may_end_between_runs(tmp_path: Path) -> None:
    with Elsewhere(tmp_path) as elsewhere:
        elsewhere.run("driver.create(lab.machine())")
        elsewhere.end_service()
        assert elsewhere.run("print(driver.status(lab.machine().uuid).state)") == "PowerState.OFF"


def test_the_services_end_within_a_run_is_said(tmp_path: Path) -> None:
    with Elsewhere(tmp_path) as elsewhere:
        said = elsewhere.run(
            """
            import psutil, os
            from tests.rig.virtualbox_lab import kill_service
            driver.create(lab.machine())
            kill_service(os.environ["VBOX_IPC_SOCKETID"])
            try:
                for _ in range(100):
                    driver.status(lab.machine().uuid)
            except UserError as error:
                print(error)
            """
        )
    assert said.startswith("VirtualBox refuses: "), said


def test_an_error_within_leaves_no_lock_behind(lab: Lab) -> None:
    machine = lab.machine()
    lab.driver.create(machine)

    def fail(api: library.VirtualBox) -> None:
        found = identity.find(api, machine.uuid)
        assert found is not None
        with session.locked(found, "Write"):
            raise KeyError("in the middle")

    with pytest.raises(KeyError):
        on_api(fail)
    assert lab.facts(machine.uuid)["VMState"] == "poweroff"
    manage("modifyvm", machine.uuid, "--memory", "200")


HOLD = """
import sys
from provider.hypervisors.virtualbox import binding, identity, library, session

def hold():
    machine = identity.find(library.VirtualBox.connect(), sys.argv[1])
    with session.locked(machine, "Write"):
        print("locked", flush=True)
        sys.stdin.read()

binding.run(hold)
"""


@contextmanager
def locking(uuid: str) -> Iterator[subprocess.Popen[str]]:
    """Another program, which has locked the machine until its standard input ends."""
    words = [sys.executable, "-c", HOLD, uuid]
    pipe = subprocess.PIPE
    with subprocess.Popen(words, cwd=ROOT, stdin=pipe, stdout=pipe, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "locked\n"
        yield holder


def test_a_lock_of_another_program_is_named_and_outlived(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = lab.machine()
    lab.driver.create(machine)
    with locking(machine.uuid) as holder:
        with pytest.raises(UserError) as caught:
            on_api(lambda api: _lock_once(api, machine.uuid))
        assert (
            str(caught.value)
            .splitlines()[0]
            .startswith(f'VM "{lab.stack}-node2" is locked by another program: ')
        )
        assert (
            str(caught.value).splitlines()[1] == "close its window or settings in VirtualBox and run up again"
        )
        # Let go of while we wait, it is no hindrance.
        later = threading.Timer(1.0, holder.stdin.close)  # type: ignore[union-attr]
        later.start()
        lab.driver.configure(machine.uuid, 1, 200, 1)
        later.join()
        holder.wait(timeout=30)
    assert lab.driver.status(machine.uuid).memory == 200


def _lock_once(api: library.VirtualBox, uuid: str) -> None:
    machine = identity.find(api, uuid)
    assert machine is not None
    with session.locked(machine, "Write", deadline=1):
        raise AssertionError("got the lock of another program")


def test_a_program_that_died_with_its_lock_is_no_hindrance(lab: Lab) -> None:
    machine = lab.machine()
    lab.driver.create(machine)
    with locking(machine.uuid) as holder:
        holder.kill()
        holder.wait()
    lab.driver.configure(machine.uuid, 1, 200, 1)
    assert lab.driver.status(machine.uuid).memory == 200


class Recorded:
    """Takes the arguments of a call: for the versions of VirtualBox that are not installed."""

    def __init__(self, version: str) -> None:
        self.version = version
        self.arguments: tuple[object, ...] = ()

    def createMachine(self, *arguments: object) -> object:
        self.arguments = arguments
        return self


@pytest.mark.parametrize(
    ("version", "wanted"),
    [
        ("6.1.50", ("f", "n", [], "Debian_64", "UUID=u")),
        ("7.0.20", ("f", "n", [], "Debian_64", "UUID=u", "", "", "")),
        ("7.1.4", ("f", "n", 1, [], "Debian_64", "UUID=u", "", "", "")),
        ("7.2.22_Debian", ("f", "n", 1, [], "Debian_64", "UUID=u", "", "", "")),
    ],
)
def test_machines_are_made_as_each_version_wants_it(version: str, wanted: tuple[object, ...]) -> None:
    recorded = Recorded(version)
    library.VirtualBox(recorded).create_machine("f", "n", "Debian_64", "u")
    assert recorded.arguments == wanted


PROBE = """
from pathlib import Path
from provider.hypervisors.virtualbox.driver import VirtualBox
print(VirtualBox(Path("/nowhere")).probe().problems)
"""


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            "binding._program_folders = lambda: iter([Path('/nowhere')])",
            "VirtualBox is not installed; install it, or set hypervisor: qemu",
        ),
        (
            "binding._import = lambda: (_ for _ in ()).throw(ImportError('no vboxapi found'))",
            "VirtualBox's Python binding cannot be loaded (no vboxapi found); "
            "install VirtualBox's Python support",
        ),
    ],
)
def test_what_is_missing_is_said(change: str, said: str) -> None:
    code = f"from pathlib import Path\nfrom provider.hypervisors.virtualbox import binding\n{change}\n{PROBE}"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert (done.stdout.strip(), done.stderr) == (repr((said,)), "")


def test_a_program_that_used_it_ends_quietly() -> None:
    code = PROBE.replace("problems", "version")
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.count(".") == 2
    assert "Exception" not in done.stderr


def test_virtualboxs_neighbours_are_not_importable() -> None:
    """Only vboxapi is taken from the system's Python: nothing else may come from there."""
    code = f"{PROBE}\nimport sys\nprint([path for path in sys.path if 'dist-packages' in path])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
