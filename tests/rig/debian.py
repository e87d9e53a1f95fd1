"""Files of Debian packages that are not installed here, unpacked beside."""

import atexit
import functools
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest


@functools.cache
def unpacked(*packages: str) -> Path:
    """One tree of all the packages, from this computer's own apt sources; skips the test without them."""
    folder = Path(tempfile.mkdtemp(prefix="cloudmatrix-debian-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    # apt-get drops its privileges to a user who could not write into a folder of ours.
    fetch = ["apt-get", "-o", "APT::Sandbox::User=root", "download", *packages]
    fetched = subprocess.run(fetch, cwd=folder, capture_output=True, text=True, timeout=120)
    if fetched.returncode != 0:
        pytest.skip(f"{', '.join(packages)}: {fetched.stderr.strip().splitlines()[-1]}")
    for package in folder.glob("*.deb"):
        subprocess.run(["dpkg-deb", "-x", package, folder / "tree"], check=True)
    return folder / "tree"
