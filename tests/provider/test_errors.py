"""An error's text is never empty."""

import pytest

from provider.errors import described


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (OSError("no route to host"), "no route to host"),
        (EOFError(), "EOFError"),
        (TimeoutError(), "TimeoutError"),
    ],
)
def test_described(error: Exception, text: str) -> None:
    assert described(error) == text
