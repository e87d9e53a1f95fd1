"""Removing a folder that a build in a user namespace filled."""

import os
import shutil
import subprocess
import sys
from pathlib import Path


def remove(folder: Path) -> None:
    """Remove a folder as far as possible, also files that belong to the user's subordinate ids."""
    if sys.platform == "win32":  # what is read-only cannot be removed there
        for path in folder.rglob("*"):
            path.chmod(0o700)
    shutil.rmtree(folder, ignore_errors=True)
    if folder.exists() and sys.platform != "win32" and os.geteuid() != 0 and shutil.which("unshare"):
        argv = ["unshare", "--user", "--map-root-user", "--map-auto", "rm", "-rf", "--", str(folder)]
        subprocess.run(argv, capture_output=True, check=False)
