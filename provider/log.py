"""The provider's own log: Pulumi shows nothing of what a plugin prints."""

import logging
import logging.handlers
from pathlib import Path

LIMIT = 1_000_000
"""Bytes of one log file; one older file is kept beside it."""


def file(project: Path) -> Path:
    return project / ".matrix" / "logs" / "provider.log"


def private_folder(folder: Path, project: Path) -> None:
    """Make a folder below `.matrix`, which only the user may enter."""
    root = project / ".matrix"
    root.mkdir(mode=0o700, exist_ok=True)
    folder.mkdir(parents=True, exist_ok=True)


def start(project: Path) -> Path:
    """Send the log records of the provider's modules, and nobody else's, to the file. Returns its path."""
    path = file(project)
    private_folder(path.parent, project)
    # Pulumi's file backend may have made it first, for everyone.
    (project / ".matrix").chmod(0o700)
    path.touch(mode=0o600)
    handler = logging.handlers.RotatingFileHandler(path, maxBytes=LIMIT, backupCount=1, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(process)d %(levelname)s %(message)s"))
    logger = logging.getLogger("provider")
    logger.handlers[:] = [handler]
    logger.setLevel(logging.INFO)
    logger.propagate = False
    return path
