"""Images into a registry and out of it again. A tag for each user of an image tells if it is still needed."""

import json
import threading
from collections import defaultdict
from collections.abc import Callable

from provider.containers.archive import CONFIG, MANIFEST, Image, sha256
from provider.containers.registry import Registry

_blob_locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
_blob_locks_guard = threading.Lock()


def push(registry: Registry, repository: str, tag: str, image: Image, progress: Callable[[str], None]) -> str:
    """Send what the registry lacks and return the manifest's digest as the registry has it."""
    for number, blob in enumerate(image.layers, start=1):
        if _missing(registry, repository, blob.digest):
            with _alone(blob.digest):
                if _missing(registry, repository, blob.digest) and not _mounted(
                    registry, repository, blob.digest
                ):
                    progress(f"pushing layer {number} of {len(image.layers)} ({_megabytes(blob.size)})")
                    registry.put_blob(repository, blob.digest, blob.path, blob.size)
    config = sha256(image.config)
    if _missing(registry, repository, config):
        registry.put_blob(repository, config, image.config, len(image.config))
    return registry.put_manifest(repository, tag, image.manifest)


def release(registry: Registry, repository: str, tag: str, digest: str) -> None:
    """Take back `tag`; the manifest goes too unless another tag leads to it. Twice is no error."""
    tags = {name: registry.manifest_digest(repository, name) for name in registry.tags(repository)}
    others = [name for name, found in tags.items() if found == digest and name != tag]
    if not others:
        registry.delete_manifest(repository, digest)
    elif tags.get(tag) == digest:
        _untag(registry, repository, tag)


def _untag(registry: Registry, repository: str, tag: str) -> None:
    """Registries delete manifests, not tags: the tag is led to a manifest of its own, which is deleted."""
    config = json.dumps({"tag": tag}).encode()
    registry.put_blob(repository, sha256(config), config, len(config))
    descriptor = {"mediaType": CONFIG, "size": len(config), "digest": sha256(config)}
    manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "config": descriptor, "layers": []}
    digest = registry.put_manifest(repository, tag, json.dumps(manifest).encode())
    registry.delete_manifest(repository, digest)


def _missing(registry: Registry, repository: str, digest: str) -> bool:
    return not registry.has_blob(repository, digest)


def _mounted(registry: Registry, repository: str, digest: str) -> bool:
    """Whether another application's repository had the layer: it is shared then, not sent again."""
    others = [name for name in registry.repositories() if name != repository]
    return any(
        registry.has_blob(name, digest) and registry.mount_blob(repository, digest, name) for name in others
    )


def _alone(digest: str) -> threading.Lock:
    """Applications pushed at the same time share layers: the first sends, the others wait and share."""
    with _blob_locks_guard:
        return _blob_locks[digest]


def _megabytes(size: int) -> str:
    return f"{max(size, 100_000) / 1_000_000:.1f} MB"
