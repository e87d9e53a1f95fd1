"""The Pulumi CLI's passphrase secrets, version 1: AES-256-GCM under a key made from passphrase and salt."""

import base64
import hashlib
import os
import threading
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from engine.errors import EngineError

_ROUNDS = 1_000_000
_KEYS: dict[tuple[str, str], bytes] = {}
_KEYS_LOCK = threading.Lock()


def _key(passphrase: str, salt: str) -> bytes:
    with _KEYS_LOCK:
        if (passphrase, salt) not in _KEYS:
            _KEYS[passphrase, salt] = hashlib.pbkdf2_hmac(
                "sha256", passphrase.encode(), base64.b64decode(salt), _ROUNDS, 32
            )
        return _KEYS[passphrase, salt]


def from_environment() -> str:
    """The passphrase; raises EngineError when there is none, or an empty one."""
    text = os.environ.get("PULUMI_CONFIG_PASSPHRASE")
    file = os.environ.get("PULUMI_CONFIG_PASSPHRASE_FILE")
    if text is None and file:
        try:
            text = Path(file).read_text().strip()
        except OSError as error:
            raise EngineError(
                f"cannot read the passphrase: PULUMI_CONFIG_PASSPHRASE_FILE: {error}"
            ) from error
    if text is None:
        raise EngineError("no passphrase: set PULUMI_CONFIG_PASSPHRASE or PULUMI_CONFIG_PASSPHRASE_FILE")
    if not text:
        raise EngineError("the passphrase is empty: an empty one protects nothing; set a longer one")
    return text


class Sealer:
    """Seals and opens texts. `state` is `v1:SALT:v1:NONCE:CIPHERTEXT`, whose tail proves the passphrase.

    The key takes a quarter of a second, so it is made at the first secret, never before.
    """

    def __init__(self, state: str | None = None) -> None:
        self._lock = threading.Lock()
        self._crypter: AESGCM | None = None
        if state is None:
            self._salt = base64.b64encode(os.urandom(8)).decode()
            self.state = f"v1:{self._salt}:{self.seal('pulumi')}"
            return
        version, _, rest = state.partition(":")
        self._salt, _, check = rest.partition(":")
        if version != "v1" or not check:
            raise EngineError(f"secrets of the form {version!r} are unknown; need 'v1', a passphrase's salt")
        self.state = state
        self._check = check

    def _open_crypter(self) -> AESGCM:
        with self._lock:
            if self._crypter is None:
                crypter = AESGCM(_key(from_environment(), self._salt))
                if hasattr(self, "_check") and _open(crypter, self._check) != "pulumi":
                    raise EngineError(
                        "incorrect passphrase: it does not open this stack's secrets; "
                        "set PULUMI_CONFIG_PASSPHRASE to the one that the stack was made with"
                    )
                self._crypter = crypter
            return self._crypter

    def seal(self, text: str) -> str:
        nonce = os.urandom(12)
        sealed = self._open_crypter().encrypt(nonce, text.encode(), None)
        return f"v1:{base64.b64encode(nonce).decode()}:{base64.b64encode(sealed).decode()}"

    def open(self, sealed: str) -> str:
        text = _open(self._open_crypter(), sealed)
        if text is None:
            raise EngineError("a secret cannot be opened: it was sealed with another salt or is damaged")
        return text


def _open(crypter: AESGCM, sealed: str) -> str | None:
    try:
        _, nonce, data = sealed.split(":")
        return crypter.decrypt(base64.b64decode(nonce), base64.b64decode(data), None).decode()
    except (InvalidTag, ValueError):
        return None
