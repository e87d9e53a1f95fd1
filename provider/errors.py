"""What a resource raises; the server turns each into exactly one message for the user."""

from collections.abc import Mapping, Sequence
from typing import Any


class UserError(Exception):
    """Something the user can mend. The text says what failed, then the cause, then what to do."""


class Cancelled(UserError):
    """The user interrupted the run; what was begun has been undone or can be adopted by the next run."""


def described(error: BaseException) -> str:
    """The error's text, or its kind where it has none: EOFError and TimeoutError mostly come without."""
    return str(error) or type(error).__name__


class HalfMade(Exception):
    """The real thing exists but is not usable yet: its id and outputs are saved, the next run goes on.

    `reasons` are shown to the user, one line or block each.
    """

    def __init__(self, identifier: str, outputs: Mapping[str, Any], reasons: Sequence[str]) -> None:
        super().__init__("; ".join(reasons))
        self.identifier = identifier
        self.outputs = dict(outputs)
        self.reasons = list(reasons)
