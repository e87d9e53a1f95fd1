"""The NoCloud seed, read back."""

import io
from pathlib import Path

import pycdlib

from provider.seed import meta_data, write_seed


def test_a_seed_holds_its_three_files_for_its_owner_alone(tmp_path: Path) -> None:
    target = tmp_path / "seed.iso"
    for user_data in ("#cloud-config\n", "#cloud-config\nwrite_files: []\n" + "# ü\n" * 5000):
        write_seed(target, user_data, meta_data("u-u-i-d", "node2"), "version: 2\n")
    assert [path.name for path in tmp_path.iterdir()] == ["seed.iso"]
    assert oct(target.stat().st_mode & 0o777) == "0o600"
    assert read(target) == {
        "user-data": user_data,
        "meta-data": "instance-id: u-u-i-d\nlocal-hostname: node2\n",
        "network-config": "version: 2\n",
    }


def read(target: Path) -> dict[str, str]:
    image = pycdlib.PyCdlib()
    image.open(str(target))
    assert image.pvd.volume_identifier.decode().rstrip() == "CIDATA"
    found = {}
    for entry in image.list_children(rr_path="/"):
        if entry.is_file():
            name, content = entry.rock_ridge.name().decode(), io.BytesIO()
            image.get_file_from_iso_fp(content, rr_path=f"/{name}")
            found[name] = content.getvalue().decode()
    image.close()
    return found
