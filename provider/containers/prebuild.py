"""Build where there is no cloud to push to, for one that has no way to the sources.

`python -m provider.containers.prebuild --save FILE FOLDER` writes a source folder's image as an archive.
"""

import argparse
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from provider.containers import builder, make, source
from provider.errors import UserError


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
    parser.add_argument("folder", type=Path)
    parser.add_argument("--save", type=Path, metavar="FILE", required=True)
    given = parser.parse_args(arguments)
    try:
        save(given.folder, given.save, threading.Event(), _show)
    except UserError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
