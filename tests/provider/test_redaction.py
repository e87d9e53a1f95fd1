"""No secret in a text that is shown or logged."""

import pytest

from provider.redaction import redact

PEM = "-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49AgEGCCqG\nSM49\n-----END PRIVATE KEY-----\n"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("nothing here", "nothing here"),
        ("login with hunter22! failed", "login with [secret] failed"),
        ("hunter22! and hunter22!", "[secret] and [secret]"),
        (f"key {PEM} refused", "key [secret] refused"),
        (f"KeyError({PEM!r})", "KeyError('[secret]')"),
        ("line MIGHAgEAMBMGByqGSM49AgEGCCqG is wrong", "line [secret] is wrong"),
        ("-----BEGIN PRIVATE KEY----- is missing", "-----BEGIN PRIVATE KEY----- is missing"),
    ],
)
def test_redact(text: str, shown: str) -> None:
    assert redact(text, frozenset({"hunter22!", PEM})) == shown


def test_the_longer_secret_goes_first() -> None:
    assert redact("abcdefgh-and-more", frozenset({"abcdefgh", "abcdefgh-and-more"})) == "[secret]"
