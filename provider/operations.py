"""One function a call of the protocol: the request to plain values, the handler, the answer to the wire."""

from contextlib import suppress
from dataclasses import replace
from typing import Any

from google.protobuf.empty_pb2 import Empty
from google.protobuf.struct_pb2 import Struct
from pulumi.runtime.proto import provider_pb2 as wire

from provider import diff as differ
from provider.errors import HalfMade, UserError
from provider.resources.base import Context, Found, Properties, Resource
from provider.values import Marks, carry, containing, decode, encode, only, secret_texts, union


class InitFailed(Exception):
    """A half-made resource, as the engine takes it: `detail` keeps its id and properties in the state."""

    def __init__(self, detail: wire.ErrorResourceInitFailed) -> None:
        super().__init__("; ".join(detail.reasons))
        self.detail = detail


def check(handler: Resource, context: Context, request: wire.CheckRequest) -> wire.CheckResponse:
    given, marks = decode(request.news)
    old, _ = decode(request.olds)
    inputs, failures = handler.check(replace(context, old=old), given)
    inputs = {key: value for key, value in inputs.items() if value is not None}
    return wire.CheckResponse(
        inputs=encode(inputs, carry(inputs, given, marks)),
        # Without a property's name the engine shows the reason alone, which names the field already.
        failures=[wire.CheckFailure(property="", reason=failure.reason) for failure in failures],
    )


def diff(handler: Resource, context: Context, request: wire.DiffRequest) -> wire.DiffResponse:
    recorded, old_marks = decode(request.old_inputs)
    old = {**recorded, **handler.drifted(context, request.id, recorded)}
    new, new_marks = decode(request.news)
    return differ.response(handler, differ.difference(handler, old, new, union(old_marks, new_marks)))


def create(handler: Resource, context: Context, request: wire.CreateRequest) -> wire.CreateResponse:
    inputs, marks = decode(request.properties)
    if context.preview:
        outputs = handler.preview(context, inputs)
        return wire.CreateResponse(properties=_state(handler, inputs, marks, outputs))
    try:
        created = handler.create(context, inputs)
    except HalfMade as error:
        raise _init_failed(error, _state(handler, inputs, marks, error.outputs)) from error
    properties = _state(handler, inputs, marks, created.outputs)
    return wire.CreateResponse(id=created.identifier, properties=properties)


def update(handler: Resource, context: Context, request: wire.UpdateRequest) -> wire.UpdateResponse:
    old_inputs, _ = decode(request.old_inputs)
    old, old_marks = decode(request.olds)
    new, marks = decode(request.news)
    marks = union(marks, only(old_marks, old.keys() - old_inputs.keys() - new.keys()))
    if context.preview:
        kept = {key: value for key, value in old.items() if key not in old_inputs}
        outputs = {**kept, **handler.preview(context, new)}
        return wire.UpdateResponse(properties=_state(handler, new, marks, outputs))
    try:
        outputs = handler.update(context, request.id, _reachable(handler, old, old_inputs), new)
    except HalfMade as error:
        raise _init_failed(error, _state(handler, new, marks, error.outputs)) from error
    return wire.UpdateResponse(properties=_state(handler, new, marks, outputs))


def read(handler: Resource, context: Context, request: wire.ReadRequest) -> wire.ReadResponse:
    """A missing resource is an empty answer without properties: anything else would be imported."""
    old_inputs, input_marks = decode(request.inputs)
    old, marks = decode(request.properties)
    state = _reachable(handler, old, old_inputs)
    try:
        found = handler.read(context, request.id, old_inputs, state)
    except HalfMade as error:
        still = Found(old_inputs, {**state, **error.outputs})
        inputs, properties = _reread(handler, old_inputs, input_marks, old, marks, still)
        raise _init_failed(error, properties, inputs) from error
    if found is None:
        return wire.ReadResponse()
    inputs, properties = _reread(handler, old_inputs, input_marks, old, marks, found)
    return wire.ReadResponse(id=request.id, inputs=inputs, properties=properties)


def delete(handler: Resource, context: Context, request: wire.DeleteRequest) -> Empty:
    state, _ = decode(request.properties)
    old_inputs, _ = decode(request.old_inputs)
    try:
        handler.delete(context, request.id, _reachable(handler, state, old_inputs))
    except HalfMade as error:
        raise UserError(str(error)) from error
    return Empty()


def _reachable(handler: Resource, state: Properties, old_inputs: Properties) -> Properties:
    """The state with the newest ways to reach the thing: a change of those alone leaves outputs stale."""
    newest = {key: old_inputs[key] for key in handler.IGNORED if key in old_inputs}
    return {**state, **newest}


def _state(handler: Resource, inputs: Properties, marks: Marks, outputs: Properties) -> Struct:
    """Inputs and outputs together; what was secret stays so, as does whatever quotes it."""
    properties = {**inputs, **outputs}
    return encode(properties, _marks(handler, properties, inputs, marks))


def _marks(handler: Resource, properties: Properties, known: Properties, marks: Marks) -> Marks:
    carried = carry(properties, known, marks)
    if isinstance(marks, dict):
        # Secret outputs of old are named in `marks` without a value to compare with.
        carried = union(carried, only(marks, properties.keys() - known.keys()))
    declared: Marks = {key: True for key in handler.SECRETS if key in properties}
    made = {key: value for key, value in properties.items() if key not in known}
    quoting = containing(made, secret_texts(known, only(marks, known.keys())))
    return union(union(carried, declared), quoting)


def _reread(
    handler: Resource, old_inputs: Properties, input_marks: Marks, old: Properties, marks: Marks, found: Found
) -> tuple[Struct, Struct]:
    """Inputs and properties after a read; what the handler cannot see keeps its old value."""
    seen = {
        key: value
        for key, value in found.inputs.items()
        if value is not None and not (key in handler.IGNORED and key in old_inputs)
    }
    inputs = {**old_inputs, **seen}
    properties = {**inputs, **found.outputs}
    sealed = _marks(handler, properties, {**old, **old_inputs}, union(marks, input_marks))
    return encode(inputs, only(sealed, inputs.keys())), encode(properties, sealed)


def _init_failed(error: HalfMade, properties: Struct, inputs: Struct | None = None) -> InitFailed:
    detail = wire.ErrorResourceInitFailed(
        id=error.identifier, properties=properties, inputs=inputs, reasons=error.reasons
    )
    return InitFailed(detail)


def secrets_in(request: Any) -> frozenset[str]:
    """Every secret text of a request, to keep out of messages and logs."""
    texts: set[str] = set()
    for name in ("properties", "inputs", "olds", "news", "old_inputs"):
        if name in request.DESCRIPTOR.fields_by_name:
            with suppress(UserError):
                texts |= secret_texts(*decode(getattr(request, name)))
    return frozenset(texts)
