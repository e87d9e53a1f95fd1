"""Patterns of a .dockerignore file: which files of a build folder are no part of it. Pure."""

import re
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Pattern:
    """`keeps` is a pattern that began with !, it takes back what an earlier one left out."""

    regex: re.Pattern[str]
    keeps: bool


def parse(text: str) -> tuple[Pattern, ...]:
    """Patterns in the file's order; # begins a comment line."""
    found = []
    for raw in text.splitlines():
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        keeps = line.startswith("!")
        body = line[1:].strip() if keeps else line
        parts = [part for part in body.split("/") if part not in ("", ".")]
        if parts:
            found.append(Pattern(re.compile(_regex("/".join(parts))), keeps))
    return tuple(found)


def ignored(path: str, patterns: Sequence[Pattern]) -> bool:
    """Whether a file (relative to the folder, / between names) is left out; the last match decides."""
    names = path.split("/")
    prefixes = ["/".join(names[:count]) for count in range(1, len(names) + 1)]
    out = False
    for pattern in patterns:
        if any(pattern.regex.fullmatch(prefix) for prefix in prefixes):
            out = not pattern.keeps
    return out


def _regex(pattern: str) -> str:
    """Go's filepath.Match plus ** for any number of folders."""
    out, index = "", 0
    while index < len(pattern):
        rest = pattern[index:]
        if rest.startswith("**/"):
            out, index = out + r"(?:.*/)?", index + 3
        elif rest.startswith("**"):
            out, index = out + r".*", index + 2
        elif rest[0] == "*":
            out, index = out + r"[^/]*", index + 1
        elif rest[0] == "?":
            out, index = out + r"[^/]", index + 1
        elif rest[0] == "[" and "]" in rest[2:]:
            end = rest.index("]", 2)
            out, index = out + "[" + rest[1:end].replace("\\", r"\\") + "]", index + end + 1
        else:
            out, index = out + re.escape(rest[0]), index + 1
    return out
