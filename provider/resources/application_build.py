"""ApplicationBuild: an application's image, built on this computer while its machines boot."""

from provider.containers import builder, make
from provider.resources.application_image import ApplicationImageResource
from provider.resources.base import Context, Created, Found, Properties, Resource
from provider.resources.recorded import recorded


class ApplicationBuildResource(Resource):
    """The id is the image's digest. What is built stays in the builder's store, where ApplicationImage finds
    it made; a store that was emptied meanwhile costs another build there, and nothing else."""

    TYPE = "ApplicationBuild"
    REPLACES = frozenset({"repository", "source", "source_digest"})

    check = ApplicationImageResource.check

    def create(self, context: Context, inputs: Properties) -> Created:
        tool = builder.open_builder(context.cancelled)
        folder = context.project / inputs["source"]
        image = make.from_source(tool, folder, inputs["repository"], context.progress)
        return Created(image.digest, {"digest": image.digest})

    def read(self, context: Context, identifier: str, inputs: Properties, state: Properties) -> Found | None:
        return recorded(inputs, state, ["digest"])

    def update(self, context: Context, identifier: str, old: Properties, new: Properties) -> Properties:
        return {"digest": identifier}

    def delete(self, context: Context, identifier: str, state: Properties) -> None:
        """Nothing: the builder's store is a cache, and other stacks build from it too."""
