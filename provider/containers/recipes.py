"""Base container images that need no registry: made from Debian packages, or from another of them. Pure."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from provider.containers import dockerfile

RELEASE = "trixie"
PREFIX = "localhost/matrix/"
_FILES = Path(__file__).parent / "recipe"


@dataclass(frozen=True)
class Recipe:
    """Either `packages` of the Debian release, unpacked (`variant` is mmdebstrap's) and then given to `hook`,
    a shell script whose first argument is the tree; or a Dockerfile that builds on other base images."""

    name: str
    purpose: str
    packages: tuple[str, ...] = ()
    variant: str = "extract"
    hook: str = ""
    dockerfile: str = ""


def _text(name: str) -> str:
    return (_FILES / name).read_text()


_ALL = (
    Recipe(
        "static",
        "a program that needs no library: certificates of public authorities, users root and app, /tmp",
        packages=("ca-certificates",),
        hook=_text("static.sh"),
    ),
    Recipe(
        "base",
        "a program in C or C++ or a Java runtime: static plus libc, libstdc++, libgcc and zlib",
        packages=("ca-certificates", "libc6", "libgcc-s1", "libstdc++6", "zlib1g"),
        hook=_text("libraries.sh") + _text("static.sh"),
    ),
    Recipe(
        "shell",
        "a shell script: static plus busybox, a small shell with its tools",
        packages=("ca-certificates", "busybox-static"),
        hook=_text("shell.sh") + _text("static.sh"),
    ),
    Recipe(
        "java-build",
        "a build stage: JDK 21 with javac, jar and jlink on a small Debian",
        packages=("openjdk-21-jdk-headless", "binutils", "ca-certificates"),
        variant="minbase",
        hook=_text("java-build.sh"),
    ),
    Recipe(
        "java",
        "a small Java 21 program: base plus java.base, java.logging and jdk.httpserver, started quickly",
        dockerfile=_text("java.Dockerfile"),
    ),
)
RECIPES: Mapping[str, Recipe] = {PREFIX + recipe.name: recipe for recipe in _ALL}


def find(image: str) -> Recipe | None:
    """The recipe that a Dockerfile's FROM names, with or without `:latest`."""
    return RECIPES.get(image.removesuffix(":latest"))


def digest(recipe: Recipe) -> str:
    """SHA-256 (hex) of all that decides the image apart from the mirror's packages of the day."""
    total = hashlib.sha256()
    parts = (RELEASE, recipe.name, recipe.variant, " ".join(recipe.packages), recipe.hook, recipe.dockerfile)
    for part in parts:
        total.update(hashlib.sha256(part.encode()).digest())
    for needed in needs(recipe):
        total.update(digest(needed).encode())
    return total.hexdigest()


def needs(recipe: Recipe) -> list[Recipe]:
    """The base images that this one is built on."""
    found = (find(image) for image in dockerfile.base_images(recipe.dockerfile))
    return [recipe for recipe in found if recipe is not None]


def exact_name(recipe: Recipe) -> str:
    """The name under which the made image is kept: two versions of a recipe live side by side."""
    return f"{PREFIX}{recipe.name}:{digest(recipe)[:16]}"
