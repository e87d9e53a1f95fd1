"""The gRPC service: one thread a call, and every failure turned into one message for the user."""

import logging
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import grpc
from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import Message
from pulumi.runtime.proto import plugin_pb2, provider_pb2_grpc, status_pb2
from pulumi.runtime.proto import provider_pb2 as wire

from provider import operations, urn
from provider.cancellation import Calls
from provider.errors import UserError
from provider.operations import InitFailed, secrets_in
from provider.progress import Progress
from provider.redaction import redact
from provider.registry import Registry
from provider.resources.base import Context, Resource

logger = logging.getLogger(__name__)

VERSION = "0.1.0"
THREADS = 512
"""More than the CLI's parallelism can reach, so that Cancel is never behind a blocked call."""
OPTIONS = [("grpc.max_receive_message_length", 400 * 1024 * 1024)]
UNSUPPORTED = "the matrix provider has no functions to invoke"

Answer = TypeVar("Answer", bound=Message)
Operation = Callable[[Resource, Context, Any], Answer]


class Servicer(provider_pb2_grpc.ResourceProviderServicer):
    """Answers the engine. `project` is the folder that holds the program; `log` the provider's log file."""

    def __init__(self, registry: Registry, progress: Progress, project: Path, log: Path) -> None:
        self._registry = registry
        self._progress = progress
        self._project = project
        self._log = log
        self._calls = Calls()

    def GetPluginInfo(self, request: Empty, context: Any) -> plugin_pb2.PluginInfo:
        del request, context
        return plugin_pb2.PluginInfo(version=VERSION)

    def CheckConfig(self, request: wire.CheckRequest, context: Any) -> wire.CheckResponse:
        del context
        return wire.CheckResponse(inputs=request.news)

    def DiffConfig(self, request: wire.DiffRequest, context: Any) -> wire.DiffResponse:
        del request, context
        return wire.DiffResponse(changes=wire.DiffResponse.DIFF_NONE)

    def Configure(self, request: wire.ConfigureRequest, context: Any) -> wire.ConfigureResponse:
        del request, context
        return wire.ConfigureResponse(acceptSecrets=True, supportsPreview=True)

    def Invoke(self, request: wire.InvokeRequest, context: Any) -> wire.InvokeResponse:
        _abort(context, f"{request.tok}: {UNSUPPORTED}")

    def Cancel(self, request: Empty, context: Any) -> Empty:
        del request, context
        self._calls.cancel()
        return Empty()

    def Check(self, request: wire.CheckRequest, context: Any) -> wire.CheckResponse:
        return self._serve("check", operations.check, request, context, preview=True)

    def Diff(self, request: wire.DiffRequest, context: Any) -> wire.DiffResponse:
        return self._serve("diff", operations.diff, request, context, preview=True)

    def Create(self, request: wire.CreateRequest, context: Any) -> wire.CreateResponse:
        return self._serve("create", operations.create, request, context, preview=request.preview)

    def Read(self, request: wire.ReadRequest, context: Any) -> wire.ReadResponse:
        return self._serve("read", operations.read, request, context)

    def Update(self, request: wire.UpdateRequest, context: Any) -> wire.UpdateResponse:
        return self._serve("update", operations.update, request, context, preview=request.preview)

    def Delete(self, request: wire.DeleteRequest, context: Any) -> Empty:
        return self._serve("delete", operations.delete, request, context)

    def _serve(
        self, verb: str, operation: Operation[Answer], request: Any, rpc: Any, *, preview: bool = False
    ) -> Answer:
        secrets = secrets_in(request)
        try:
            with self._calls.call() as cancelled, self._recorded(verb, request.urn, preview):
                resource = urn.parse(request.urn)
                handler = self._registry.resolve(resource.type)
                context = Context(
                    stack=resource.stack,
                    name=resource.name,
                    project=self._project,
                    progress=self._reporter(request.urn, secrets, preview),
                    cancelled=cancelled,
                    preview=preview,
                    timeout=getattr(request, "timeout", 0.0),
                )
                return operation(handler, context, request)
        except InitFailed as failure:
            _mark_half_made(rpc, failure, secrets)
            message = str(failure)
        except UserError as error:
            message = str(error)
        except Exception as error:
            message = self._internal(f"{verb} {request.urn}", error, secrets)
        return _abort(rpc, redact(message, secrets))

    def _reporter(self, resource: str, secrets: frozenset[str], preview: bool) -> Callable[[str], None]:
        def report(stage: str) -> None:
            shown = redact(stage, secrets)
            if self._progress.show(resource, shown) and not preview:
                self._progress.record(resource, shown)

        return report

    @contextmanager
    def _recorded(self, verb: str, resource: str, preview: bool) -> Iterator[None]:
        """What is done to real things is logged, and its beginning and end recorded among the stages."""
        if preview or verb == "read":
            yield
            return
        began, end = time.monotonic(), "failed"
        self._progress.record(resource, verb)
        try:
            yield
            end = "done"
        finally:
            self._progress.forget(resource)
            self._progress.record(resource, end)
            logger.info("%s %s: %s after %.2f s", verb, resource, end, time.monotonic() - began)

    def _internal(self, call: str, error: Exception, secrets: frozenset[str]) -> str:
        trace = logging.Formatter().formatException((type(error), error, error.__traceback__))
        logger.error("%s failed\n%s", call, redact(trace, secrets))
        return f"internal error: {error!r}\nthe traceback is in {self._log}; please report it"


def serve(servicer: Servicer) -> tuple[grpc.Server, int]:
    """Start the service on a free port of 127.0.0.1."""
    server = grpc.server(ThreadPoolExecutor(THREADS, thread_name_prefix="call"), options=OPTIONS)
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    return server, port


def _abort(rpc: Any, message: str) -> NoReturn:
    # The engine shows the text alone; it treats every status code alike.
    rpc.abort(grpc.StatusCode.UNKNOWN, message)
    raise AssertionError("abort returned")


def _mark_half_made(rpc: Any, failure: InitFailed, secrets: frozenset[str]) -> None:
    failure.detail.reasons[:] = [redact(reason, secrets) for reason in failure.detail.reasons]
    status = status_pb2.Status(code=grpc.StatusCode.UNKNOWN.value[0], message="half-made")
    status.details.add().Pack(failure.detail)
    rpc.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
