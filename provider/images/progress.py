"""What mmdebstrap says, as short named stages; pure: lines in, texts out."""

import re
from collections import deque

_NEW = re.compile(r"^\d+ upgraded, (\d+) newly installed")
_PHASES = (
    ("I: running apt-get update", "reading package lists"),
    ("I: extracting archives", "unpacking the base system"),
    ("I: running special hook: tar-in", "applying settings"),
    ("I: running special hook: upload", "preparing for a quick start"),
    ("I: running --customize-hook in shell: sh -c 'DISK", "filling the disk"),
    ("I: running --customize-hook in shell: sh -c 'FILL", "filling the disk"),
)
_STEPS = (("Get:", "downloading"), ("Unpacking ", "unpacking"), ("Setting up ", "setting up"))
STEP = 10
"""A count is worth a line every so many packages."""


class Stages:
    """Counts packages of the installation under way. `feed` answers the text to show, None for no change."""

    def __init__(self) -> None:
        self._total = 0
        self._counts: dict[str, int] = {}
        self._shown = ""
        self._tail: deque[str] = deque(maxlen=200)

    def feed(self, line: str) -> str | None:
        line = line.rstrip()
        self._tail.append(line)
        text = self._text(line)
        if not text or text == self._shown:
            return None
        self._shown = text
        return text

    def _text(self, line: str) -> str:
        if match := _NEW.match(line):
            self._total, self._counts = int(match[1]), {}
            return ""
        for start, text in _PHASES:
            if line.startswith(start):
                return text
        for start, verb in _STEPS:
            if line.startswith(start) and self._total:
                return self._count(verb)
        return ""

    def _count(self, verb: str) -> str:
        number = self._counts[verb] = self._counts.get(verb, 0) + 1
        if number != self._total and number % STEP:
            return ""
        return f"{verb} packages {min(number, self._total)}/{self._total}"

    def failure(self, code: int) -> str:
        """One message for an mmdebstrap that ended with `code`: its complaints, at most six lines."""
        errors = [line for line in self._tail if re.match(r"E: |Err:\d|dpkg: error", line)]
        # mmdebstrap repeats whole command lines; the first words say what there is to say.
        told = list(dict.fromkeys(line[:300] for line in errors)) or list(self._tail)[-6:]
        return "\n".join([f"base image: mmdebstrap ended with {code}:", *told[:6]])
