"""Secrets taken out of texts that are shown or logged."""

HIDDEN = "[secret]"
SHORTEST_LINE = 16


def redact(text: str, secrets: frozenset[str]) -> str:
    """The text without any of the secrets, their escaped forms, or the lines of those with many lines."""
    for form in sorted(_forms(secrets), key=len, reverse=True):
        text = text.replace(form, HIDDEN)
    return text


def _forms(secrets: frozenset[str]) -> set[str]:
    forms = set(secrets)
    for secret in secrets:
        forms.add(repr(secret)[1:-1])
        forms.update(line for line in secret.splitlines() if _is_telling(line))
    return forms


def _is_telling(line: str) -> bool:
    """Not the first or last line of a PEM: those are the same in every key."""
    return len(line) >= SHORTEST_LINE and not line.startswith("-----")
