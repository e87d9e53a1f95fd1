"""Reads one mapping of the stack config key by key and notes everything that is wrong with it."""

import difflib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def shown(value: Any) -> str:
    """A value as the user would recognise it: text in quotes, collections by kind."""
    match value:
        case None:
            return "nothing"
        case bool() | int() | float() | str():
            return json.dumps(value, ensure_ascii=False)
        case Mapping():
            return "a mapping"
        case _:
            return "a list"


def kind(value: Any) -> str:
    """A value with its kind, for messages about a wrong kind: `"3", a string`."""
    match value:
        case bool():
            return f"{shown(value)}, a truth value"
        case str():
            return f"{shown(value)}, a string"
        case int() | float():
            return f"{shown(value)}, a number"
        case _:
            return shown(value)


class Problems:
    """The list of errors that all readers of one config write to."""

    def __init__(self) -> None:
        self.errors: list[str] = []

    def add(self, path: str, got: str, need: str, attempt: str) -> None:
        self.errors.append(f"{path}: got {got}; need {need}; try {attempt}")

    def unknown(self, path: str, key: str, known: Iterable[str]) -> None:
        keys = sorted(known)
        close = difflib.get_close_matches(key, keys, n=1)
        hint = f'did you mean "{close[0]}"?' if close else f"need one of {', '.join(keys)}"
        self.errors.append(f"{join(path, key)}: unknown key; {hint}")


def join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def as_integer(value: Any) -> int | None:
    """The whole number a value is; None for everything else. Numbers may arrive as floats from JSON."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not float(value).is_integer():
        return None
    return int(value)


def alternatives(words: Sequence[str]) -> str:
    """a, b or c."""
    *others, last = words
    return f"{', '.join(others)} or {last}" if others else last


class Section:
    """A mapping at `path`. Each method returns a usable value; when the given one is wrong it returns the
    default and notes why."""

    def __init__(self, problems: Problems, path: str, raw: Any, known: Iterable[str]) -> None:
        self.problems = problems
        self.path = path
        keys = tuple(known)
        self.broken = raw is not None and not isinstance(raw, Mapping)
        if self.broken:
            settings = ", ".join(keys) if len(keys) < 6 else "settings"
            problems.add(path, kind(raw), f"a mapping of {settings}", "{}")
            raw = None
        self.raw: Mapping[str, Any] = raw or {}
        for key in self.raw:
            if key not in keys:
                problems.unknown(path, str(key), keys)

    def has(self, key: str) -> bool:
        return self.raw.get(key) is not None

    def field(self, key: str) -> str:
        return join(self.path, key)

    def refuse(self, key: str, need: str, attempt: str, *expected: type) -> None:
        """Notes a wrong value, and its kind when that is none of `expected`."""
        value = self.raw.get(key)
        got = kind(value) if expected and type(value) not in expected else shown(value)
        self.problems.add(self.field(key), got, need, attempt)

    def integer(self, key: str, default: int, low: int, high: int) -> int:
        if not self.has(key):
            return default
        raw = self.raw[key]
        value = as_integer(raw)
        if value is not None and low <= value <= high:
            return value
        quoted = isinstance(raw, str) and raw.isdecimal() and low <= int(raw) <= high
        attempt = str(raw) if quoted else str(default)
        self.refuse(key, f"a whole number from {low} to {high}", attempt, int, float)
        return default

    def boolean(self, key: str, default: bool) -> bool:
        if not self.has(key):
            return default
        if isinstance(self.raw[key], bool):
            return bool(self.raw[key])
        self.refuse(key, "true or false", shown(default), bool)
        return default

    def choice(self, key: str, choices: tuple[str, ...]) -> str:
        """The first choice is the default."""
        if not self.has(key):
            return choices[0]
        if self.raw[key] in choices:
            return str(self.raw[key])
        close = difflib.get_close_matches(str(self.raw[key]), choices, n=1)
        self.refuse(key, alternatives(choices), close[0] if close else choices[0], str)
        return choices[0]

    def text(self, key: str, pattern: str, need: str, attempt: str) -> str | None:
        """Text that matches `pattern` as a whole; None when it is absent or wrong."""
        if not self.has(key):
            return None
        value = self.raw[key]
        if isinstance(value, str) and re.fullmatch(pattern, value):
            return value
        self.refuse(key, need, attempt, str)
        return None

    def entries(self, key: str, need: str, attempt: str) -> Mapping[str, Any]:
        """A mapping whose keys the user chooses."""
        value = self.raw.get(key)
        if value is None:
            return {}
        if isinstance(value, Mapping):
            return {str(name): entry for name, entry in value.items()}
        self.refuse(key, need, attempt, dict)
        return {}

    def items(self, key: str, need: str, attempt: str) -> list[Any] | None:
        """A list; None when it is absent or wrong."""
        value = self.raw.get(key)
        if value is None or isinstance(value, list | tuple):
            return None if value is None else list(value)
        self.refuse(key, need, attempt, list)
        return None
