"""A container registry's HTTP interface, over TLS by a given authority. Credentials stay in memory."""

import base64
import http.client
import json
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self
from urllib.parse import quote, urlsplit

from provider.containers.archive import MANIFEST
from provider.errors import UserError, described

TIMEOUT = 120.0
PORT = 5000
READABLE = (
    MANIFEST,
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.index.v1+json",
)


class Unavailable(UserError):
    """The registry does not answer (yet). Worth another try."""


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes


def name_and_port(host: str) -> tuple[str, int]:
    """`manager.matrix:5000` as name and port; 5000 when no port is given."""
    name, _, port = host.partition(":")
    return name, int(port) if port else PORT


class _Connection(http.client.HTTPSConnection):
    """Goes to a local end of a tunnel, but expects the certificate of the registry behind it."""

    def __init__(self, port: int, expected_name: str, context: ssl.SSLContext) -> None:
        super().__init__("127.0.0.1", port, timeout=TIMEOUT, context=context)
        self._expected_name, self._tls = expected_name, context

    def connect(self) -> None:
        plain = socket.create_connection(("127.0.0.1", self.port), self.timeout)
        try:
            self.sock = self._tls.wrap_socket(plain, server_hostname=self._expected_name)
        except BaseException:
            plain.close()
            raise


class Registry:
    """One connection, kept open. `wire` is `{"host", "ca", "username", "password"}`; `port` is on 127.0.0.1.

    Every method raises Unavailable when there is no answer, and UserError for an answer that is refused.
    """

    def __init__(self, wire: Mapping[str, Any], port: int) -> None:
        self._name = wire["host"]
        context = ssl.create_default_context(cadata=wire["ca"])
        self._connection = _Connection(port, name_and_port(wire["host"])[0], context)
        pair = f"{wire['username']}:{wire['password']}".encode()
        self._authorization = f"Basic {base64.b64encode(pair).decode()}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def ready(self) -> None:
        """Return when the registry answers and takes the credentials."""
        self._expect(self._ask("GET", "/v2/"), 200)

    def manifest_digest(self, repository: str, reference: str) -> str | None:
        """The digest under which a manifest (by tag or digest) is kept; None when it is not there."""
        answer = self._ask("HEAD", f"/v2/{repository}/manifests/{reference}", accept=READABLE)
        return None if answer.status == 404 else self._expect(answer, 200).headers["docker-content-digest"]

    def has_blob(self, repository: str, digest: str) -> bool:
        answer = self._ask("HEAD", f"/v2/{repository}/blobs/{digest}")
        return answer.status != 404 and bool(self._expect(answer, 200))

    def repositories(self) -> list[str]:
        answer = self._expect(self._ask("GET", "/v2/_catalog?n=1000"), 200)
        return list(json.loads(answer.body).get("repositories") or [])

    def tags(self, repository: str) -> list[str]:
        answer = self._ask("GET", f"/v2/{repository}/tags/list")
        if answer.status == 404:
            return []
        return list(json.loads(self._expect(answer, 200).body).get("tags") or [])

    def mount_blob(self, repository: str, digest: str, source: str) -> bool:
        """Make a blob of another repository one of this repository, without sending it."""
        path = f"/v2/{repository}/blobs/uploads/?mount={quote(digest)}&from={quote(source)}"
        answer = self._expect(self._ask("POST", path), 201, 202)
        if answer.status == 202:
            self._ask("DELETE", _path(answer.headers["location"]))  # an upload was opened instead
        return answer.status == 201

    def put_blob(self, repository: str, digest: str, data: bytes | Path, size: int) -> None:
        opened = self._expect(self._ask("POST", f"/v2/{repository}/blobs/uploads/"), 202)
        path = _path(opened.headers["location"])
        path += f"{'&' if '?' in path else '?'}digest={quote(digest)}"
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size)}
        if isinstance(data, bytes):
            self._expect(self._ask("PUT", path, data, headers), 201)
            return
        with data.open("rb") as file:
            self._expect(self._ask("PUT", path, file, headers), 201)

    def put_manifest(self, repository: str, reference: str, manifest: bytes) -> str:
        """Store a manifest under a tag; returns the digest that the registry gives it."""
        path = f"/v2/{repository}/manifests/{reference}"
        answer = self._expect(self._ask("PUT", path, manifest, {"Content-Type": MANIFEST}), 201)
        return answer.headers["docker-content-digest"]

    def delete_manifest(self, repository: str, digest: str) -> None:
        """Delete a manifest and all its tags; no error when it is not there."""
        answer = self._ask("DELETE", f"/v2/{repository}/manifests/{digest}")
        if answer.status == 405:
            raise UserError(f"registry {self._name}: deleting is switched off (storage.delete.enabled)")
        self._expect(answer, 202, 404)

    def _ask(
        self,
        method: str,
        path: str,
        body: bytes | IO[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
        accept: tuple[str, ...] = (),
    ) -> Answer:
        own = {"Authorization": self._authorization, "Host": self._name, **(headers or {})}
        if accept:
            own["Accept"] = ", ".join(accept)
        try:
            self._connection.request(method, path, body, own)
            response = self._connection.getresponse()
            data = response.read()
        except ssl.SSLCertVerificationError as error:
            self._connection.close()
            raise UserError(
                f"registry {self._name}: its certificate is not this stack's ({error.verify_message}); "
                "something else answers there, nothing was sent to it"
            ) from error
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            raise Unavailable(f"registry {self._name}: {described(error)}") from error
        return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, data)

    def _expect(self, answer: Answer, *statuses: int) -> Answer:
        if answer.status in statuses:
            return answer
        if answer.status in (500, 502, 503, 504):
            raise Unavailable(
                f"registry {self._name}: status {answer.status} {_reason(answer.body)}".rstrip()
            )
        if answer.status == 401:
            raise UserError(f"registry {self._name}: refuses the stack's user name and password")
        raise UserError(f"registry {self._name}: status {answer.status} {_reason(answer.body)}".rstrip())


def _path(location: str) -> str:
    """The registry names itself in its answers, by a name that may not lead there from here."""
    parts = urlsplit(location)
    return f"{parts.path}?{parts.query}" if parts.query else parts.path


def _reason(body: bytes) -> str:
    try:
        return "; ".join(f"{one['code']}: {one['message']}" for one in json.loads(body)["errors"])
    except (ValueError, KeyError, TypeError):
        return body[:200].decode(errors="replace")
