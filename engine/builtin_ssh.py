"""One command on a remote host, over SSH with pinned host keys, through a proxy where there is one."""

import base64
import io
import threading
import time
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

import paramiko

from engine.provider import ProviderError

_KEY_CLASSES = (paramiko.Ed25519Key, paramiko.ECDSAKey, paramiko.RSAKey)
_PAUSE_SECONDS = 1.0


def run_remote(
    connection: Mapping[str, Any], command: str, environment: Mapping[str, str], stdin: str
) -> tuple[int, str, str]:
    """(exit code, stdout, stderr). Raises ProviderError when the host cannot be reached.

    The environment reaches the command only where the server's AcceptEnv lets it.
    """
    with ExitStack() as stack:
        sock = None
        if proxy := connection.get("proxy"):
            transport = _connect(proxy, None, stack)
            where = (str(connection["host"]), int(connection.get("port", 22)))
            try:
                sock = transport.open_channel("direct-tcpip", where, ("127.0.0.1", 0))
            except paramiko.SSHException as error:
                raise ProviderError(
                    f"cannot reach {where[0]}:{where[1]} through {proxy['host']}: {error}"
                ) from error
        channel = _connect(connection, sock, stack).open_session()
        stack.callback(channel.close)
        channel.update_environment(dict(environment))
        channel.exec_command(command)
        return _talk(channel, stdin)


def _talk(channel: paramiko.Channel, stdin: str) -> tuple[int, str, str]:
    """Both outputs are read at the same time: a full one would stop the command."""
    errors: list[bytes] = []
    reader = threading.Thread(target=lambda: errors.append(channel.makefile_stderr("rb").read()))
    reader.start()
    channel.sendall(stdin.encode())
    channel.shutdown_write()
    out = channel.makefile("rb").read()
    reader.join()
    return channel.recv_exit_status(), out.decode(errors="replace"), b"".join(errors).decode(errors="replace")


def _connect(connection: Mapping[str, Any], sock: Any, stack: ExitStack) -> paramiko.Transport:
    host, port = str(connection["host"]), int(connection.get("port", 22))
    if not connection.get("hostKey"):
        raise ProviderError(
            f"connection to {host}: hostKey is missing, so that any server could pose as it; "
            "set it to the host's public key"
        )
    client = paramiko.SSHClient()
    stack.callback(client.close)
    client.set_missing_host_key_policy(paramiko.RejectPolicy())
    kind, _, rest = str(connection["hostKey"]).partition(" ")
    key = paramiko.PKey.from_type_string(kind, base64.b64decode(rest.split(" ")[0]))
    client.get_host_keys().add(host if port == 22 else f"[{host}]:{port}", kind, key)
    attempts = max(int(connection.get("dialErrorLimit", 10)), 1)
    timeout = int(connection.get("perDialTimeout", 15)) or None
    for attempt in range(1, attempts + 1):
        try:
            client.connect(
                host,
                port,
                username=connection.get("user", "root"),
                password=connection.get("password"),
                pkey=_private_key(connection),
                sock=sock,
                timeout=timeout,
                banner_timeout=timeout,
                auth_timeout=timeout,
                look_for_keys=False,
                allow_agent=False,
            )
            break
        except (paramiko.BadHostKeyException, paramiko.AuthenticationException) as error:
            raise ProviderError(f"connection to {host}:{port} refused: {error}") from error
        except (OSError, paramiko.SSHException) as error:
            if sock is not None or attempt == attempts:
                raise ProviderError(
                    f"cannot connect to {host}:{port} after {attempt} attempts: {error}"
                ) from error
            time.sleep(_PAUSE_SECONDS)
    transport = client.get_transport()
    if transport is None:
        raise ProviderError(f"the connection to {host}:{port} was closed at once")
    return transport


def _private_key(connection: Mapping[str, Any]) -> paramiko.PKey | None:
    text = connection.get("privateKey")
    if not text:
        return None
    for kind in _KEY_CLASSES:
        try:
            return kind.from_private_key(io.StringIO(text), connection.get("privateKeyPassword"))
        except paramiko.SSHException:
            continue
    raise ProviderError("connection: privateKey is in no known form; need an OpenSSH private key")
