"""The NoCloud seed: a small ISO that cloud-init reads at a machine's first boot."""

import io
import os
from collections.abc import Mapping
from pathlib import Path

import pycdlib

LABEL = "CIDATA"


def write_seed(target: Path, user_data: str, meta_data: str, network_config: str) -> None:
    """Write the ISO whole or not at all, readable by its owner alone: user-data holds the SSH host key."""
    files = {"user-data": user_data, "meta-data": meta_data, "network-config": network_config}
    fresh = target.with_name(f".{target.name}.new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(iso(files))
    fresh.replace(target)


def iso(files: Mapping[str, str | bytes]) -> bytes:
    """The image of a CD with these files by name; Rock Ridge and Joliet carry the lower-case names."""
    image = pycdlib.PyCdlib()
    image.new(interchange_level=3, joliet=3, rock_ridge="1.09", vol_ident=LABEL)
    for name, content in files.items():
        data = content.encode() if isinstance(content, str) else content
        plain = f"/{name.upper().replace('-', '_')}.;1"
        image.add_fp(io.BytesIO(data), len(data), plain, rr_name=name, joliet_path=f"/{name}")
    output = io.BytesIO()
    image.write_fp(output)
    image.close()
    return output.getvalue()


def meta_data(uuid: str, hostname: str) -> str:
    return f"instance-id: {uuid}\nlocal-hostname: {hostname}\n"
