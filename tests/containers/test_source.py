"""A source folder: its mistakes, and the digest that makes a changed file a change at preview."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from provider.containers import recipes, source


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


FILES = {
    "Dockerfile": "FROM scratch\nCOPY . /\n",
    "Main.java": "class Main {}",
    "sub/a": "a",
    ".dockerignore": "*.md\n",
}

CHANGES: dict[str, tuple[Callable[[Path], object], bool]] = {
    "a file's content": (lambda folder: (folder / "Main.java").write_text("class Other {}"), True),
    "a file more": (lambda folder: (folder / "sub/b").write_text(""), True),
    "a file less": (lambda folder: (folder / "sub/a").unlink(), True),
    "a file's name": (lambda folder: (folder / "sub/a").rename(folder / "sub/c"), True),
    "made executable": (lambda folder: (folder / "sub/a").chmod(0o755), True),
    "a link in place of a file": (
        lambda folder: ((folder / "sub/a").unlink(), (folder / "sub/a").symlink_to("x")),
        True,
    ),
    "the Dockerfile": (lambda folder: (folder / "Dockerfile").write_text("FROM scratch\n"), True),
    "a file's time": (lambda folder: os.utime(folder / "sub/a", (1, 1)), False),
    "an ignored file": (lambda folder: (folder / "README.md").write_text("x"), False),
    "nothing": (lambda folder: None, False),
}


@pytest.mark.parametrize(("change", "counts"), CHANGES.values(), ids=CHANGES)
def test_digest_changes_with_what_decides_the_image(
    tmp_path: Path, change: Callable[[Path], object], counts: bool
) -> None:
    folder = write(tmp_path, FILES)
    before = source.digest(folder)
    change(folder)
    assert (source.digest(folder) != before) is counts


def test_the_dockerfile_counts_even_when_it_is_ignored(tmp_path: Path) -> None:
    folder = write(tmp_path, {**FILES, ".dockerignore": "*\n"})
    before = source.digest(folder)
    write(folder, {"Dockerfile": "FROM scratch\n"})
    assert source.digest(folder) != before


def test_a_changed_base_image_changes_the_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write(tmp_path, {"Dockerfile": "FROM localhost/matrix/static\n"})
    before = source.digest(folder)
    monkeypatch.setattr(recipes, "RELEASE", "forky")
    assert source.digest(folder) != before


MISTAKES: dict[str, tuple[dict[str, str], str, str]] = {
    "no folder": (
        {},
        "apps/shop",
        'source: got "apps/shop"; need a folder below {0}; it does not exist there',
    ),
    "no Dockerfile": (
        {"apps/shop/Main.java": ""},
        "apps/shop",
        'source: got "apps/shop"; need a folder with a Dockerfile; add apps/shop/Dockerfile',
    ),
    "unknown base": (
        {"s/Dockerfile": "FROM localhost/matrix/jaav\n"},
        "s",
        "source: s/Dockerfile builds on localhost/matrix/jaav; need a base image that exists; try "
        "localhost/matrix/base, localhost/matrix/java, localhost/matrix/java-build, "
        "localhost/matrix/shell, localhost/matrix/static",
    ),
}


@pytest.mark.parametrize(("files", "name", "expected"), MISTAKES.values(), ids=MISTAKES)
def test_mistakes(tmp_path: Path, files: dict[str, str], name: str, expected: str) -> None:
    write(tmp_path, files)
    assert source.failures(tmp_path, name) == [expected.format(tmp_path)]


def test_every_unknown_base_is_named(tmp_path: Path) -> None:
    write(tmp_path, {"s/Dockerfile": "FROM localhost/matrix/a AS x\nFROM localhost/matrix/b\n"})
    assert len(source.failures(tmp_path, "s")) == 2


@pytest.mark.parametrize("name", ["simplewebapp1", "simplewebapp2"])
def test_the_samples_are_fit_to_build(name: str) -> None:
    project = Path(__file__).parents[2]
    assert source.failures(project, f"apps/{name}") == []
