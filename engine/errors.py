"""What the engine raises for its caller."""


class EngineError(Exception):
    """Something the user can mend. The text is one message: what failed, the cause, what to do."""


def unsupported(what: str) -> EngineError:
    """The refusal of a feature that only the Pulumi CLI has."""
    return EngineError(f"{what} is not supported by the embedded engine; use the pulumi CLI for this stack")
