"""The installer's initrd for a CD, made of the one for network boot: it finds its packages on a CD, not on a
mirror, and leaves the network to what it loads from there."""

import gzip
import io
import re
import stat
import subprocess
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from tests.rig.netinst import cpio
from tests.rig.netinst.archive import fields

ADDED = ("cdrom-detect", "cdrom-retriever", "load-cdrom")
REMOVED = (
    *("netcfg", "ethdetect", "net-retriever", "download-installer", "choose-mirror", "choose-mirror-bin"),
)
DRIVERS = ("ata", "sata", "pata", "scsi", "cdrom-core", "isofs", "loop")
"""Kernel packages whose drivers this initrd has; those of network cards it has not."""
STATUS = "var/lib/dpkg/status"
_MERGED = re.compile(r"^(bin|sbin|lib|lib64)(?=/)")


def unpacked(initrd: Path) -> list[cpio.Entry]:
    return list(cpio.read(gzip.decompress(initrd.read_bytes())))


def installed(entries: Iterable[cpio.Entry]) -> dict[str, dict[str, str]]:
    """The packages in an initrd, by name."""
    text = next(entry.content for entry in entries if _name(entry) == STATUS).decode()
    return {each["Package"]: each for each in map(fields, text.split("\n\n")) if each}


def for_cdrom(
    netboot: list[cpio.Entry],
    removed: Iterable[Path],
    added: Iterable[Path],
    drivers: Mapping[str, bytes],
    kernel: Iterable[Mapping[str, str]],
) -> bytes:
    """`removed` and `added` are udeb files, `drivers` files by path, `kernel` the packages they count as."""
    gone = {name for udeb in removed for name in _files(udeb)}
    entries = [entry for entry in netboot if _keeps(_name(entry), gone)]
    status = next(entry.content for entry in netboot if _name(entry) == STATUS).decode()
    stanzas = [stanza for stanza in status.strip().split("\n\n") if not _leaves(fields(stanza)["Package"])]
    for udeb in added:
        name = fields(_control(udeb))["Package"]
        stanzas.append(_control(udeb).strip().replace("\n", "\nStatus: install ok unpacked\n", 1))
        entries += _unpacked(udeb, name)
    for package in kernel:
        stanzas.append(
            "Package: {Package}\nStatus: install ok unpacked\nVersion: {Version}\n"
            "Provides: {Provides}\nDescription: drivers".format(**package)
        )
    entries += [cpio.file(path, content) for path, content in drivers.items()]
    names = {_name(entry) for entry in entries}
    entries += _folders(names, names)
    entries = [entry for entry in entries if _name(entry) not in (STATUS, "etc/lsb-release")]
    entries.append(cpio.file(STATUS, "".join(f"{stanza}\n\n" for stanza in stanzas).encode()))
    entries.append(_medium(netboot))
    entries.sort(key=lambda entry: _name(entry).count("/") if stat.S_ISDIR(entry.mode) else 99)
    return gzip.compress(cpio.write(entries), 6, mtime=0)


def _name(entry: cpio.Entry) -> str:
    return entry.name.removeprefix("./")


def _keeps(name: str, gone: set[str]) -> bool:
    if name.startswith("usr/lib/modules/") or name in gone:
        return False
    match = re.fullmatch(r"var/lib/dpkg/info/(.+)\.[a-z]+", name)
    return not (match and _leaves(match[1]))


def _leaves(package: str) -> bool:
    return package in REMOVED or package.startswith("nic-")


def _medium(netboot: Iterable[cpio.Entry]) -> cpio.Entry:
    there = next(entry.content for entry in netboot if _name(entry) == "etc/lsb-release")
    return cpio.file("etc/lsb-release", there.replace(b"MEDIUM=netboot", b"MEDIUM=cdrom"))


def _folders(paths: Iterable[str], there: set[str]) -> Iterator[cpio.Entry]:
    needed = {str(parent) for path in paths for parent in Path(path).parents} - there - {"."}
    for name in needed:
        yield cpio.file(name, b"", 0o755, stat.S_IFDIR)


def _control(udeb: Path) -> str:
    return subprocess.run(["dpkg-deb", "-f", udeb], capture_output=True, text=True, check=True).stdout


def _tree(udeb: Path, option: str) -> Iterator[tuple[str, tarfile.TarInfo, bytes]]:
    """Path in a merged /usr, header and content of each file (--fsys-tarfile) or script (--ctrl-tarfile)."""
    unpacked = subprocess.run(["dpkg-deb", option, udeb], capture_output=True, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(unpacked)) as tar:
        for member in tar:
            content = tar.extractfile(member) if member.isfile() else None
            yield (
                _MERGED.sub(r"usr/\1", member.name.removeprefix("./")),
                member,
                content.read() if content else b"",
            )


def _files(udeb: Path) -> Iterator[str]:
    return (path for path, member, _ in _tree(udeb, "--fsys-tarfile") if not member.isdir())


def _unpacked(udeb: Path, package: str) -> Iterator[cpio.Entry]:
    for path, member, content in _tree(udeb, "--fsys-tarfile"):
        if member.issym():
            yield cpio.file(path, member.linkname.encode(), 0o777, stat.S_IFLNK)
        elif member.isfile():
            yield cpio.file(path, content, member.mode & 0o777)
    for path, member, content in _tree(udeb, "--ctrl-tarfile"):
        if member.isfile() and path not in ("control", "md5sums"):
            yield cpio.file(f"var/lib/dpkg/info/{package}.{path}", content, member.mode & 0o777)
