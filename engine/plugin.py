"""A provider plugin: its process, and the provider protocol over gRPC as Python calls."""

import hashlib
import json
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import grpc
from google.protobuf import empty_pb2
from pulumi.runtime._grpc_settings import _GRPC_CHANNEL_OPTIONS
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc, status_pb2

from engine import urn as urns
from engine.launch import Process
from engine.provider import Checked, Diff, HalfMade, ProviderError, Read, Target
from engine.values import (
    Properties,
    contains,
    decode,
    encode,
    is_unknown,
    plain,
    remarked,
)

_KINDS = {0: "add", 1: "add-replace", 2: "delete", 3: "delete-replace", 4: "update", 5: "update-replace"}
_CANCEL_SECONDS = 10


_METADATA = 64 * 1024 * 1024
_OPTIONS = [
    *_GRPC_CHANNEL_OPTIONS,
    # A half-made resource comes back whole in the trailing metadata; the default is 16 KiB.
    ("grpc.max_metadata_size", _METADATA),
    ("grpc.absolute_max_metadata_size", _METADATA),
    # The user's http_proxy is for the outside; grpc would take even 127.0.0.1 through it.
    ("grpc.enable_http_proxy", 0),
]


def channel(address: str) -> grpc.Channel:
    return grpc.insecure_channel(address, options=_OPTIONS)


class PluginClient:
    """A running plugin: the engine's own `process`, or one that somebody else has started at `address`."""

    def __init__(self, package: str, process: Process | None, address: str = "", engine: str = "") -> None:
        self.package = package
        self._process = process
        self._address, self._engine = address, engine
        self._lock = threading.Lock()
        self._channel: grpc.Channel | None = None
        self._stub: Any = None
        self._accepts_secrets = True
        self._previews = True

    def _call(self, method: str, request: Any) -> Any:
        """Raises HalfMade or ProviderError; a plugin that has died is reported with its last words."""
        stub = self._connected()
        try:
            return getattr(stub, method)(request)
        except grpc.RpcError as error:
            if half := _half_made(error):
                raise half from None
            if error.code() == grpc.StatusCode.UNAVAILABLE and self._process:
                raise ProviderError(self._process.last_words()) from None
            if error.code() == grpc.StatusCode.UNIMPLEMENTED:
                raise NotImplementedError from None
            raise ProviderError(error.details() or str(error.code())) from None

    def _connected(self) -> Any:
        with self._lock:
            if self._stub is None:
                self._channel = channel(self._process.address() if self._process else self._address)
                self._stub = provider_pb2_grpc.ResourceProviderStub(self._channel)
                if not self._process:
                    with suppress(grpc.RpcError):  # not every provider wants to be greeted
                        self._stub.Attach(plugin_pb2.PluginAttach(address=self._engine))
            return self._stub

    def _encode(self, properties: Properties) -> Any:
        return encode(properties, self._accepts_secrets)

    def _decode(self, struct: Any, like: Properties) -> Properties:
        """`like` is what was sent: what was secret there stays so if the provider knows no secrets."""
        values = decode(struct)
        return values if self._accepts_secrets else remarked(values, like)

    def check_config(self, urn: str, olds: Properties, news: Properties) -> Checked:
        request = provider_pb2.CheckRequest(urn=urn, olds=encode(olds, False), news=encode(news, False))
        request.name, request.type = urns.name_of(urn), urns.type_of(urn)
        try:
            response = self._call("CheckConfig", request)
        except NotImplementedError:
            return Checked(news)
        return Checked(remarked(decode(response.inputs), news), _failures(response))

    def diff_config(
        self, urn: str, old_inputs: Properties, old_outputs: Properties, news: Properties
    ) -> Diff:
        request = provider_pb2.DiffRequest(
            urn=urn,
            name=urns.name_of(urn),
            type=urns.type_of(urn),
            old_inputs=encode(old_inputs, False),
            olds=encode(old_outputs, False),
            news=encode(news, False),
        )
        try:
            return _diff(self._call("DiffConfig", request))
        except NotImplementedError:
            return Diff(None)

    def configure(self, urn: str, identifier: str, inputs: Properties) -> None:
        """Raises ProviderError."""
        prefix = f"{urns.package_of(urns.type_of(urn))}:config:"
        variables = {
            prefix + key: value if isinstance(value, str) else json.dumps(value)
            for key, value in plain(inputs).items()
            if key != "version" and not contains(value, is_unknown)
        }
        response = self._call(
            "Configure",
            provider_pb2.ConfigureRequest(
                urn=urn,
                name=urns.name_of(urn),
                type=urns.type_of(urn),
                id=identifier,
                variables=variables,
                args=encode(inputs),
                acceptSecrets=True,
                acceptResources=True,
                sends_old_inputs=True,
                sends_old_inputs_to_delete=True,
            ),
        )
        self._accepts_secrets, self._previews = response.acceptSecrets, response.supportsPreview

    def check(self, target: Target, olds: Properties | None, news: Properties) -> Checked:
        request = provider_pb2.CheckRequest(
            urn=target.urn,
            name=urns.name_of(target.urn),
            type=urns.type_of(target.urn),
            news=self._encode(news),
            randomSeed=_seed(target.urn),
        )
        if olds is not None:
            request.olds.CopyFrom(self._encode(olds))
        response = self._call("Check", request)
        return Checked(self._decode(response.inputs, news), _failures(response))

    def diff(
        self,
        target: Target,
        old_inputs: Properties,
        old_outputs: Properties,
        news: Properties,
        ignored: Sequence[str],
    ) -> Diff:
        request = provider_pb2.DiffRequest(
            id=target.id,
            urn=target.urn,
            name=urns.name_of(target.urn),
            type=urns.type_of(target.urn),
            old_inputs=self._encode(old_inputs),
            olds=self._encode(old_outputs),
            news=self._encode(news),
            ignoreChanges=ignored,
        )
        return _diff(self._call("Diff", request))

    def create(self, target: Target, inputs: Properties, preview: bool) -> tuple[str, Properties]:
        if preview and not self._previews:
            return "", inputs
        request = provider_pb2.CreateRequest(
            urn=target.urn,
            name=urns.name_of(target.urn),
            type=urns.type_of(target.urn),
            properties=self._encode(inputs),
            timeout=target.timeout,
            preview=preview,
        )
        response = self._call("Create", request)
        if not response.id and not preview:
            raise ProviderError(f"the provider {self.package!r} made {target.urn} but returned no id")
        return response.id, self._decode(response.properties, inputs)

    def read(self, target: Target, inputs: Properties, outputs: Properties) -> Read:
        request = provider_pb2.ReadRequest(
            id=target.id,
            urn=target.urn,
            name=urns.name_of(target.urn),
            type=urns.type_of(target.urn),
            inputs=self._encode(inputs),
            properties=self._encode(outputs),
            timeout=target.timeout,
        )
        response = self._call("Read", request)
        found = self._decode(response.inputs, inputs) if response.HasField("inputs") else None
        return Read(response.id, self._decode(response.properties, outputs), found)

    def update(
        self,
        target: Target,
        old_inputs: Properties,
        old_outputs: Properties,
        news: Properties,
        ignored: Sequence[str],
        preview: bool,
    ) -> Properties:
        if preview and not self._previews:
            return news
        request = provider_pb2.UpdateRequest(
            id=target.id,
            urn=target.urn,
            name=urns.name_of(target.urn),
            type=urns.type_of(target.urn),
            old_inputs=self._encode(old_inputs),
            olds=self._encode(old_outputs),
            news=self._encode(news),
            timeout=target.timeout,
            ignoreChanges=ignored,
            preview=preview,
        )
        return self._decode(self._call("Update", request).properties, news)

    def delete(self, target: Target, inputs: Properties, outputs: Properties) -> None:
        request = provider_pb2.DeleteRequest(
            id=target.id,
            urn=target.urn,
            name=urns.name_of(target.urn),
            type=urns.type_of(target.urn),
            old_inputs=self._encode(inputs),
            properties=self._encode(outputs),
            timeout=target.timeout,
        )
        self._call("Delete", request)

    def cancel(self) -> None:
        """Ask the plugin to abort what it is doing; never raises."""
        if self._stub is not None:
            try:
                self._stub.Cancel(empty_pb2.Empty(), timeout=_CANCEL_SECONDS)
            except grpc.RpcError:
                return

    def close(self) -> None:
        if self._channel:
            self._channel.close()
        if self._process:
            self._process.stop()


def _failures(response: provider_pb2.CheckResponse) -> tuple[tuple[str, str], ...]:
    return tuple((failure.property, failure.reason) for failure in response.failures)


def _diff(response: provider_pb2.DiffResponse) -> Diff:
    changes = {
        provider_pb2.DiffResponse.DIFF_NONE: False,
        provider_pb2.DiffResponse.DIFF_SOME: True,
    }.get(response.changes)
    return Diff(
        changes,
        tuple(response.replaces),
        tuple(response.diffs),
        response.deleteBeforeReplace,
        {path: _KINDS[change.kind] for path, change in response.detailedDiff.items()},
    )


def _half_made(error: grpc.RpcError) -> HalfMade | None:
    """The details of a resource that exists but failed to initialise, if that is what the error says."""
    metadata: Any = error.trailing_metadata()
    for key, value in metadata or ():
        if key == "grpc-status-details-bin":
            for detail in status_pb2.Status.FromString(value).details:
                made = provider_pb2.ErrorResourceInitFailed()
                if detail.Unpack(made):
                    inputs = decode(made.inputs) if made.HasField("inputs") else None
                    return HalfMade(made.id, decode(made.properties), inputs, made.reasons)
    return None


def _seed(urn: str) -> bytes:
    return hashlib.sha256(urn.encode()).digest()
