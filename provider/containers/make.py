"""An application's image from its source folder, an archive or a public registry: ready to be pushed."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from provider.containers import archive, bases, layers
from provider.containers.archive import Image
from provider.containers.builder import Builder
from provider.containers.source import DOCKERFILE
from provider.errors import Cancelled, UserError

NAMES = "localhost/matrix-application/"
_STEP = re.compile(r"^(?:\[\d+/\d+\] )?STEP (?P<step>\d+/\d+: \w+)")


def from_source(builder: Builder, folder: Path, repository: str, progress: Callable[[str], None]) -> Image:
    """Build the Dockerfile; base images it names are made first. UserError with the build's last lines."""
    with built(builder, folder, repository, progress) as name, bases.work_folder(builder.cache) as work:
        return _saved(builder, name, work, archive.timeless)


@contextmanager
def built(builder: Builder, folder: Path, name: str, progress: Callable[[str], None]) -> Iterator[str]:
    """The local name of the image just built; nobody builds another one of that name meanwhile."""
    text = (folder / DOCKERFILE).read_text()
    bases.ensure(builder, text, progress)
    progress("building")
    local = f"{NAMES}{name}:latest"

    def show(line: str) -> None:
        step = _STEP.match(line)
        if step:
            progress(f"building, step {step['step']}")

    with bases.work_folder(builder.cache) as work, builder.alone(f"application-{name.replace('/', '_')}"):
        exact = work / DOCKERFILE
        exact.write_text(bases.exact(text))
        before = builder.identity(local)
        builder.build(folder, exact, local, f"building {folder}", show)
        if before not in ("", builder.identity(local)):
            builder.remove(before)  # nothing but this name led to it; what is still needed of it stays
        yield local


def from_archive(builder_cache: Path, path: Path, cancelled: Callable[[], bool]) -> Image:
    """Needs no builder: an archive is read as it is."""
    return archive.read(path, builder_cache / "layers", _check(cancelled))


def from_registry(builder: Builder, reference: str, progress: Callable[[str], None]) -> Image:
    """UserError that names `archive` when the public registry cannot be reached from here."""
    progress(f"pulling {reference}")
    try:
        builder.pull(reference, f"pulling {reference}")
    except Cancelled:
        raise
    except UserError as error:
        raise UserError(
            f"image: {reference} cannot be pulled to this computer\n{error}\n"
            "check the name and the way out; where no registry can be reached, "
            "give a file made by `docker save` elsewhere as archive: instead"
        ) from error
    with bases.work_folder(builder.cache) as work:
        return _saved(builder, reference, work)


def _saved(
    builder: Builder, name: str, work: Path, rewrite: Callable[[bytes], bytes] = lambda config: config
) -> Image:
    file = work / "image.tar"
    builder.save(name, file)
    image = archive.read(file, builder.cache / "layers", _check(builder.cancelled.is_set), rewrite)
    layers.forget_unused(builder.cache / "layers")
    return image


def _check(cancelled: Callable[[], bool]) -> Callable[[], None]:
    def check() -> None:
        if cancelled():
            raise Cancelled("packing the image: interrupted")

    return check
