"""What is known of a machine besides its hypervisor's record: `boot.json` in its folder, without secrets."""

import hashlib
import json
import os
import shutil
import uuid as uuids
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

FILE = "boot.json"
NAMESPACE = uuids.UUID("6f2b8a5e-7c0d-5b1e-9d43-3c9a4f1e2b70")
SECRET_INPUTS = frozenset({"user_data", "network_config", "connection"})


def machine_uuid(stack: str, hostname: str) -> str:
    """The same machine has the same UUID in every run, so that a leftover is recognised."""
    return str(uuids.uuid5(NAMESPACE, f"{stack}/{hostname}"))


def origin(inputs: Mapping[str, Any]) -> str:
    """A digest of what a machine's first boot depends on."""
    parts = [inputs["image"]["id"], inputs["user_data"], inputs["network_config"]]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


@dataclass(frozen=True)
class BootRecord:
    """`incarnation` is new each time the machine is made; its first boot has ended well once it is `ready`,
    otherwise once it has `failed`. `inputs` are all but the secret ones, for an import."""

    uuid: str
    incarnation: str
    origin: str
    ready: bool = False
    failed: bool = False
    inputs: dict[str, Any] = field(default_factory=dict)


def fresh(uuid: str, inputs: Mapping[str, Any]) -> BootRecord:
    return BootRecord(uuid, str(uuids.uuid4()), origin(inputs), inputs=recordable(inputs))


def is_current(record: BootRecord, inputs: Mapping[str, Any]) -> bool:
    """Whether the first boot of these inputs has been made, or can still be: then the machine is kept."""
    return not record.failed and record.origin == origin(inputs)


def recordable(inputs: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in inputs.items() if key not in SECRET_INPUTS}


def folder(stack_dir: Path, hostname: str) -> Path:
    return stack_dir / "machines" / hostname


def save(target: Path, record: BootRecord) -> None:
    target.mkdir(mode=0o700, parents=True, exist_ok=True)
    new = target / f".{FILE}.new"
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        json.dump(asdict(record), stream, indent=2)
        stream.flush()
        os.fsync(stream.fileno())
    new.replace(target / FILE)


def load(target: Path) -> BootRecord | None:
    """The record in a machine's folder; an unreadable one is as good as none."""
    try:
        return BootRecord(**json.loads((target / FILE).read_text()))
    except (OSError, ValueError, TypeError):
        return None


def every(stack_dir: Path) -> Iterator[tuple[Path, BootRecord]]:
    """Each recorded machine's folder and record."""
    for file in sorted((stack_dir / "machines").glob(f"*/{FILE}")):
        record = load(file.parent)
        if record:
            yield file.parent, record


def remove(target: Path) -> None:
    """Remove a machine's folder, and the folders above it in the stack when they are empty then."""
    if target.exists():
        shutil.rmtree(target)
    for parent in (target.parent, target.parent.parent):
        with suppress(OSError):
            parent.rmdir()


def find(stack_dir: Path, uuid: str) -> tuple[Path, BootRecord] | None:
    return next((found for found in every(stack_dir) if found[1].uuid == uuid), None)


def hypervisor_in_use(stack_dir: Path) -> str | None:
    """What this stack's machines and networks were made on, so that `auto` keeps to it."""
    for _, record in every(stack_dir):
        return str(record.inputs["hypervisor"])
    for file in sorted((stack_dir / "networks").glob("*.json")):
        try:
            return str(json.loads(file.read_text())["hypervisor"])
        except (OSError, ValueError, KeyError):
            continue
    return None
