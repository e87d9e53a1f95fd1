"""The provider `lab`: a real gRPC provider whose things are files; it notes every call, fails on demand.

A `lab:index:Thing` has any inputs. A change of `shape` replaces it (made before the old one is deleted),
a change of `place` replaces it too, but the old one goes first; anything else is updated. Its outputs are
its inputs, `tag` (the id) and `key` (secret).

Everything lives in a folder: `calls` (a JSON line a call), `world/<id>.json` (the things), `orders.json`.
Orders are `{"create a": "fail", "read b": "forget"}`: what goes wrong when. `fail`; `late` fails after a
moment; `half` leaves it half made; `die` ends the process; `wait` lasts until the file `go` exists or Cancel
is called; `stubborn` does not heed Cancel; `forget` (of read) drops the secret marks.
"""

import json
import os
import sys
import threading
import time
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
from google.protobuf import empty_pb2, json_format, struct_pb2
from pulumi.runtime.proto import (
    engine_pb2,
    engine_pb2_grpc,
    plugin_pb2,
    provider_pb2,
    provider_pb2_grpc,
    status_pb2,
)

UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
SIGNATURE, SECRET = "4dabf18193072939515e22adb298388d", "1b47061264138c4ac30d75fd1eb44270"
REPLACES = ("shape", "place")
WAIT_SECONDS = 20


def python(struct: struct_pb2.Struct) -> dict[str, Any]:
    return json_format.MessageToDict(struct)


def struct(values: dict[str, Any]) -> struct_pb2.Struct:
    result = struct_pb2.Struct()
    result.update(values)
    return result


def secret(value: Any) -> dict[str, Any]:
    return {SIGNATURE: SECRET, "value": value}


def clear(value: Any) -> Any:
    """The value without secret marks."""
    if isinstance(value, dict):
        if value.get(SIGNATURE) == SECRET:
            return clear(value["value"])
        return {key: clear(item) for key, item in value.items()}
    return [clear(item) for item in value] if isinstance(value, list) else value


class Lab(provider_pb2_grpc.ResourceProviderServicer):
    """`folder` is created when first needed."""

    def __init__(self, folder: Path, engine_address: str = "") -> None:
        self.folder = folder
        self.cancelled = threading.Event()
        self._engine = engine_address
        self._lock = threading.Lock()

    def note(self, method: str, urn: str) -> str:
        """Writes the call down and returns the thing's name."""
        name = urn.rsplit("::", 1)[-1]
        with self._lock:
            self.folder.mkdir(parents=True, exist_ok=True)
            with (self.folder / "calls").open("a") as file:
                file.write(json.dumps([method, name]) + "\n")
        return name

    def obey(self, method: str, name: str, context: Any, identifier: str, props: Any) -> None:
        order = self.order(method, name)
        if order == "late":
            time.sleep(0.3)
        if order in ("fail", "late"):
            context.abort(grpc.StatusCode.UNKNOWN, f"{method} of {name} failed\nas it was told to")
        if order == "die":
            print(f"{name} is too much", file=sys.stderr, flush=True)
            os._exit(3)
        if order == "half":
            status = status_pb2.Status(code=2, message="not ready")
            status.details.add().Pack(
                provider_pb2.ErrorResourceInitFailed(
                    id=identifier, properties=props, reasons=[f"{name} is cold"]
                )
            )
            context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
            context.abort(grpc.StatusCode.UNKNOWN, "not ready")
        if order in ("wait", "stubborn"):
            self.wait(name, context, heeds=order == "wait")

    def order(self, method: str, name: str) -> str | None:
        try:
            return json.loads((self.folder / "orders.json").read_text()).get(f"{method} {name}")
        except FileNotFoundError:
            return None

    def wait(self, name: str, context: Any, heeds: bool) -> None:
        (self.folder / f"waiting-{name}").touch()
        end = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < end and not (self.folder / "go").exists():
            time.sleep(0.02)
            if self.cancelled.is_set() and heeds:
                context.abort(grpc.StatusCode.UNKNOWN, f"{name} was interrupted")

    def world(self, identifier: str) -> Path:
        path = self.folder / "world" / f"{identifier}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def outputs(self, identifier: str, inputs: dict[str, Any]) -> struct_pb2.Struct:
        return struct({**inputs, "tag": identifier, "key": secret(f"key of {identifier}")})

    # The protocol.

    def GetPluginInfo(self, request: Any, context: Any) -> Any:
        return plugin_pb2.PluginInfo(version="1.0.0")

    def Handshake(self, request: Any, context: Any) -> Any:
        return provider_pb2.ProviderHandshakeResponse(accept_secrets=True, accept_resources=True)

    def Attach(self, request: Any, context: Any) -> Any:
        """How the CLI greets a provider that it has not started itself."""
        self._engine = request.address
        return empty_pb2.Empty()

    def CheckConfig(self, request: Any, context: Any) -> Any:
        return provider_pb2.CheckResponse(inputs=request.news)

    def DiffConfig(self, request: Any, context: Any) -> Any:
        old, new = python(request.old_inputs), python(request.news)
        replaces = ["region"] if old.get("region") != new.get("region") else []
        changes = provider_pb2.DiffResponse.DIFF_SOME if old != new else provider_pb2.DiffResponse.DIFF_NONE
        return provider_pb2.DiffResponse(changes=changes, replaces=replaces)

    def Configure(self, request: Any, context: Any) -> Any:
        self.cancelled.clear()  # Cancel also ends every run, and this server outlives runs
        if any(python(request.args).keys() - {"version"}):
            self.note("configure", request.urn)
        return provider_pb2.ConfigureResponse(acceptSecrets=True, supportsPreview=True, acceptResources=True)

    def Check(self, request: Any, context: Any) -> Any:
        news = python(request.news)
        failures = []
        if news.get("size") == -1:
            reason = "size: got -1; need a number above 0; try 1"
            failures.append(provider_pb2.CheckFailure(reason=reason))
        return provider_pb2.CheckResponse(inputs=request.news, failures=failures)

    def Diff(self, request: Any, context: Any) -> Any:
        old, new = python(request.old_inputs), python(request.news)
        changed = sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key))
        kinds = provider_pb2.PropertyDiff
        detailed = {
            key: kinds(kind=kinds.UPDATE_REPLACE if key in REPLACES else kinds.UPDATE) for key in changed
        }
        some, none = provider_pb2.DiffResponse.DIFF_SOME, provider_pb2.DiffResponse.DIFF_NONE
        return provider_pb2.DiffResponse(
            changes=some if changed else none,
            replaces=[key for key in changed if key in REPLACES],
            diffs=changed,
            deleteBeforeReplace="place" in changed,
            detailedDiff=detailed,
            hasDetailedDiff=True,
        )

    def Create(self, request: Any, context: Any) -> Any:
        if request.preview:
            return provider_pb2.CreateResponse(properties=request.properties)
        name = self.note("create", request.urn)
        identifier = f"{name}-{time.monotonic_ns()}"
        self.say(request.urn, "making it")
        props = self.outputs(identifier, python(request.properties))
        self.obey("create", name, context, identifier, props)
        self.world(identifier).write_text(json.dumps(python(request.properties)))
        return provider_pb2.CreateResponse(id=identifier, properties=props)

    def Update(self, request: Any, context: Any) -> Any:
        props = self.outputs(request.id, python(request.news))
        if not request.preview:
            name = self.note("update", request.urn)
            self.obey("update", name, context, request.id, props)
            self.world(request.id).write_text(json.dumps(python(request.news)))
        return provider_pb2.UpdateResponse(properties=props)

    def Delete(self, request: Any, context: Any) -> Any:
        name = self.note("delete", request.urn)
        self.obey("delete", name, context, request.id, request.properties)
        self.world(request.id).unlink(missing_ok=True)
        return empty_pb2.Empty()

    def Read(self, request: Any, context: Any) -> Any:
        name = self.note("read", request.urn)
        self.obey("read", name, context, request.id, request.properties)
        if not self.world(request.id).exists():
            return provider_pb2.ReadResponse()
        inputs = json.loads(self.world(request.id).read_text())
        if self.order("read", name) == "forget":
            inputs = clear(inputs)
            return provider_pb2.ReadResponse(
                id=request.id, inputs=struct(inputs), properties=struct({**inputs, "tag": request.id})
            )
        return provider_pb2.ReadResponse(
            id=request.id, inputs=struct(inputs), properties=self.outputs(request.id, inputs)
        )

    def Cancel(self, request: Any, context: Any) -> Any:
        self.cancelled.set()
        return empty_pb2.Empty()

    def say(self, urn: str, text: str) -> None:
        if self._engine:
            stub = engine_pb2_grpc.EngineStub(grpc.insecure_channel(self._engine))
            stub.Log(engine_pb2.LogRequest(severity=engine_pb2.INFO, message=text, urn=urn, ephemeral=True))


def serve(lab: Lab) -> tuple[grpc.Server, int]:
    """A running server on 127.0.0.1 and its port."""
    server = grpc.server(futures.ThreadPoolExecutor(32))
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(lab, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    return server, port
