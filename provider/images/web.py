"""HTTP for files: redirects, proxies from the environment, and every failure as one short reason."""

import http.client
import socket
import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping
from urllib.parse import unquote, urlsplit

AGENT = {"User-Agent": "cloudmatrix", "Accept-Encoding": "identity"}
PATIENCE = 10.0
"""Seconds for what is asked while a preview waits."""
LARGEST_TEXT = 4 << 20


class WebError(Exception):
    """The text is the reason alone. `status` is HTTP's, 0 when no answer came; `lasting`: trying again
    will not help."""

    def __init__(self, reason: str, *, status: int = 0, lasting: bool = False) -> None:
        super().__init__(reason)
        self.status = status
        self.lasting = lasting


def is_address(text: str) -> bool:
    return text.lower().startswith(("http://", "https://"))


def last_part(address: str) -> str:
    """The last part of an address's path, as a list of sums names it."""
    return unquote(urlsplit(address).path).rsplit("/", 1)[-1]


def file_name(address: str) -> str:
    """The last part of an address's path, fit for a file's name on every system."""
    name = "".join(letter if letter.isalnum() or letter in "._+-" else "_" for letter in last_part(address))
    return name.lstrip(".") or "file"


def open_address(address: str, timeout: float, headers: Mapping[str, str]) -> http.client.HTTPResponse:
    """GET; the answer's status is 2xx. `timeout` is seconds without a byte. Raises WebError."""
    request = urllib.request.Request(address, headers={**AGENT, **headers})  # noqa: S310 - see _opener
    try:
        response: http.client.HTTPResponse = _opener().open(request, timeout=timeout)
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise explained(error) from error
    return response


def read_text(address: str, timeout: float = PATIENCE) -> str:
    """A small text file. Raises WebError."""
    try:
        with open_address(address, timeout, {}) as response:
            content = response.read(LARGEST_TEXT + 1)
    except (OSError, http.client.HTTPException) as error:
        raise explained(error) from error
    if len(content) > LARGEST_TEXT:
        raise WebError(f"it is larger than {LARGEST_TEXT >> 20} MiB", lasting=True)
    return content.decode(errors="replace")


def explained(error: Exception) -> WebError:
    """What went wrong, in words that need no Python."""
    cause = getattr(error, "reason", error)
    if isinstance(error, urllib.error.HTTPError):
        error.close()
        told = str(error.reason).strip().splitlines()
        if "infinite loop" in str(error.reason):
            return WebError("the server redirects in a circle", status=error.code, lasting=True)
        again = error.code >= 500 or error.code in (408, 425, 429)
        reason = f"the server answered {error.code} {told[0] if told else ''}".strip()
        return WebError(reason, status=error.code, lasting=not again)
    if isinstance(cause, ssl.SSLCertVerificationError):
        return WebError(f"its certificate is not valid: {cause.verify_message}", lasting=True)
    if isinstance(cause, socket.gaierror):
        return WebError(f"the name cannot be resolved ({cause.strerror})")
    if isinstance(cause, TimeoutError):
        return WebError("the server does not answer")
    if isinstance(cause, ConnectionRefusedError):
        return WebError("nothing listens there")
    if isinstance(cause, ConnectionError | http.client.IncompleteRead | http.client.RemoteDisconnected):
        return WebError("the connection broke")
    if isinstance(cause, ValueError):
        return WebError(f"the address is wrong: {cause}", lasting=True)
    return WebError(str(getattr(cause, "strerror", "") or cause))


def _opener() -> urllib.request.OpenerDirector:
    """http and https alone: a redirect must not lead to a local file."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPRedirectHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.UnknownHandler(),
    ):
        opener.add_handler(handler)
    return opener
