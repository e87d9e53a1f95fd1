"""KeyPair: an Ed25519 key pair, made once and kept in the state alone."""

import base64
import hashlib

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from provider.resources.base import UNKNOWN, Context, Created, Failure, Found, Properties, Resource
from provider.resources.recorded import recorded

OUTPUTS = ("public_key", "private_key", "fingerprint")


class KeyPairResource(Resource):
    """The id is the fingerprint as `ssh-keygen -l` prints it: `SHA256:` and unpadded base64."""

    TYPE = "KeyPair"
    REPLACES = frozenset({"comment"})
    SECRETS = frozenset({"private_key"})

    def check(self, context: Context, inputs: Properties) -> tuple[Properties, list[Failure]]:
        del context
        comment = inputs.get("comment")
        if comment == UNKNOWN or (isinstance(comment, str) and comment.isprintable()):
            return inputs, []
        return inputs, [Failure(f'comment: got {comment!r}; need one line of text; try "matrix"')]

    def create(self, context: Context, inputs: Properties) -> Created:
        del context
        outputs = generate(inputs["comment"])
        return Created(outputs["fingerprint"], outputs)

    def read(self, context: Context, identifier: str, inputs: Properties, state: Properties) -> Found | None:
        del context, identifier
        return recorded(inputs, state, OUTPUTS)

    def update(self, context: Context, identifier: str, old: Properties, new: Properties) -> Properties:
        """Every change makes a new pair; the engine asks this only for a state marked half-made."""
        del context, identifier, new
        return {name: old[name] for name in OUTPUTS}

    def delete(self, context: Context, identifier: str, state: Properties) -> None:
        """Nothing is kept outside the state."""


def generate(comment: str) -> dict[str, str]:
    """A new pair: `public_key` as a line of authorized_keys, `private_key` as OpenSSH PEM, `fingerprint`."""
    key = Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    private = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()
    return {
        "public_key": f"{public} {comment}".rstrip(),
        "private_key": private,
        "fingerprint": fingerprint(public),
    }


def fingerprint(public_key: str) -> str:
    """Of a line `ssh-ed25519 AAAA… comment`."""
    digest = hashlib.sha256(base64.b64decode(public_key.split()[1])).digest()
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")
