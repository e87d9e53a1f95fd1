"""A plugin as a real process, spoken to over the real wire, and the engine service that it reports to."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.empty_pb2 import Empty
from pulumi.runtime.proto import engine_pb2, engine_pb2_grpc, provider_pb2_grpc, status_pb2
from pulumi.runtime.proto import provider_pb2 as proto

from tests.rig.wire import from_wire, to_wire

ROOT = Path(__file__).resolve().parents[2]
TOY = Path(__file__).parent / "toy"
STACK = "contract"
DEADLINE = 60.0
# A half-made resource comes back whole in the trailing metadata; grpc takes 8 KiB of it by default.
CHANNEL = [
    ("grpc.enable_http_proxy", 0),
    ("grpc.max_receive_message_length", 400 * 1024 * 1024),
    ("grpc.max_metadata_size", 16 * 1024 * 1024),
    ("grpc.absolute_max_metadata_size", 16 * 1024 * 1024),
]


class Engine(engine_pb2_grpc.EngineServicer):
    """Takes the log lines that plugins send to Pulumi's engine."""

    def __init__(self) -> None:
        self.lines: list[engine_pb2.LogRequest] = []
        self._arrived = threading.Condition()
        self._server = grpc.server(ThreadPoolExecutor(4))
        engine_pb2_grpc.add_EngineServicer_to_server(self, self._server)
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()

    def Log(self, request: engine_pb2.LogRequest, context: Any) -> Empty:
        with self._arrived:
            self.lines.append(request)
            self._arrived.notify_all()
        return Empty()

    def wait_for(self, urn: str, message: str, times: int = 1) -> None:
        """Until the plugin has shown this so many times beside the resource."""
        with self._arrived:
            shown = self._arrived.wait_for(lambda: self.shown(urn).count(message) >= times, DEADLINE)
        assert shown, self.shown(urn)

    def shown(self, urn: str) -> list[str]:
        return [line.message for line in self.lines if line.urn == urn]

    def close(self) -> None:
        self._server.stop(None)


class Failed(Exception):
    """What the user would see. `half` is the resource as the engine would save it, if there is one."""

    def __init__(self, error: grpc.RpcError) -> None:
        super().__init__(error.details())
        self.half = _half_made(error)


@dataclass(frozen=True)
class Half:
    identifier: str
    properties: dict[str, Any]
    inputs: dict[str, Any]
    reasons: list[str]


@dataclass(frozen=True)
class State:
    """A resource as the engine's state would hold it. Secrets are `Secret(...)`."""

    identifier: str
    inputs: dict[str, Any]
    properties: dict[str, Any]


@dataclass(frozen=True)
class Difference:
    """`details` are property paths with the kind of change, in lower case: `update`, `add_replace`, …"""

    changed: list[str]
    replaces: list[str]
    details: dict[str, str]
    delete_first: bool


@dataclass
class Plugin:
    """A running plugin; every method is one call of the protocol, with plain Python values.

    Methods raise Failed. `project` is the folder that holds its `.matrix`.
    """

    process: subprocess.Popen[str]
    engine: Engine
    project: Path
    port: int
    stub: provider_pb2_grpc.ResourceProviderStub = field(init=False)
    _begun: list[Any] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        channel = grpc.insecure_channel(f"127.0.0.1:{self.port}", options=CHANNEL)
        self.stub = provider_pb2_grpc.ResourceProviderStub(channel)

    @staticmethod
    def urn(type_name: str, name: str) -> str:
        return f"urn:pulumi:{STACK}::cloudmatrix::matrix:index:{type_name}::{name}"

    def check(
        self, urn: str, inputs: Mapping[str, Any], olds: Mapping[str, Any] | None = None
    ) -> tuple[dict[str, Any], list[str]]:
        """The completed inputs and the reasons of every failure; `olds` are the inputs in the state."""
        request = proto.CheckRequest(urn=urn, news=to_wire(inputs), olds=to_wire(olds or {}))
        answer = _call(self.stub.Check, request)
        assert all(failure.property == "" for failure in answer.failures)
        return from_wire(answer.inputs), [failure.reason for failure in answer.failures]

    def diff(self, urn: str, old: State, inputs: Mapping[str, Any]) -> Difference:
        request = proto.DiffRequest(
            urn=urn,
            id=old.identifier,
            olds=to_wire(old.properties),
            old_inputs=to_wire(old.inputs),
            news=to_wire(inputs),
        )
        answer = _call(self.stub.Diff, request)
        assert (answer.changes == proto.DiffResponse.DIFF_SOME) == bool(answer.diffs)
        kinds = {path: proto.PropertyDiff.Kind.Name(one.kind) for path, one in answer.detailedDiff.items()}
        return Difference(
            changed=list(answer.diffs),
            replaces=list(answer.replaces),
            details={path: kind.lower() for path, kind in kinds.items()},
            delete_first=answer.deleteBeforeReplace,
        )

    def preview(self, urn: str, inputs: Mapping[str, Any]) -> dict[str, Any]:
        request = proto.CreateRequest(urn=urn, properties=to_wire(inputs), preview=True)
        answer = _call(self.stub.Create, request)
        assert answer.id == ""
        return from_wire(answer.properties)

    def create(self, urn: str, inputs: Mapping[str, Any], timeout: float = 0) -> State:
        return self.start_create(urn, inputs, timeout)()

    def start_create(self, urn: str, inputs: Mapping[str, Any], timeout: float = 0) -> Any:
        """Begin a creation. The answer waits for its end."""
        request = proto.CreateRequest(urn=urn, properties=to_wire(inputs), timeout=timeout)
        future = self.stub.Create.future(request, timeout=DEADLINE)
        self._begun.append(future)  # grpc cancels a call whose future nobody holds

        def state() -> State:
            answer = _result(future)
            return State(answer.id, dict(inputs), from_wire(answer.properties))

        return state

    def read(self, urn: str, old: State) -> State | None:
        """None: gone. An old state without inputs and properties is an import."""
        request = proto.ReadRequest(
            urn=urn, id=old.identifier, inputs=to_wire(old.inputs), properties=to_wire(old.properties)
        )
        answer = _call(self.stub.Read, request)
        if not answer.id:
            assert not answer.HasField("properties"), "an import would take this for an empty resource"
            return None
        return State(answer.id, from_wire(answer.inputs), from_wire(answer.properties))

    def update(self, urn: str, old: State, inputs: Mapping[str, Any], *, preview: bool = False) -> State:
        request = proto.UpdateRequest(
            urn=urn,
            id=old.identifier,
            olds=to_wire(old.properties),
            old_inputs=to_wire(old.inputs),
            news=to_wire(inputs),
            preview=preview,
        )
        answer = _call(self.stub.Update, request)
        return State(old.identifier, dict(inputs), from_wire(answer.properties))

    def delete(self, urn: str, old: State) -> None:
        request = proto.DeleteRequest(
            urn=urn,
            id=old.identifier,
            properties=to_wire(old.properties),
            old_inputs=to_wire(old.inputs),
        )
        _call(self.stub.Delete, request)

    def cancel(self) -> None:
        _call(self.stub.Cancel, Empty())

    def log(self) -> str:
        return (self.project / ".matrix" / "logs" / "provider.log").read_text()


@contextmanager
def running(project: Path, plugin: Path | None = None) -> Iterator[Plugin]:
    """A plugin (ours, unless another folder is given) at work for the project, as Pulumi starts it."""
    engine = Engine()
    process = start(plugin or scratch_project(project) / "provider", engine.address, project)
    try:
        yield Plugin(process, engine, project, port_of(process))
    finally:
        process.kill()
        process.wait()
        engine.close()


def start(plugin: Path, engine: str, project: Path) -> subprocess.Popen[str]:
    environment = {
        **os.environ,
        "PULUMI_CONFIG": "{}",
        "PULUMI_CONFIG_PASSPHRASE": "canary-passphrase",
        "http_proxy": "http://127.0.0.1:1",
    }
    return subprocess.Popen(
        [sys.executable, str(plugin), engine],
        cwd=project,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def port_of(process: subprocess.Popen[str]) -> int:
    assert process.stdout and process.stderr
    line = process.stdout.readline()
    assert line.strip().isdigit(), f"no port, but {line!r}\n{process.stderr.read()}"
    return int(line)


def scratch_project(folder: Path) -> Path:
    """The checkout as it is, in a folder of its own that keeps its own `.matrix`."""
    for entry in ROOT.iterdir():
        link = folder / entry.name
        if not entry.name.startswith(".") and not link.exists():
            link.symlink_to(entry)
    return folder


def _call(method: Any, request: Any) -> Any:
    return _result(method.future(request, timeout=DEADLINE))


def _result(future: Any) -> Any:
    try:
        return future.result()
    except grpc.RpcError as error:
        raise Failed(error) from error


def _half_made(error: grpc.RpcError) -> Half | None:
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin":
            detail = proto.ErrorResourceInitFailed()
            status_pb2.Status.FromString(value).details[0].Unpack(detail)
            inputs = from_wire(detail.inputs)
            return Half(detail.id, from_wire(detail.properties), inputs, list(detail.reasons))
    return None
