"""Image building for tests: one real store for the whole run, and a tiny base image in place of Debian's."""

import shutil
import threading
from pathlib import Path

import platformdirs

from provider.containers import builder
from provider.containers.builder import Builder
from tests.rig.programs import needs

CACHE = platformdirs.user_cache_path("cloudmatrix") / "tests" / "containers"


def a_builder() -> Builder:
    """A builder whose store is not the user's: layers stay in it, so that the next run is quick."""
    needs("buildah")
    return builder.open_builder(threading.Event(), CACHE)


def busybox() -> Path:
    """A static program with a shell, an HTTP server and more."""
    needs("busybox")
    return Path(shutil.which("busybox") or "")


def write_source(folder: Path, text: str = "hello", *, command: str = '["/bin/busybox", "true"]') -> Path:
    """A source folder whose image holds busybox and a page, and needs no base image."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(busybox(), folder / "busybox")
    (folder / "page.txt").write_text(text + "\n")
    (folder / "Dockerfile").write_text(
        "FROM scratch\n"
        "COPY busybox /bin/busybox\n"
        "COPY page.txt /www/index.html\n"
        'RUN ["/bin/busybox", "ln", "-s", "busybox", "/bin/sh"]\n'
        "USER 10001\n"
        f"CMD {command}\n"
    )
    return folder
