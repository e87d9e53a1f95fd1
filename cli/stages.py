"""How long each stage of each resource took, from the record that the provider keeps while it works."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.display import phase

ENDS = ("done", "failed")


@dataclass(frozen=True)
class Stage:
    name: str
    seconds: float


@dataclass(frozen=True)
class Work:
    """What was done to one resource, from its beginning to its end."""

    name: str
    type: str
    began: float
    ended: float
    stages: tuple[Stage, ...]

    @property
    def seconds(self) -> float:
        return self.ended - self.began


def read(file: Path, since: float) -> tuple[Work, ...]:
    """What was done since that moment (seconds of the epoch), in the order in which it began."""
    if not file.exists():
        return ()
    lines = file.read_text(encoding="utf-8").splitlines()
    return collect(entry for line in lines if (entry := _entry(line)) and entry["time"] >= since)


def collect(entries: Iterable[Mapping[str, Any]]) -> tuple[Work, ...]:
    """An entry is `{"time", "urn", "name", "type", "stage"}` and says when a stage began. The stage after
    which nothing came for its resource has no length. Stages that count are one: "unpacking 1/9"."""
    by_resource: dict[str, list[Mapping[str, Any]]] = {}
    for entry in entries:
        by_resource.setdefault(entry["urn"], []).append(entry)
    works = [_work(found) for found in by_resource.values()]
    return tuple(sorted(works, key=lambda work: work.began))


def _work(entries: Sequence[Mapping[str, Any]]) -> Work:
    first, last = entries[0], entries[-1]
    stages: dict[str, float] = {}
    for entry, following in zip(entries, [*entries[1:], last], strict=True):
        if entry["stage"] not in ENDS:
            seconds = following["time"] - entry["time"]
            name = phase(entry["stage"])
            stages[name] = stages.get(name, 0.0) + seconds
    return Work(
        name=first["name"],
        type=str(first.get("type", "")).rpartition(":")[2],
        began=first["time"],
        ended=last["time"],
        stages=tuple(Stage(name, seconds) for name, seconds in stages.items()),
    )


def _entry(line: str) -> Mapping[str, Any] | None:
    """A line that was cut off by a crash is no entry."""
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    known = isinstance(entry, dict) and {"time", "urn", "name", "stage"} <= entry.keys()
    return entry if known else None
