"""After a destroy: the stack's folder goes, and what is still there is told."""

import os
import shutil
from pathlib import Path

import psutil

from cli.errors import CliError
from config.host import works_in


def remove_and_verify(folder: Path) -> None:
    """Removes a stack's folder. Raises CliError when a process still works in it, or it cannot go."""
    users = processes(folder)
    if users:
        lines = [f"  pid {process.pid} ({process.name()})" for process in users]
        raise CliError("\n".join([f"processes still use {folder}; end them and destroy again:", *lines]))
    try:
        if folder.exists():
            shutil.rmtree(folder)
    except OSError as error:
        raise CliError(f"{error.filename} cannot be removed: {error.strerror}; remove it by hand") from None


def processes(folder: Path) -> list[psutil.Process]:
    """Processes at work in the folder, without us and those that started us."""
    ours = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    return [
        process
        for process in psutil.process_iter(["status"])
        if process.pid not in ours
        and process.info["status"] != psutil.STATUS_ZOMBIE
        and works_in(process, folder)
    ]
