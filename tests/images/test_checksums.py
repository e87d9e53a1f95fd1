"""Sums are read as the distributions write them, and computed once for a file of the user's own."""

import hashlib
import os
import threading
from pathlib import Path

import pytest

from provider.errors import Cancelled, UserError
from provider.images.checksums import Known, listed, parse, sha256_of
from tests.rig.web import Site, answers, serving

A, B = "0123456789abcdef" * 4, "f" * 64
QUIET = threading.Event()

NOTATIONS = [
    (f"{A}  debian.iso\n{B}  other.iso\n", {"debian.iso": A, "other.iso": B}),
    (f"{A} *ubuntu.img\n", {"ubuntu.img": A}),
    (f"{A.upper()}  ./folder/a b.iso\r\n", {"a b.iso": A}),
    (f"SHA256 (x.qcow2) = {A}\nSHA512 (x.qcow2) = {A}{B}\n", {"x.qcow2": A}),
    (f"-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\n{A}  x.iso\n", {"x.iso": A}),
    (f"{A}{B}  of-sha512.iso\n<html>\n\n", {}),
]


@pytest.mark.parametrize(("text", "sums"), NOTATIONS)
def test_notations(text: str, sums: dict[str, str]) -> None:
    assert parse(text) == sums


def test_a_file_of_sums_begins_in_the_project(tmp_path: Path) -> None:
    (tmp_path / "SHA256SUMS").write_text(f"{A}  x.iso\n")
    assert listed("SHA256SUMS", "x.iso", tmp_path) == A
    assert listed(str(tmp_path / "SHA256SUMS"), "x.iso", Path("/")) == A


def test_sums_at_an_address(tmp_path: Path) -> None:
    with serving(Site({"/SHA256SUMS": f"{A}  x.iso\n".encode()})) as site:
        assert listed(f"{site.address}/SHA256SUMS", "x.iso", tmp_path) == A


def failure(place: str, name: str, project: Path) -> str:
    with pytest.raises(UserError) as error:
        listed(place, name, project)
    return str(error.value)


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "SUMS").write_text(f"{A}  x.iso\n")
    (tmp_path / "MANY").write_text("".join(f"{A}  {number}.iso\n" for number in range(7)))
    (tmp_path / "NONE").write_text("hello\n")
    hint = "try the SHA256SUMS beside the file, or the file's 64 hex digits"
    assert failure("SUMS", "y.iso", tmp_path) == (
        f"base.sha256: SUMS does not name y.iso; it names x.iso; {hint}"
    )
    assert failure("MANY", "y.iso", tmp_path) == (
        "base.sha256: MANY does not name y.iso; "
        f"it names 0.iso, 1.iso, 2.iso, 3.iso, 4.iso and 2 more; {hint}"
    )
    assert failure("NONE", "y.iso", tmp_path) == (
        f"base.sha256: NONE does not name y.iso; it holds no SHA-256 sums; {hint}"
    )
    assert failure("GONE", "y.iso", tmp_path) == (
        f"base.sha256: {tmp_path}/GONE cannot be read: No such file or directory; "
        "try the path of a SHA256SUMS file, or 64 hex digits"
    )
    with serving(Site(troubles=[answers(404)])) as site:
        address = f"{site.address}/SHA256SUMS"
        assert failure(address, "y.iso", tmp_path) == (
            f"base.sha256: {address} cannot be read: the server answered 404 Not Found; "
            "check the address and the network, or give the 64 hex digits themselves"
        )


def test_a_sum_is_computed_again_only_when_size_or_time_changed(tmp_path: Path) -> None:
    """Proof: a change that keeps size and time is not seen, so nothing was read."""
    file, known = tmp_path / "x.iso", Known(tmp_path / "sums")
    file.write_bytes(b"abc")
    first = known.sum_of(file, print, QUIET)
    assert first == hashlib.sha256(b"abc").hexdigest()
    facts = file.stat()
    file.write_bytes(b"xyz")
    os.utime(file, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    assert Known(tmp_path / "sums").sum_of(file, print, QUIET) == first
    os.utime(file, ns=(5, 5))
    assert known.sum_of(file, print, QUIET) == hashlib.sha256(b"xyz").hexdigest()


def test_computing_can_be_interrupted(tmp_path: Path) -> None:
    file, cancelled = tmp_path / "x.iso", threading.Event()
    file.write_bytes(b"abc")
    cancelled.set()
    with pytest.raises(Cancelled, match=r"x\.iso: stopped computing its sum"):
        sha256_of(file, print, cancelled)
