"""Arguments of buildah for a private image store. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from provider.commands.unshare import OWN_MOUNTS

EPOCH = 0
"""The time of everything in an image: the same source gives the same image on any day."""


@dataclass(frozen=True)
class Store:
    """Images that only this project uses. `root` keeps them, `run` is forgotten when the machine restarts.

    With `own_mounts` no command's mounts are seen by others, so they end with it, also when it is killed.
    """

    root: Path
    run: Path
    driver: str
    own_mounts: bool = False


def command(store: Store, *arguments: str) -> list[str]:
    where = ["--root", str(store.root), "--runroot", str(store.run), "--storage-driver", store.driver]
    return [*(OWN_MOUNTS if store.own_mounts else ()), "buildah", *where, *arguments]


def build(store: Store, context: Path, dockerfile: Path, name: str) -> list[str]:
    """Build without a container runtime: the steps run in a chroot, which needs no daemon and no setup."""
    options = ["--isolation", "chroot", "--format", "docker", "--layers", "--timestamp", str(EPOCH)]
    # Bases that are here already are not looked for elsewhere: their names lead to no registry.
    return command(
        store, "bud", *options, "--pull=false", "--file", str(dockerfile), "--tag", name, str(context)
    )


def identity(store: Store, name: str) -> list[str]:
    """Prints the image's id; fails when there is none."""
    return command(store, "inspect", "--type", "image", "--format", "{{.FromImageID}}", name)


def pull(store: Store, reference: str) -> list[str]:
    return command(store, "pull", "--policy", "always", reference)


def save(store: Store, name: str, archive: Path) -> list[str]:
    return command(store, "push", "--quiet", name, f"docker-archive:{archive}")


def remove(store: Store, names: Sequence[str]) -> list[str]:
    return command(store, "rmi", *names)


def working(store: Store) -> list[str]:
    """Prints the ids of the containers in which builds work, or did when they were killed."""
    return command(store, "containers", "--all", "--quiet")


def discard(store: Store, containers: Sequence[str]) -> list[str]:
    return command(store, "rm", *containers)


def info(store: Store) -> list[str]:
    """Succeeds when the store's driver works here."""
    return command(store, "info")
