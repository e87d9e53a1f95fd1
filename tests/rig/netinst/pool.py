"""The packages on the CD, in the layout that the installer and apt read: /pool and /dists."""

import gzip
import hashlib
import re
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

SUMS = {"MD5Sum": hashlib.md5, "SHA256": hashlib.sha256}


def add(root: Path, debs: Iterable[Path], udebs: Iterable[Path], codename: str, release: str) -> None:
    """Put the packages under `root`. `release` is the mirror's Release file, whose words on itself stay."""
    suite = root / "dists" / codename
    for part, files in (("binary-amd64", debs), ("debian-installer/binary-amd64", udebs)):
        stanzas = [_stanza(root, file) for file in sorted(files)]
        folder = suite / "main" / part
        folder.mkdir(parents=True)
        packages = "".join(f"{stanza}\n\n" for stanza in stanzas).encode()
        (folder / "Packages.gz").write_bytes(gzip.compress(packages, 6, mtime=0))
        # apt and debootstrap compare the sum of what they have unpacked too.
        (folder / "Packages").write_bytes(packages)
    (suite / "Release").write_text(_release(suite, release))
    for folder in suite.glob("main/**/binary-amd64"):
        (folder / "Packages").unlink()
    (root / "dists/stable").symlink_to(codename)


def _stanza(root: Path, file: Path) -> str:
    control = subprocess.run(["dpkg-deb", "-f", file], capture_output=True, text=True, check=True).stdout
    words: dict[str, str] = dict(re.findall(r"^(Package|Source): (\S+)", control, re.MULTILINE))
    source = words.get("Source", words["Package"])
    initial = source[:4] if source.startswith("lib") else source[0]
    path = Path("pool/main") / initial / source / file.name
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(file, root / path)
    content = file.read_bytes()
    return (
        f"{control.strip()}\nFilename: {path}\nSize: {len(content)}\n"
        f"MD5sum: {hashlib.md5(content).hexdigest()}\nSHA256: {hashlib.sha256(content).hexdigest()}"
    )


def _release(suite: Path, mirror: str) -> str:
    kept = re.findall(r"^(?:Origin|Label|Suite|Version|Codename|Date): .*$", mirror, re.MULTILINE)
    lines = [*kept, "Architectures: amd64", "Components: main", "Description: Debian, a CD"]
    for title, algorithm in SUMS.items():
        lines.append(f"{title}:")
        for path in sorted(path for path in suite.rglob("Packages*") if path.is_file()):
            content = path.read_bytes()
            lines.append(f" {algorithm(content).hexdigest()} {len(content)} {path.relative_to(suite)}")
    return "\n".join(lines) + "\n"
