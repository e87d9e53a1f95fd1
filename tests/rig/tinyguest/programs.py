"""Programs that make the tiny guest."""

import subprocess
from pathlib import Path


class Missing(Exception):
    """A program or package the tiny guest is made from is not there; the text names it."""


def run(*argv: str | Path, cwd: Path | None = None) -> str:
    done = subprocess.run([str(word) for word in argv], cwd=cwd, capture_output=True, text=True)
    if done.returncode:
        raise Missing(f"{argv[0]} failed: {done.stderr.strip()[-400:]}")
    return done.stdout
