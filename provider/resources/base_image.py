"""The resource BaseImage: a golden disk in the user's cache, shared by all stacks and made once."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

from provider.errors import UserError
from provider.images import packages, recipe
from provider.images.cache import Cache, Image, default_root, identify
from provider.resources.base import UNKNOWN, Context, Created, Failure, Found, Properties, Resource

Source = Mapping[str, Any]
Builder = Callable[[Path, Source, int, Context], None]
"""Fills a folder with the image of a source; the number is the lock's descriptor, for child processes."""


def _from_packages(folder: Path, source: Source, lock: int, context: Context) -> None:
    packages.build(
        folder, source["release"], source.get("mirror", ""), lock, context.progress, context.cancelled
    )


BUILDERS: Mapping[str, Builder] = {"packages": _from_packages}
KEYS = frozenset(("from", "release", "mirror"))


class BaseImageResource(Resource):
    """Inputs: `source` and, added by check, `recipe` (a digest of packages and settings)."""

    TYPE: ClassVar[str] = "BaseImage"

    def __init__(self, cache: Cache | None = None) -> None:
        self._cache = cache or Cache(default_root())

    def check(self, context: Context, inputs: Properties) -> tuple[Properties, list[Failure]]:
        del context
        source = inputs.get("source")
        if source == UNKNOWN:
            return {**inputs, "recipe": recipe.digest()}, []
        if not isinstance(source, Mapping):
            return inputs, [Failure("source: got nothing; need a mapping such as {from: packages}")]
        completed = {"from": "packages", "release": recipe.RELEASE, **source}
        return {**inputs, "source": completed, "recipe": recipe.digest()}, _judge(completed)

    def preview(self, context: Context, inputs: Properties) -> Properties:
        """An image that is in the cache already is known before anything is done."""
        del context
        if UNKNOWN in (inputs["source"], *_values(inputs["source"])):
            return {}
        folder = self._cache.root / identify(_spec(inputs))
        image = next((image for image in self._cache.images() if image.folder == folder), None)
        return _outputs(image) if image else {"format": "qcow2", "disk_size": recipe.DISK_GIB}

    def create(self, context: Context, inputs: Properties) -> Created:
        source = inputs["source"]
        build = BUILDERS[source["from"]]
        image = self._cache.ensure(
            _spec(inputs),
            recipe.DISK_GIB,
            lambda folder, lock: build(folder, source, lock, context),
            context.progress,
            context.cancelled,
        )
        return Created(image.identifier, _outputs(image))

    def read(self, context: Context, identifier: str, inputs: Properties, state: Properties) -> Found | None:
        del state
        try:
            image = self._cache.find(identifier)
        except UserError as error:
            context.progress(str(error))
            return None
        if image is None:
            return None
        source = {key: value for key, value in image.spec.items() if key != "recipe"}
        if mirror := dict(inputs.get("source") or {}).get("mirror"):
            source["mirror"] = mirror
        return Found({"source": source, "recipe": image.spec["recipe"]}, _outputs(image))

    def update(self, context: Context, identifier: str, old: Properties, new: Properties) -> Properties:
        """Only the mirror can have changed, which is a way to the packages; the image is the same."""
        del old
        found = self.read(context, identifier, new, {})
        return found.outputs if found else self.create(context, new).outputs

    def delete(self, context: Context, identifier: str, state: Properties) -> None:
        """Leaves the cache: other stacks may use the image."""

    def replaced_by(self, old: Mapping[str, Any], new: Mapping[str, Any]) -> frozenset[str]:
        before, after = _parts(old), _parts(new)
        return frozenset(key for key in ("source", "recipe") if before.get(key) != after.get(key))


def _judge(source: Source) -> list[Failure]:
    failures = [
        Failure(f"source.{key}: unknown key; need one of {', '.join(sorted(KEYS))}")
        for key in source
        if key not in KEYS
    ]
    kind, release, mirror = source["from"], source["release"], source.get("mirror", "")
    if kind != UNKNOWN and kind not in BUILDERS:
        failures.append(
            Failure(f'source.from: got "{kind}"; need {" or ".join(BUILDERS)}, the only source so far')
        )
    if release != UNKNOWN and release not in recipe.RELEASES:
        failures.append(Failure(f'source.release: got "{release}"; need {" or ".join(recipe.RELEASES)}'))
    if mirror and mirror != UNKNOWN and not str(mirror).startswith(("http://", "https://", "file:")):
        failures.append(Failure(f'source.mirror: got "{mirror}"; need a URL; try http://…/debian'))
    return failures


def _spec(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """What decides the content: not the mirror, whose packages are the same everywhere."""
    return {**_without_mirror(inputs["source"]), "recipe": inputs["recipe"]}


def _parts(inputs: Mapping[str, Any]) -> dict[str, Any]:
    source = inputs.get("source")
    known = _without_mirror(source) if isinstance(source, Mapping) else source
    return {"source": known, "recipe": inputs.get("recipe")}


def _without_mirror(source: Source) -> dict[str, Any]:
    return {key: value for key, value in source.items() if key != "mirror"}


def _values(source: Any) -> list[Any]:
    return list(source.values()) if isinstance(source, Mapping) else []


def _outputs(image: Image) -> Properties:
    return {
        "path": str(image.disk),
        "sha256": image.sha256,
        "format": "qcow2",
        "disk_size": image.disk_size,
    }
