"""Packages of one Debian release, fetched from this machine's own mirror and checked by its signature."""

import hashlib
import lzma
import re
import shutil
import subprocess
import time
import urllib.error
import urllib.request
import warnings
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from provider.errors import UserError
from provider.mirrors import machine_mirror

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
TIMEOUT = 60
PAUSES = (0, 1, 2, 4)
"""Seconds before each try: hundreds of small files, and names are not always resolved at once."""
_NAME = re.compile(r"^[^\s:(]+")


class Missing(Exception):
    """What the image is made from is not there; the text names it."""


class Archive:
    """`debs` and `udebs` are the release's packages by name, each as its fields. Files go to `scratch`."""

    def __init__(self, release: str, scratch: Path) -> None:
        self.scratch = scratch
        try:
            self.uri = machine_mirror().main
        except UserError as error:
            raise Missing(str(error)) from error
        self.codename = release
        self.release = self._release(release)
        self.debs = self._packages("main/binary-amd64")
        self.udebs = self._packages("main/debian-installer/binary-amd64", strict=False)

    def fetch(self, packages: Iterable[Mapping[str, str]], folder: Path) -> list[Path]:
        """The packages' files, in the order given. Missing when the mirror lacks one or it is damaged."""
        folder.mkdir(parents=True, exist_ok=True)
        with ThreadPoolExecutor(4) as pool:
            return list(pool.map(lambda package: self._file(package, folder), packages))

    def _file(self, package: Mapping[str, str], folder: Path) -> Path:
        path = folder / package["Filename"].rpartition("/")[2]
        content = self._get(package["Filename"])
        if hashlib.sha256(content).hexdigest() != package["SHA256"]:
            raise Missing(f"{package['Filename']} of the mirror is not what its index says")
        path.write_bytes(content)
        return path

    def _release(self, release: str) -> str:
        signed = self._get(f"dists/{release}/InRelease")
        if shutil.which("gpgv"):
            done = subprocess.run(["gpgv", "--keyring", KEYRING], input=signed, capture_output=True)
            if done.returncode:
                raise Missing(f"dists/{release}/InRelease: {done.stderr.decode().strip()[-300:]}")
        return signed.decode()

    def _packages(self, part: str, *, strict: bool = True) -> dict[str, dict[str, str]]:
        """Not `strict`: one that its Release file does not name is taken too, with a warning. Caching mirrors
        keep an installer's index of the point release before; what it lists runs in test machines only."""
        name = f"{part}/Packages.xz"
        packed = self._get(f"dists/{self.codename}/{name}")
        if f" {hashlib.sha256(packed).hexdigest()} " not in self.release:
            problem = f"{name} of the mirror is not what its Release file says"
            if strict:
                raise Missing(problem)
            warnings.warn(f"{problem}; taken as it is", stacklevel=2)
        stanzas = (fields(stanza) for stanza in lzma.decompress(packed).decode().split("\n\n"))
        return {stanza["Package"]: stanza for stanza in stanzas if stanza}

    def _get(self, path: str) -> bytes:
        problem: OSError | None = None
        for pause in PAUSES:
            time.sleep(pause)
            try:
                with urllib.request.urlopen(f"{self.uri}/{path}", timeout=TIMEOUT) as answer:
                    content: bytes = answer.read()
                    return content
            except urllib.error.HTTPError as error:
                raise Missing(f"{path} cannot be had from the mirror: {error}") from error
            except OSError as error:
                problem = error
        raise Missing(f"{path} cannot be had from the mirror: {problem}")


def fields(stanza: str) -> dict[str, str]:
    """The fields of one stanza; only the first line of each."""
    return dict(re.findall(r"^([\w-]+): (.*)$", stanza, re.MULTILINE))


def alternatives(package: Mapping[str, str], *relations: str) -> list[list[str]]:
    """What a package depends on: for each dependency the names of which any one will do."""
    listed = [part for relation in relations for part in package.get(relation, "").split(",")]
    groups = [[_NAME.findall(word.strip()) for word in part.split("|")] for part in listed if part.strip()]
    return [[name for names in group for name in names] for group in groups]


def closure(
    roots: Iterable[str],
    index: Mapping[str, Mapping[str, str]],
    there: Iterable[str] = (),
    relations: tuple[str, ...] = ("Depends", "Pre-Depends"),
) -> list[str]:
    """`roots` and all they need of `index`, without what is `there` already; sorted."""
    providers: dict[str, list[str]] = {}
    for name, package in index.items():
        for word in package.get("Provides", "").split(","):
            providers.setdefault(word.strip().partition(" ")[0], []).append(name)
    have, found, todo = set(there), set[str](), list(reversed(list(roots)))
    while todo:
        name = todo.pop()
        choices = [name] if name in index else providers.get(name, [])
        if name in have or found.intersection(choices) or not choices:
            continue
        found.add(choices[0])
        for group in alternatives(index[choices[0]], *relations):
            if group and not have.union(found).intersection(group):
                todo.append(group[0])
    return sorted(found)
