"""Arguments of the docker client as an image builder, where neither buildah nor podman is there. Pure.

Its daemon keeps the images, so their names are all that sets ours apart from the user's.
"""

from collections.abc import Sequence
from pathlib import Path

from provider.commands.buildah import Store


def build(_: Store, context: Path, dockerfile: Path, name: str) -> list[str]:
    return ["docker", "build", "--file", str(dockerfile), "--tag", name, str(context)]


def identity(_: Store, name: str) -> list[str]:
    return ["docker", "image", "inspect", "--format", "{{.Id}}", name]


def pull(_: Store, reference: str) -> list[str]:
    return ["docker", "pull", reference]


def save(_: Store, name: str, archive: Path) -> list[str]:
    return ["docker", "save", "--output", str(archive), name]


def remove(_: Store, names: Sequence[str]) -> list[str]:
    return ["docker", "image", "rm", *names]


def working(_: Store) -> list[str]:
    """Nothing to ask: its daemon clears up after a client that is gone, and its containers are not ours."""
    return []


def discard(_: Store, containers: Sequence[str]) -> list[str]:
    return ["docker", "rm", *containers]


def info(_: Store) -> list[str]:
    return ["docker", "info", "--format", "{{.ServerVersion}}"]
