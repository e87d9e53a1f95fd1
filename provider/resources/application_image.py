"""ApplicationImage: an application's container image in the stack's private registry."""

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from provider import ssh
from provider.containers import builder, make, push, source
from provider.containers.archive import Image
from provider.containers.registry import Registry, Unavailable, name_and_port
from provider.errors import Cancelled, UserError
from provider.resources.base import UNKNOWN, Context, Created, Failure, Found, Properties, Resource

ORIGINS = ("source", "archive", "image")
DEADLINE = 900.0
"""Seconds for the registry to answer: the manager may still be booting."""


class ApplicationImageResource(Resource):
    """The id is `repository@sha256:...`; outputs are `digest`, `reference` for docker pull, and `tag`.

    The tag belongs to this resource alone and keeps the manifest while another resource has the same one.
    """

    TYPE = "ApplicationImage"
    REPLACES = frozenset({"repository", "machine", "image", "source_digest"})
    IGNORED = frozenset({"connection", "registry"})

    def check(self, context: Context, inputs: Properties) -> tuple[Properties, list[Failure]]:
        given = [key for key in ORIGINS if inputs.get(key) is not None]
        if len(given) != 1:
            got = " and ".join(given) or "none of them"
            reason = f"source: got {got}; need exactly one of source, archive and image; try source"
            return inputs, [Failure(reason)]
        if inputs[given[0]] == UNKNOWN:
            return {**inputs, "source_digest": UNKNOWN} if given[0] != "image" else inputs, []
        if given[0] == "source":
            return _checked_source(context, inputs)
        return _checked_archive(context, inputs) if given[0] == "archive" else (inputs, [])

    def create(self, context: Context, inputs: Properties) -> Created:
        image = _made(context, inputs)
        tag = _tag(context, inputs)
        repository = inputs["repository"]

        def send(registry: Registry) -> str:
            context.progress("pushing")
            return push.push(registry, repository, tag, image, context.progress)

        context.progress("waiting for the registry")
        digest = _patiently(context, inputs, send)
        if digest != image.digest:
            raise UserError(f"registry: stored {repository} as {digest}, sent {image.digest}")
        return Created(f"{repository}@{digest}", _outputs(inputs, digest, tag))

    def read(self, context: Context, identifier: str, inputs: Properties, state: Properties) -> Found | None:
        if not inputs:
            raise UserError(
                f"{identifier}: an image cannot be imported, its registry is not known; let `up` make it"
            )
        repository, _, digest = identifier.partition("@")
        try:
            with _registry(inputs) as registry:
                found = registry.manifest_digest(repository, digest)
        except (Unavailable, ssh.Unreachable):
            context.progress("the registry does not answer: taken as it was")
            return Found(inputs, state)
        if found is None:
            return None
        return Found(inputs, _outputs(inputs, digest, state.get("tag") or _tag(context, inputs)))

    def update(self, context: Context, identifier: str, old: Properties, new: Properties) -> Properties:
        # Only the way to the same content has changed, such as the folder's name.
        digest = identifier.partition("@")[2]
        return _outputs(new, digest, old.get("tag") or _tag(context, old))

    def delete(self, context: Context, identifier: str, state: Properties) -> None:
        repository, _, digest = identifier.partition("@")
        tag = state.get("tag") or _tag(context, state)
        try:
            with _registry(state) as registry:
                push.release(registry, repository, tag, digest)
        except (Unavailable, ssh.Unreachable):
            context.progress("the registry does not answer: it goes with its machine")


def _checked_source(context: Context, inputs: Properties) -> tuple[Properties, list[Failure]]:
    failures = source.failures(context.project, inputs["source"])
    if failures:
        return inputs, [Failure(reason) for reason in failures]
    return {**inputs, "source_digest": source.digest(context.project / inputs["source"])}, []


def _checked_archive(context: Context, inputs: Properties) -> tuple[Properties, list[Failure]]:
    path = context.project / inputs["archive"]
    if not path.is_file():
        reason = (
            f'archive: got "{inputs["archive"]}"; need a file below {context.project}, '
            "made by `docker save`; it does not exist there"
        )
        return inputs, [Failure(reason)]
    with path.open("rb") as file:
        return {**inputs, "source_digest": hashlib.file_digest(file, "sha256").hexdigest()}, []


def _made(context: Context, inputs: Properties) -> Image:
    if inputs.get("archive") is not None:
        context.progress("reading the archive")
        return make.from_archive(
            builder.cache_folder(), context.project / inputs["archive"], context.cancelled.is_set
        )
    tool = builder.open_builder(context.cancelled)
    if inputs.get("source") is not None:
        folder = context.project / inputs["source"]
        return make.from_source(tool, folder, inputs["repository"], context.progress)
    return make.from_registry(tool, inputs["image"], context.progress)


def _tag(context: Context, inputs: Mapping[str, Any]) -> str:
    """The same for a retry, another for every other resource, content or registry."""
    parts = [
        context.stack,
        context.name,
        *(str(inputs.get(key)) for key in ("machine", "source_digest", "image")),
    ]
    return "for-" + hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _outputs(inputs: Mapping[str, Any], digest: str, tag: str) -> Properties:
    name, port = name_and_port(inputs["registry"]["host"])
    reference = f"{name}:{port}/{inputs['repository']}@{digest}"
    return {"reference": reference, "digest": digest, "tag": tag}


@contextmanager
def _registry(inputs: Mapping[str, Any]) -> Iterator[Registry]:
    wire = inputs["registry"]
    # The manager knows its own name from its /etc/hosts, whatever the network's addresses are.
    with (
        ssh.connect(inputs["connection"]).forward(*name_and_port(wire["host"])) as local,
        Registry(wire, local) as registry,
    ):
        yield registry


def _patiently(context: Context, inputs: Properties, send: Callable[[Registry], str]) -> str:
    """Try until the registry takes the image. Whatever arrived is not sent again at the next try."""
    deadline = time.monotonic() + (context.timeout or DEADLINE)
    while True:
        try:
            with _registry(inputs) as registry:
                registry.ready()
                return send(registry)
        except (Unavailable, ssh.Unreachable, ssh.AuthenticationFailed) as error:
            if time.monotonic() > deadline:
                raise UserError(
                    f"the registry did not take {inputs['repository']} in time\n{error}"
                ) from error
        if context.cancelled.wait(1.0):
            raise Cancelled(f"waiting for the registry to take {inputs['repository']}: interrupted")
