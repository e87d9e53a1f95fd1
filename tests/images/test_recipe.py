"""The recipe: one list of packages and one tree of settings, told apart by a digest."""

import io
import subprocess
import tarfile
from pathlib import Path

import pytest

from cloudinit import installer
from provider.images import recipe

SCRIPTS = [recipe.PREPARE, recipe.HARVEST] + [
    recipe.TREE / "usr/lib/cloudmatrix" / name for name in ("init", "mkinitrd", "lease", "power")
]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_are_plain_shell(script: Path) -> None:
    assert script.read_text().startswith("#!/bin/sh\n")
    subprocess.run(["sh", "-n", script], check=True)


def test_the_overlay_is_root_s_and_the_same_each_time() -> None:
    assert recipe.overlay() == recipe.overlay()
    with tarfile.open(fileobj=io.BytesIO(recipe.overlay())) as tar:
        entries = {entry.name: entry for entry in tar}
    assert {(entry.uid, entry.gid, entry.mtime) for entry in entries.values()} == {(0, 0, 0)}
    assert entries["usr/lib/cloudmatrix/init"].mode == 0o755
    assert entries["etc/cloud/cloud.cfg"].mode == 0o644


def test_every_settings_file_ends_with_a_line_end() -> None:
    assert [name for name, content, _ in recipe.settings() if not content.endswith(b"\n")] == []


CHANGES = {
    "a package": lambda patch, tmp: patch.setattr(recipe, "PACKAGES", (*recipe.PACKAGES, "htop")),
    "the disk's size": lambda patch, tmp: patch.setattr(recipe, "DISK_GIB", 9),
    "a settings file": lambda patch, tmp: patch.setattr(
        recipe, "settings", lambda: iter([("etc/x", b"", 0o644)])
    ),
    "the preparation": lambda patch, tmp: patch.setattr(recipe, "PREPARE", _written(tmp, "#!/bin/sh\n")),
    "the harvest": lambda patch, tmp: patch.setattr(recipe, "HARVEST", _written(tmp, "#!/bin/sh\n")),
    "what is not unpacked": lambda patch, tmp: patch.setattr(
        recipe, "EXCLUDE", _written(tmp, "/usr/share/man/*\n")
    ),
}


def _written(folder: Path, text: str) -> Path:
    path = folder / "file"
    path.write_text(text)
    return path


@pytest.mark.parametrize("what", CHANGES)
def test_a_change_of_anything_changes_the_digest(
    what: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    before = recipe.digest()
    CHANGES[what](monkeypatch, tmp_path)
    assert recipe.digest() != before


def test_exclusions_are_absolute_patterns() -> None:
    assert all(pattern.startswith("/usr/share/") for pattern in recipe.exclusions())


def test_the_initial_ram_disk_s_arithmetic_for_a_larger_disk(tmp_path: Path) -> None:
    """The lines that stretch partition 1, run on a file: 10 GiB instead of 8."""
    text = (recipe.TREE / "usr/lib/cloudmatrix/init").read_text()
    loop = text[text.index("    bytes=\n") : text.index("    blockdev --rereadpt")]
    sector = tmp_path / "disk"
    sector.write_bytes(bytes(512))
    lines = loop.replace('"/dev/$disk"', str(sector))
    subprocess.run(["sh", "-eu", "-c", f"wanted={(10 << 30) // 512 - 2048}\n{lines}"], check=True)
    assert sector.read_bytes()[458:462].hex() == "00f83f01"
    assert len(sector.read_bytes()) == 512


def test_what_the_installer_is_told_counts_where_one_runs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    before = {source: recipe.digest(source) for source in ("packages", "cloud", "iso")}
    monkeypatch.setattr(installer, "TEMPLATES", (_written(tmp_path, "d-i x\n"),))
    assert before["packages"] == before["cloud"] == recipe.digest("cloud") != before["iso"]
    assert recipe.digest("iso") != before["iso"]
