"""./matrix cache: what it shows and asks; what may go is decided in tests/images/test_stock.py."""

import threading
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from cli.__main__ import main
from cli.cache import age, size
from cli.session import Session
from provider.images import recipe
from provider.images.cache import Cache
from provider.images.usage import Usage


@pytest.fixture
def matrix(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "200")
    (tmp_path / "project").mkdir()

    def run(*words, **options):
        session = Session(tmp_path / "project")
        return CliRunner().invoke(main, ("cache", *words), obj=session, prog_name="./matrix", **options)

    return run


@pytest.fixture
def images(tmp_path):
    """One image that the stack dev of the project uses, and one that none does."""
    root = tmp_path / "cache/cloudmatrix/images"
    (tmp_path / "project/.matrix/dev").mkdir(parents=True)

    def fill(folder: Path, lock: int) -> None:
        (folder / recipe.DISK).write_bytes(bytes(1 << 20))

    made = [
        Cache(root).ensure(
            {"from": "packages", "release": release, "recipe": recipe.digest()},
            8,
            fill,
            print,
            threading.Event(),
        )
        for release in ("trixie", "forky")
    ]
    Usage(root).add(made[0].identifier, tmp_path / "project", "dev")
    return made


def rows(output):
    return [line.split() for line in output.splitlines()]


def test_an_empty_cache(matrix):
    assert matrix().output == "The cache is empty.\n"
    assert matrix("prune").output == "Nothing to remove: all that is there is in use.\n"


def test_what_is_there_its_size_and_who_uses_it(matrix, images, tmp_path):
    used, unused = images
    lines = rows(matrix().output)
    first, second = sorted(images, key=lambda image: image.identifier)
    releases = {used.identifier: "trixie", unused.identifier: "forky"}
    whose = {used.identifier: ["dev", "in", str(tmp_path / "project")], unused.identifier: ["nothing"]}
    assert [" ".join(line) for line in lines] == [
        "what name made from size age used by",
        *(
            f"image {image.identifier[:12]} packages {releases[image.identifier]} 1.1 MB now "
            + " ".join(whose[image.identifier])
            for image in (first, second)
        ),
        "2.1 MB in all; ./matrix cache prune removes 1.1 MB that no stack uses.",
    ]


def test_a_dry_run_removes_nothing(matrix, images):
    assert matrix("prune", "--dry-run").output.splitlines()[-1] == "1.1 MB would be removed."
    assert all(image.disk.is_file() for image in images)


def test_prune_asks_first(matrix, images):
    refused = matrix("prune")
    assert refused.exit_code == 1
    assert "error: pruning the cache needs --yes where nobody can be asked\n" in refused.output
    assert all(image.disk.is_file() for image in images)


def test_prune_removes_what_no_stack_uses(matrix, images):
    done = matrix("prune", "--yes")
    assert done.exit_code == 0, done.output
    assert done.output.splitlines()[-1] == "Removed 1.1 MB."
    assert [image.disk.is_file() for image in images] == [True, False]
    assert matrix().output.splitlines()[-1] == "1.1 MB in all; all of it is in use."


def test_a_cache_that_cannot_be_read_is_one_message(matrix, tmp_path):
    (tmp_path / "cache").write_text("a file")
    result = matrix()
    assert result.output == "The cache is empty.\n"
    (tmp_path / "cache").unlink()
    (tmp_path / "cache/cloudmatrix/downloads/00").mkdir(parents=True)
    (tmp_path / "cache/cloudmatrix/downloads/.lock-00").mkdir()
    result = matrix()
    assert result.exit_code == 1
    assert result.output.startswith("error: the cache cannot be read: IsADirectoryError: [Errno 21] ")


@pytest.mark.parametrize(
    ("seconds", "text"), [(-5, "now"), (59, "now"), (60, "1 min"), (7200, "2 h"), (86400 * 3.9, "3 d")]
)
def test_ages(seconds, text):
    assert age(seconds) == text
    assert time.time() > seconds


@pytest.mark.parametrize(
    ("length", "text"), [(0, "0 MB"), (4096, "0.0 MB"), (1_050_000, "1.1 MB"), (1_056_239_616, "1.1 GB")]
)
def test_sizes(length, text):
    assert size(length) == text
