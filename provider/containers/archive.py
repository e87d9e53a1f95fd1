"""A saved image (docker-archive, or an OCI layout in a tar) as the blobs and the manifest of a registry."""

import hashlib
import json
import platform
import tarfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from provider.containers import layers
from provider.containers.layers import Blob
from provider.errors import UserError, described

MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
CONFIG = "application/vnd.docker.container.image.v1+json"
LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
EPOCH = "1970-01-01T00:00:00Z"
BUILD_NOISE = ("Hostname", "Domainname", "Image", "AttachStdin", "AttachStdout", "AttachStderr")
MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True)
class Image:
    """An image ready to be put into a registry; `digest` is that of the manifest."""

    manifest: bytes
    config: bytes
    layers: tuple[Blob, ...]

    @property
    def digest(self) -> str:
        return sha256(self.manifest)

    @property
    def size(self) -> int:
        """Bytes of all compressed layers."""
        return sum(blob.size for blob in self.layers)


def sha256(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def timeless(config: bytes) -> bytes:
    """A built image's config without what differs from build to build: times, names of build containers."""
    document = json.loads(config)
    kept = {key: document[key] for key in ("architecture", "os", "variant", "rootfs") if key in document}
    settings = {key: value for key, value in document.get("config", {}).items() if key not in BUILD_NOISE}
    labels = settings.get("Labels") or {}
    settings["Labels"] = {key: value for key, value in labels.items() if key != "io.buildah.version"}
    history = [
        {**{key: value for key, value in step.items() if key not in ("comment", "author")}, "created": EPOCH}
        for step in document.get("history", [])
    ]
    return json.dumps(
        {**kept, "created": EPOCH, "config": settings, "history": history}, sort_keys=True
    ).encode()


def read(
    path: Path,
    kept_layers: Path,
    check: Callable[[], None] = lambda: None,
    rewrite: Callable[[bytes], bytes] = lambda config: config,
) -> Image:
    """UserError when the file is no image archive, is damaged or holds several images.

    `check` is called now and then and may raise; `rewrite` makes the config that is used of the one found.
    """
    try:
        with tarfile.open(path) as tar:
            config, members = _contents(tar, path)
            config = rewrite(config)
            diff_ids = json.loads(config)["rootfs"]["diff_ids"]
            if len(diff_ids) != len(members):
                raise UserError(f"archive {path}: {len(members)} layers, its config names {len(diff_ids)}")
            blobs = tuple(
                layers.packed(kept_layers, diff_id, lambda member=member: _open(tar, member, path), check)  # type: ignore[misc]
                for diff_id, member in zip(diff_ids, members, strict=True)
            )
    except (tarfile.TarError, EOFError, ValueError, KeyError, TypeError, OSError) as error:
        raise UserError(
            f"archive {path}: not a readable image archive ({described(error)}); "
            "make one with `docker save` or `skopeo copy ... docker-archive:FILE`"
        ) from error
    return Image(_manifest(config, blobs), config, blobs)


def _contents(tar: tarfile.TarFile, path: Path) -> tuple[bytes, list[str]]:
    """The image's config and the names of its layers' members, lowest first."""
    names = {name.removeprefix("./"): name for name in tar.getnames()}
    if "manifest.json" in names:
        entries = json.loads(_bytes(tar, names["manifest.json"], path))
        if len(entries) != 1:
            raise UserError(f"archive {path}: holds {len(entries)} images; save one image alone")
        prefix = names["manifest.json"].removesuffix("manifest.json")
        return _bytes(tar, prefix + entries[0]["Config"], path), [
            prefix + one for one in entries[0]["Layers"]
        ]
    if "index.json" in names:
        return _oci_contents(tar, names["index.json"], path)
    raise ValueError("neither manifest.json nor index.json in it")


def _oci_contents(tar: tarfile.TarFile, index: str, path: Path) -> tuple[bytes, list[str]]:
    prefix = index.removesuffix("index.json")

    def name(descriptor: dict[str, Any]) -> str:
        return f"{prefix}blobs/{descriptor['digest'].replace(':', '/')}"

    document = json.loads(_bytes(tar, index, path))
    while "manifests" in document:
        document = json.loads(_bytes(tar, name(_for_this_machine(document["manifests"], path)), path))
    unread = [
        one["mediaType"] for one in document["layers"] if not one["mediaType"].endswith(("tar", "gzip"))
    ]
    if unread:
        raise UserError(f"archive {path}: a layer is {unread[0]}; save the image with gzip or no compression")
    return _bytes(tar, name(document["config"]), path), [name(layer) for layer in document["layers"]]


def _for_this_machine(manifests: Sequence[dict[str, Any]], path: Path) -> dict[str, Any]:
    machine = MACHINES.get(platform.machine(), platform.machine())
    fitting = [one for one in manifests if one.get("platform", {}).get("architecture", machine) == machine]
    if len(fitting) != 1:
        raise UserError(f"archive {path}: holds {len(fitting)} images for {machine}; save one image alone")
    return fitting[0]


def _open(tar: tarfile.TarFile, member: str, path: Path) -> IO[bytes]:
    file = tar.extractfile(member)
    if file is None:
        raise UserError(f"archive {path}: {member} is not a file")
    return file


def _bytes(tar: tarfile.TarFile, member: str, path: Path) -> bytes:
    with _open(tar, member, path) as file:
        return file.read()


def _manifest(config: bytes, blobs: Sequence[Blob]) -> bytes:
    document = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": {"mediaType": CONFIG, "size": len(config), "digest": sha256(config)},
        "layers": [{"mediaType": LAYER, "size": blob.size, "digest": blob.digest} for blob in blobs],
    }
    return json.dumps(document, indent=1, sort_keys=True).encode()
