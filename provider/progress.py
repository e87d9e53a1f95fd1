"""Live progress: a line beside the resource in Pulumi's display, and a record of when each stage began."""

import json
import logging
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import grpc
from pulumi.runtime.proto import engine_pb2 as wire
from pulumi.runtime.proto import engine_pb2_grpc

from provider import log, urn

logger = logging.getLogger(__name__)

DEADLINE = 2.0
"""Seconds that the engine has to take a line; progress never holds up the work."""
LIMIT = 1_000_000
"""Bytes of a stack's record of stages; one older file is kept beside it."""


@dataclass
class Progress:
    """Shows and records the stages of resources. No method raises; safe from many threads.

    `engine` is the address of Pulumi's engine service, `project` the folder that holds `.matrix`.
    """

    engine: str
    project: Path
    _last: dict[str, str] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        # The user's http_proxy is for the outside; grpc would take even 127.0.0.1 through it.
        channel = grpc.insecure_channel(self.engine, options=[("grpc.enable_http_proxy", 0)])
        self._stub = engine_pb2_grpc.EngineStub(channel)

    def show(self, resource: str, stage: str) -> bool:
        """Show the stage of the resource with this URN; False when that is what is shown already."""
        with self._lock:
            if self._last.get(resource) == stage:
                return False
            self._last[resource] = stage
        request = wire.LogRequest(severity=wire.INFO, message=stage, urn=resource, ephemeral=True)
        try:
            self._stub.Log(request, timeout=DEADLINE)
        except (grpc.RpcError, ValueError) as error:
            logger.info("progress not shown: %r", error)
        return True

    def record(self, resource: str, stage: str) -> None:
        """Append the stage to `.matrix/<stack>/progress.jsonl`."""
        try:
            named = urn.parse(resource)
            entry = {
                "time": time.time(),
                "urn": resource,
                "name": named.name,
                "type": named.type,
                "stage": stage,
            }
            self._append(self.project / ".matrix" / named.stack, json.dumps(entry))
        except (OSError, ValueError) as error:
            logger.info("progress not recorded: %s", error)

    def forget(self, resource: str) -> None:
        """The call is over: the next one may show the same stage again."""
        with self._lock:
            self._last.pop(resource, None)

    def _append(self, folder: Path, line: str) -> None:
        with self._lock:
            log.private_folder(folder, self.project)
            file = folder / "progress.jsonl"
            if file.exists() and file.stat().st_size > LIMIT:
                file.replace(file.with_name("progress.1.jsonl"))
            with file.open("a", encoding="utf-8") as stream:
                stream.write(line + "\n")
