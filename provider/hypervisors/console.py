"""A machine's serial console, logged to a file of bounded size."""

import re
from pathlib import Path

LIMIT = 4 * 1024 * 1024
KEPT = 256 * 1024
# Colours, cursor movements and the like: they would play with the user's terminal.
_CONTROL = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b[ -/]*[0-~]|[\x00-\x08\x0b-\x1f\x7f]"
)


def tail(file: Path, lines: int) -> list[str]:
    """The last lines, without control characters."""
    try:
        with file.open("rb") as stream:
            stream.seek(max(0, file.stat().st_size - 400 * max(lines, 1)))
            text = stream.read().decode(errors="replace")
    except FileNotFoundError:
        return []
    cleaned = [clean(line) for line in text.splitlines()]
    return [line for line in cleaned if line][-lines:]


def clean(line: str) -> str:
    """A line as it may be shown: without control characters and what is blank behind it."""
    return _CONTROL.sub("", line).rstrip()


def bound(file: Path) -> None:
    """Cut the log to its last part when it is too long. What writes to it meanwhile has to append."""
    try:
        size = file.stat().st_size
    except FileNotFoundError:
        return
    if size <= LIMIT:
        return
    with file.open("r+b") as stream:
        stream.seek(size - KEPT)
        kept = stream.read()
        stream.seek(0)
        stream.truncate()
        stream.write(kept)
