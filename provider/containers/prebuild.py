"""Build before there is a cloud to push to: what is built here, the images' resources find made.

`python -m provider.containers.prebuild FOLDER...` builds source folders while the machines boot.
`python -m provider.containers.prebuild --save FILE FOLDER` writes one as an archive instead.
"""

import argparse
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from provider.containers import builder, make, source
from provider.errors import UserError


def prebuild(folders: Sequence[Path], cancelled: threading.Event, progress: Callable[[str], None]) -> None:
    """Make the base images that these source folders need, and build them, in order.

    Raises UserError for the first that fails. A later build of the same folder takes about a second.
    """
    tool = builder.open_builder(cancelled)
    for folder in map(_fit, folders):
        make.from_source(tool, folder, folder.name, progress)


def save(folder: Path, file: Path, cancelled: threading.Event, progress: Callable[[str], None]) -> None:
    """Build a source folder and write the image as a docker-archive, as `docker save` does."""
    tool = builder.open_builder(cancelled)
    with make.built(tool, _fit(folder), folder.resolve().name, progress) as name:
        file.unlink(missing_ok=True)
        tool.save(name, file)


def _fit(folder: Path) -> Path:
    resolved = folder.resolve()
    failures = source.failures(resolved.parent, resolved.name)
    if failures:
        raise UserError("\n".join(failures))
    return resolved


def _show(text: str) -> None:
    print(text, flush=True)  # noqa: T201


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="provider.containers.prebuild", description=__doc__)
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--save", type=Path, metavar="FILE")
    given = parser.parse_args(arguments)
    if given.save is not None and len(given.folders) != 1:
        parser.error("--save takes one folder")
    try:
        if given.save is not None:
            save(given.folders[0], given.save, threading.Event(), _show)
        else:
            prebuild(given.folders, threading.Event(), _show)
    except UserError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
