"""Password: random, with its bcrypt hash, kept in the state alone."""

import secrets
import string

import bcrypt

from provider.resources.base import UNKNOWN, Context, Created, Failure, Found, Properties, Resource
from provider.resources.recorded import recorded

OUTPUTS = ("value", "bcrypt")
ALPHABET = string.ascii_letters + string.digits
"""Nothing that a shell, a URL or an htpasswd file would have to quote."""
SHORTEST, LONGEST = 16, 72
"""bcrypt hashes no more than 72 bytes."""
ROUNDS = 5
"""A registry hashes at every request, and emulated CPUs are slow. What is random needs no slow hash."""


class PasswordResource(Resource):
    """The id is random and says nothing of the password."""

    TYPE = "Password"
    REPLACES = frozenset({"length"})
    SECRETS = frozenset(OUTPUTS)

    def check(self, context: Context, inputs: Properties) -> tuple[Properties, list[Failure]]:
        del context
        length = inputs.get("length")
        if length == UNKNOWN or (type(length) is int and SHORTEST <= length <= LONGEST):
            return inputs, []
        need = f"need an integer from {SHORTEST} to {LONGEST}"
        return inputs, [Failure(f"length: got {length!r}; {need}; try 32")]

    def create(self, context: Context, inputs: Properties) -> Created:
        del context
        return Created(secrets.token_hex(8), generate(inputs["length"]))

    def read(self, context: Context, identifier: str, inputs: Properties, state: Properties) -> Found | None:
        del context, identifier
        return recorded(inputs, state, OUTPUTS)

    def update(self, context: Context, identifier: str, old: Properties, new: Properties) -> Properties:
        """Every change makes a new password; the engine asks this only for a state marked half-made."""
        del context, identifier, new
        return {name: old[name] for name in OUTPUTS}

    def delete(self, context: Context, identifier: str, state: Properties) -> None:
        """Nothing is kept outside the state."""


def generate(length: int) -> dict[str, str]:
    """A new password as `value`, and its hash as `bcrypt`, in the form an htpasswd file takes."""
    value = "".join(secrets.choice(ALPHABET) for _ in range(length))
    return {"value": value, "bcrypt": bcrypt.hashpw(value.encode(), bcrypt.gensalt(ROUNDS)).decode()}
