"""The resource BaseImage: a golden disk in the user's cache, shared by all stacks and made once."""

import importlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

from provider.errors import Cancelled, UserError
from provider.images import recipe, web
from provider.images import source as sources
from provider.images.cache import Cache, Image, default_root, identify
from provider.images.checksums import Known
from provider.images.iso.recognise import recognise
from provider.images.source import Source
from provider.images.usage import Usage
from provider.resources.base import UNKNOWN, Context, Created, Failure, Found, Properties, Resource

Builder = Callable[[Path, Source, int, Context], None]
"""Fills a folder with the image of a source; the number is the lock's descriptor, for child processes."""


def _from_packages(folder: Path, source: Source, lock: int, context: Context) -> None:
    from provider.images import packages  # noqa: PLC0415 - its tools exist on Linux alone

    packages.build(
        folder, source["release"], source.get("mirror", ""), lock, context.progress, context.cancelled
    )


def _by(module: str) -> Builder:
    """The function `build` of a module, imported when it is needed."""

    def build(folder: Path, source: Source, lock: int, context: Context) -> None:
        importlib.import_module(module).build(folder, source, lock, context)

    return build


BUILDERS: Mapping[str, Builder] = {
    "packages": _from_packages,
    "iso": _by("provider.images.iso.builder"),
    "cloud": _by("provider.images.cloud.builder"),
}


class BaseImageResource(Resource):
    """Inputs: `source` and, added by check, `recipe` (a digest of packages and settings) and, for a file,
    `source_digest` (its SHA-256). These decide what the image is; address, path and mirror do not."""

    TYPE: ClassVar[str] = "BaseImage"

    def __init__(self, cache: Cache | None = None) -> None:
        self._cache = cache or Cache(default_root())
        self._usage = Usage(self._cache.root)
        self._known = Known(self._cache.root.parent / "sums")

    def check(self, context: Context, inputs: Properties) -> tuple[Properties, list[Failure]]:
        source = inputs.get("source")
        if source == UNKNOWN:
            return {**inputs, "recipe": recipe.digest()}, []
        if not isinstance(source, Mapping):
            return inputs, [Failure("source: got nothing; need a mapping such as {from: packages}")]
        self._note_again(context)
        completed = sources.completed(source)
        checked = {**inputs, "source": completed, "recipe": recipe.digest(str(completed["from"]))}
        wrong = sources.judged(completed, UNKNOWN)
        if wrong or UNKNOWN in completed.values():
            return checked, [Failure(reason) for reason in wrong]
        try:
            if completed["from"] in sources.FILES:
                checked["source_digest"] = self._digest(context, completed)
            reason = self._obstacle(context, checked)
        except Cancelled:
            raise
        except UserError as error:
            reason = str(error)
        return checked, [Failure(reason)] if reason else []

    def preview(self, context: Context, inputs: Properties) -> Properties:
        """An image that is in the cache already is known before anything is done."""
        if UNKNOWN in (inputs["source"], *_values(inputs["source"])):
            return {}
        image = self._cached(inputs)
        return _outputs(image) if image else {"format": "qcow2", "disk_size": recipe.DISK_GIB}

    def create(self, context: Context, inputs: Properties) -> Created:
        source = sources.ready(inputs["source"], inputs.get("source_digest", ""), context.project)
        build = BUILDERS[source["from"]]
        spec = _spec(inputs)
        # Before the image is looked for: what is noted as used is not pruned.
        self._usage.add(identify(spec), context.project, context.stack, context.cancelled)
        try:
            image = self._cache.ensure(
                spec,
                recipe.DISK_GIB,
                lambda folder, lock: build(folder, source, lock, context),
                context.progress,
                context.cancelled,
            )
        except BaseException:
            self._usage.remove(identify(spec), context.project, context.stack)
            raise
        return Created(image.identifier, _outputs(image))

    def read(self, context: Context, identifier: str, inputs: Properties, state: Properties) -> Found | None:
        try:
            image = self._cache.find(identifier)
        except UserError as error:
            context.progress(str(error))
            return None
        if image is None:
            return None
        self._usage.add(identifier, context.project, context.stack, context.cancelled)
        digest = {"source_digest": image.spec["sha256"]} if "sha256" in image.spec else {}
        source = {key: value for key, value in image.spec.items() if key != "recipe"}
        if inputs and _deciding(inputs) == _deciding({**inputs, "source": source, **digest}):
            source = dict(inputs["source"])
        return Found({"source": source, "recipe": image.spec["recipe"], **digest}, _outputs(image))

    def update(self, context: Context, identifier: str, old: Properties, new: Properties) -> Properties:
        """Only a way to the content can have changed; the image is the same."""
        found = self.read(context, identifier, new, {})
        return found.outputs if found else self.create(context, new).outputs

    def delete(self, context: Context, identifier: str, state: Properties) -> None:
        """Leaves the image in the cache: other stacks may use it."""
        self._usage.remove(identifier, context.project, context.stack)

    def replaced_by(self, old: Mapping[str, Any], new: Mapping[str, Any]) -> frozenset[str]:
        before, after = _deciding(old), _deciding(new)
        return frozenset(key for key in before.keys() | after.keys() if before.get(key) != after.get(key))

    def _note_again(self, context: Context) -> None:
        """A stack whose project was moved is known again from its next preview on."""
        if "recipe" in context.old and isinstance(context.old.get("source"), Mapping):
            identifier = identify(_spec(context.old))
            if (self._cache.root / identifier).is_dir():
                self._usage.add(identifier, context.project, context.stack, context.cancelled)

    def _digest(self, context: Context, source: Source) -> str:
        """The sum of the source's file. What was once read from an address stays until the source changes:
        an unchanged stack needs no network, and no publisher replaces its machines."""
        before = context.old.get("source_digest")
        unchanged = before is not None and context.old.get("source") == source
        if unchanged and web.is_address(str(source.get("sha256", ""))):
            return str(before)
        try:
            return sources.digest_of(
                source, context.project, self._known, context.progress, context.cancelled
            )
        except Cancelled:
            raise
        except UserError:
            if unchanged:
                return str(before)
            raise

    def _obstacle(self, context: Context, checked: Properties) -> str:
        """Why an image that is not there yet cannot be made here, as far as it is seen without trying."""
        if self._cached(checked):
            return ""
        path = sources.local_file(checked["source"], context.project)
        if path is not None and not path.is_file():
            return sources.missing(path)
        if path is not None and checked["source"]["from"] == "iso":
            recognise(path)  # UserError: what it is instead
        return sources.unsupported_here(checked["source"])

    def _cached(self, inputs: Properties) -> Image | None:
        folder = self._cache.root / identify(_spec(inputs))
        return next((image for image in self._cache.images() if image.folder == folder), None)


def _spec(inputs: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **sources.identity(inputs["source"], inputs.get("source_digest", "")),
        "recipe": inputs["recipe"],
    }


def _deciding(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Of each input what decides the image."""
    source = inputs.get("source")
    kept = {key: source.get(key) for key in ("from", "release")} if isinstance(source, Mapping) else source
    return {"source": kept, "source_digest": inputs.get("source_digest"), "recipe": inputs.get("recipe")}


def _values(source: Any) -> list[Any]:
    return list(source.values()) if isinstance(source, Mapping) else []


def _outputs(image: Image) -> Properties:
    return {
        "path": str(image.disk),
        "sha256": image.sha256,
        "format": "qcow2",
        "disk_size": image.disk_size,
    }
