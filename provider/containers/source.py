"""An application's source folder: what is wrong with it, and a digest of all that decides its image."""

import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from provider.containers import dockerfile, ignore, recipes

DOCKERFILE = "Dockerfile"
IGNORE_FILES = (".containerignore", ".dockerignore")


def failures(project: Path, source: str) -> list[str]:
    """Everything that makes the folder unfit to build from, as texts for the user; empty when it is fit."""
    folder = project / source
    if not folder.is_dir():
        return [f'source: got "{source}"; need a folder below {project}; it does not exist there']
    path = folder / DOCKERFILE
    if not path.is_file():
        return [f'source: got "{source}"; need a folder with a Dockerfile; add {source}/Dockerfile']
    return [
        f"source: {source}/Dockerfile builds on {image}; need a base image that exists; "
        f"try {', '.join(sorted(recipes.RECIPES))}"
        for image in dockerfile.base_images(path.read_text(errors="replace"))
        if image.startswith(recipes.PREFIX) and recipes.find(image) is None
    ]


def digest(folder: Path) -> str:
    """SHA-256 (hex) of the files' names, kinds, executable bits and contents, and of the local base images.

    Times and owners do not count: a fresh checkout has the same digest.
    """
    total = hashlib.sha256()
    for path in files(folder):
        mode = path.lstat().st_mode
        name = path.relative_to(folder).as_posix()
        if stat.S_ISLNK(mode):
            kind, content = "link", os.fsencode(path.readlink())
        elif stat.S_ISREG(mode):
            kind, content = "run" if mode & 0o100 else "file", path.read_bytes()
        else:
            continue  # sockets and pipes are no part of an image
        total.update(f"{kind} {name}\n{hashlib.sha256(content).hexdigest()}\n".encode())
    text = (folder / DOCKERFILE).read_text(errors="replace")
    for image in dockerfile.base_images(text):
        recipe = recipes.find(image)
        total.update(f"from {image} {recipes.digest(recipe) if recipe else ''}\n".encode())
    return total.hexdigest()


def files(folder: Path) -> Iterator[Path]:
    """The files that count, sorted; the Dockerfile does even when it is ignored."""
    patterns = ignore.parse(_ignore_text(folder))
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_dir() and not path.is_symlink():
            continue
        if name == DOCKERFILE or not ignore.ignored(name, patterns):
            yield path


def _ignore_text(folder: Path) -> str:
    present = (folder / name for name in IGNORE_FILES)
    return next((path.read_text() for path in present if path.is_file()), "")
