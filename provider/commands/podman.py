"""Arguments of podman as an image builder, where it is there and buildah is not. Pure."""

from collections.abc import Sequence
from pathlib import Path

from provider.commands.buildah import EPOCH, Store


def command(store: Store, *arguments: str) -> list[str]:
    where = ["--root", str(store.root), "--runroot", str(store.run), "--storage-driver", store.driver]
    return ["podman", *where, *arguments]


def build(store: Store, context: Path, dockerfile: Path, name: str) -> list[str]:
    options = ["--isolation", "chroot", "--format", "docker", "--layers", "--timestamp", str(EPOCH)]
    return command(
        store, "build", *options, "--pull=missing", "--file", str(dockerfile), "--tag", name, str(context)
    )


def identity(store: Store, name: str) -> list[str]:
    return command(store, "image", "inspect", "--format", "{{.Id}}", name)


def pull(store: Store, reference: str) -> list[str]:
    return command(store, "pull", "--policy", "always", reference)


def save(store: Store, name: str, archive: Path) -> list[str]:
    return command(store, "save", "--quiet", "--format", "docker-archive", "--output", str(archive), name)


def remove(store: Store, names: Sequence[str]) -> list[str]:
    return command(store, "rmi", *names)


def working(store: Store) -> list[str]:
    return command(store, "ps", "--all", "--external", "--quiet")


def discard(store: Store, containers: Sequence[str]) -> list[str]:
    return command(store, "rm", "--force", *containers)


def info(store: Store) -> list[str]:
    return command(store, "info")
