"""Base container images, made when a Dockerfile first names them and kept in the private store."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from provider import mirrors
from provider.commands import mmdebstrap
from provider.containers import dockerfile, process, recipes
from provider.containers.builder import Builder
from provider.containers.recipes import Recipe
from provider.errors import UserError


def exact(text: str) -> str:
    """A Dockerfile that names each local base image by its content."""

    def rename(image: str) -> str:
        recipe = recipes.find(image)
        return recipes.exact_name(recipe) if recipe else image

    return dockerfile.rewrite(text, rename)


def ensure(builder: Builder, text: str, progress: Callable[[str], None]) -> None:
    """Make every local base image that the Dockerfile `text` needs and that is not in the store yet."""
    for image in dockerfile.base_images(text):
        recipe = recipes.find(image)
        if recipe is not None:
            ensure_one(builder, recipe, progress)


def ensure_one(builder: Builder, recipe: Recipe, progress: Callable[[str], None]) -> None:
    name = recipes.exact_name(recipe)
    if builder.identity(name):
        return
    ensure(builder, recipe.dockerfile, progress)
    with builder.alone(f"base-{recipe.name}"):
        if builder.identity(name):
            return
        progress(f"making base image {recipe.name}")
        with work_folder(builder.cache) as folder:
            if recipe.dockerfile:
                (folder / "Dockerfile").write_text(exact(recipe.dockerfile))
            else:
                _unpack(builder, recipe, folder)
            context = folder / "context"
            context.mkdir(exist_ok=True)
            builder.build(context, folder / "Dockerfile", name, f"base image {recipe.name}")


def _unpack(builder: Builder, recipe: Recipe, folder: Path) -> None:
    """A tar of the recipe's packages and a Dockerfile that makes it an image."""
    if shutil.which(mmdebstrap.PROGRAM) is None:
        raise UserError(
            f"base image {recipe.name}: made by mmdebstrap, which is not installed; "
            "try: apt-get install mmdebstrap"
        )
    hook = folder / "hook"
    hook.write_text("#!/bin/sh\n" + recipe.hook)
    hook.chmod(0o755)
    context = folder / "context"
    context.mkdir()
    mirror = mirrors.machine_mirror()
    lines = mmdebstrap.sources(mirror.main, mirror.updates, mirror.security, recipes.RELEASE)
    argv = mmdebstrap.tree(
        recipes.RELEASE, recipe.packages, recipe.variant, hook, context / "tree.tar", lines
    )
    process.run(
        argv,
        what=f"base image {recipe.name} from Debian packages",
        cancelled=builder.cancelled,
        env={"SOURCE_DATE_EPOCH": "0", "TMPDIR": str(folder)},
    )
    (folder / "Dockerfile").write_text("FROM scratch\nADD tree.tar /\n")


@contextmanager
def work_folder(cache: Path) -> Iterator[Path]:
    """A folder beside the store, not in /tmp: trees are larger than a small tmpfs."""
    parent = cache / "work"
    parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=parent, prefix=f"{os.getpid()}-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # mmdebstrap's own users must get in
        yield folder
