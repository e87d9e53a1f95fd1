"""Saved images as a registry wants them: docker-archive and OCI layout, whole, damaged and ambiguous."""

import gzip
import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from provider.containers import archive
from provider.errors import UserError

LAYER = b"a tar, or so we say" * 1000


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


CONFIG = json.dumps(
    {"architecture": "amd64", "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest(LAYER)}"]}}
).encode()


def write_tar(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, data in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return path


def docker_archive(path: Path, layer: bytes = LAYER, images: int = 1) -> Path:
    entry = {"Config": "c.json", "RepoTags": ["x:latest"], "Layers": ["l.tar"]}
    manifest = json.dumps([entry] * images).encode()
    return write_tar(path, {"l.tar": layer, "c.json": CONFIG, "manifest.json": manifest})


def oci_archive(path: Path, layer: bytes, media_type: str, architectures: tuple[str, ...] = ()) -> Path:
    def descriptor(data: bytes, kind: str) -> dict[str, Any]:
        return {"mediaType": kind, "digest": f"sha256:{digest(data)}", "size": len(data)}

    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "config": descriptor(CONFIG, "config"),
            "layers": [descriptor(layer, media_type)],
        }
    ).encode()
    entries = [descriptor(manifest, "manifest")] if not architectures else []
    entries += [
        {**descriptor(manifest, "manifest"), "platform": {"architecture": name}} for name in architectures
    ]
    blobs = {f"blobs/sha256/{digest(data)}": data for data in (layer, CONFIG, manifest)}
    return write_tar(path, {**blobs, "index.json": json.dumps({"manifests": entries}).encode()})


def test_a_docker_archive(tmp_path: Path) -> None:
    image = archive.read(docker_archive(tmp_path / "a.tar"), tmp_path / "layers")
    assert image.config == CONFIG
    assert gzip.decompress(image.layers[0].path.read_bytes()) == LAYER
    document = json.loads(image.manifest)
    assert document["layers"] == [
        {"mediaType": archive.LAYER, "digest": image.layers[0].digest, "size": image.layers[0].size}
    ]
    assert image.digest == f"sha256:{digest(image.manifest)}"


def test_the_same_image_has_the_same_digest_in_every_form(tmp_path: Path) -> None:
    tar_layer = "application/vnd.oci.image.layer.v1.tar"
    files = [
        docker_archive(tmp_path / "docker.tar"),
        oci_archive(tmp_path / "oci.tar", LAYER, tar_layer),
        oci_archive(tmp_path / "two.tar", LAYER, tar_layer, ("amd64", "s390x")),
    ]
    assert len({archive.read(file, tmp_path / file.stem).digest for file in files}) == 1


def test_a_layer_that_is_gzipped_already_is_kept_as_it_is(tmp_path: Path) -> None:
    packed = gzip.compress(LAYER, 1)
    file = oci_archive(tmp_path / "a.tar", packed, "application/vnd.oci.image.layer.v1.tar+gzip")
    image = archive.read(file, tmp_path / "layers")
    assert image.layers[0].path.read_bytes() == packed
    assert image.layers[0].digest == f"sha256:{digest(packed)}"


def test_a_layer_is_compressed_once(tmp_path: Path) -> None:
    first = archive.read(docker_archive(tmp_path / "a.tar"), tmp_path / "layers")
    time = first.layers[0].path.stat().st_ino
    second = archive.read(docker_archive(tmp_path / "b.tar"), tmp_path / "layers")
    assert (second.digest, second.layers[0].path.stat().st_ino) == (first.digest, time)
    assert len(list((tmp_path / "layers").iterdir())) == 1


def wrong(path: Path, kind: str) -> Path:
    if kind == "text":
        path.write_text("hello")
    elif kind == "other tar":
        write_tar(path, {"hello": b""})
    elif kind == "damaged layer":
        docker_archive(path, layer=LAYER[:-1] + b"!")
    elif kind == "two images":
        docker_archive(path, images=2)
    elif kind == "zstd":
        oci_archive(path, LAYER, "application/vnd.oci.image.layer.v1.tar+zstd")
    elif kind == "foreign":
        oci_archive(path, LAYER, "tar", ("s390x",))
    elif kind == "truncated":
        path.write_bytes(docker_archive(path).read_bytes()[:12_000])
    return path


REFUSED = {
    "text": "not a readable image archive (file could not be opened successfully",
    "other tar": "not a readable image archive (neither manifest.json nor index.json in it)",
    "damaged layer": f"a layer of the image is damaged: expected sha256:{digest(LAYER)}, got sha256:",
    "two images": "holds 2 images; save one image alone",
    "zstd": "a layer is application/vnd.oci.image.layer.v1.tar+zstd; save the image with gzip",
    "foreign": "holds 0 images for ",
    "truncated": "not a readable image archive (unexpected end of data)",
}


@pytest.mark.parametrize(("kind", "expected"), REFUSED.items(), ids=REFUSED)
def test_refused(tmp_path: Path, kind: str, expected: str) -> None:
    with pytest.raises(UserError) as raised:
        archive.read(wrong(tmp_path / "a.tar", kind), tmp_path / "layers")
    assert expected in str(raised.value)
    assert not list((tmp_path / "layers").glob("*"))
