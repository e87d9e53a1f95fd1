"""Commands, stdin and tunnels on a host over SSH, with pinned host keys and through a proxy.

Fabric gives the connection and its gateway. Commands go over the transport's own channels, because
Fabric's runner feeds stdin a character at a time and files are sent by stdin here.
"""

import base64
import io
import logging
import shlex
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import fabric
import paramiko
import psutil

from provider.errors import UserError, described

CONNECT_TIMEOUT = 20.0
BANNER_TIMEOUT = 60.0
KEEPALIVE = 15
SESSIONS = 8
"""Commands at once on one host; sshd's MaxSessions is 10 by default."""
CHUNK = 64 * 1024
TAIL_LINES = 20
LINGER = 2.0
LISTEN_DEADLINE = 10.0

T = TypeVar("T")

# Each try at a machine that still boots would leave a traceback; what matters is raised.
logging.getLogger("paramiko").setLevel(logging.CRITICAL)


class Unreachable(UserError):
    """No SSH there (yet): refused, reset, no banner, no route. Worth another try."""


class AuthenticationFailed(UserError):
    """SSH answers and refuses the key. Right after the first boot the user may not exist yet."""


class WrongHostKey(UserError):
    """The host is not the one that was made: never retried."""


class CommandFailed(UserError):
    """A command exited non-zero or ran out of time."""


@dataclass(frozen=True)
class Result:
    code: int
    stdout: str
    stderr: str


class Host(Protocol):
    """A host that commands run on. Thread-safe; connects at the first use and again after a loss."""

    name: str

    def run(
        self, command: str, *, stdin: bytes | str = b"", timeout: float = 60.0, check: bool = True
    ) -> Result:
        """Run a shell command as the login user; `timeout` is seconds from its start.

        Raises CommandFailed when time runs out, or when `check` and the exit code is not 0; Unreachable,
        AuthenticationFailed or WrongHostKey when there is no connection to be had.
        """
        ...

    def sudo(
        self, script: str, *, stdin: bytes | str = b"", timeout: float = 60.0, check: bool = True
    ) -> Result:
        """Run a shell script as root; as `run` otherwise."""
        ...

    def forward(self, host: str, port: int) -> AbstractContextManager[int]:
        """A port on 127.0.0.1 that leads through this host to host:port while the context is open."""
        ...


_hosts: dict[tuple[Any, ...], "SshHost"] = {}
_hosts_lock = threading.RLock()


def connect(connection: Mapping[str, Any]) -> Host:
    """The host that a wire `connection` leads to; equal connections share one."""
    return _host(connection)


def _host(connection: Mapping[str, Any]) -> "SshHost":
    identity = _identity(connection)
    with _hosts_lock:
        if identity not in _hosts:
            proxy = connection.get("proxy")
            _hosts[identity] = SshHost(connection, _host(proxy) if proxy else None)
        return _hosts[identity]


def _identity(connection: Mapping[str, Any]) -> tuple[Any, ...]:
    proxy = connection.get("proxy")
    own = tuple(connection[key] for key in ("host", "port", "user", "private_key", "host_key"))
    return (*own, _identity(proxy) if proxy else None)


class SshHost:
    """A host over Fabric."""

    def __init__(self, connection: Mapping[str, Any], proxy: "SshHost | None") -> None:
        self._connection = connection
        self._proxy = proxy
        self._fabric: fabric.Connection | None = None
        self._lock = threading.Lock()
        self._sessions = threading.BoundedSemaphore(SESSIONS)
        self.name = f"{connection['host']}:{connection['port']}"

    def run(
        self, command: str, *, stdin: bytes | str = b"", timeout: float = 60.0, check: bool = True
    ) -> Result:
        data = stdin.encode() if isinstance(stdin, str) else stdin
        with self._sessions:
            channel = self._translated(lambda: self._transport().open_session(timeout=CONNECT_TIMEOUT))
            try:
                result = self._translated(lambda: _execute(channel, command, data, timeout, self.name))
            finally:
                channel.close()
        if check and result.code != 0:
            raise CommandFailed(_failure(self.name, command, result))
        return result

    def sudo(
        self, script: str, *, stdin: bytes | str = b"", timeout: float = 60.0, check: bool = True
    ) -> Result:
        return self.run(f"sudo -n sh -c {shlex.quote(script)}", stdin=stdin, timeout=timeout, check=check)

    @contextmanager
    def forward(self, host: str, port: int) -> Iterator[int]:
        connection = self._translated(self._connected)
        local = _free_port()
        with connection.forward_local(local, port, host, "127.0.0.1"):
            _await_listening(local)
            yield local

    def close(self) -> None:
        with self._lock:
            if self._fabric is not None:
                self._fabric.close()
            self._fabric = None

    def _transport(self) -> paramiko.Transport:
        transport = _active(self._connected())
        if transport is None:
            raise Unreachable(f"SSH to {self.name}: the connection was closed at once")
        return transport

    def _connected(self) -> fabric.Connection:
        with self._lock:
            if _active(self._fabric) is None:
                self._fabric = self._open()
            return self._fabric

    def _open(self) -> fabric.Connection:
        wire = self._connection
        connection = fabric.Connection(
            wire["host"],
            user=wire["user"],
            port=int(wire["port"]),
            # An empty SSH config: the user's own settings must not change where we go or what we trust.
            config=fabric.Config(ssh_config=paramiko.SSHConfig()),
            connect_timeout=CONNECT_TIMEOUT,
            connect_kwargs={
                "pkey": paramiko.Ed25519Key.from_private_key(io.StringIO(wire["private_key"])),
                "allow_agent": False,
                "look_for_keys": False,
                "banner_timeout": BANNER_TIMEOUT,
                "auth_timeout": BANNER_TIMEOUT,
                "sock": self._proxy._channel_to(wire["host"], int(wire["port"])) if self._proxy else None,
            },
        )
        client = connection.client
        client.set_missing_host_key_policy(paramiko.RejectPolicy())
        kind, _, rest = wire["host_key"].strip().partition(" ")
        pinned = paramiko.PKey.from_type_string(kind, base64.b64decode(rest.split(" ")[0]))
        client.get_host_keys().add(_known_name(wire), kind, pinned)
        connection.open()
        client.get_transport().set_keepalive(KEEPALIVE)
        return connection

    def _channel_to(self, host: str, port: int) -> paramiko.Channel:
        transport = self._transport()
        return transport.open_channel("direct-tcpip", (host, port), ("127.0.0.1", 0), timeout=CONNECT_TIMEOUT)

    def _translated(self, action: Callable[[], T]) -> T:
        try:
            return action()
        except paramiko.BadHostKeyException as error:
            raise WrongHostKey(_wrong_key(self.name, error)) from error
        except paramiko.AuthenticationException as error:
            raise AuthenticationFailed(
                f"SSH to {self.name}: the key is refused for user {self._connection['user']}"
            ) from error
        except paramiko.SSHException as error:
            if "not found in known_hosts" in str(error):
                raise WrongHostKey(f"SSH to {self.name}: {error}") from error
            raise Unreachable(f"SSH to {self.name}: {described(error)}") from error
        except (OSError, EOFError) as error:
            raise Unreachable(f"SSH to {self.name}: {described(error)}") from error


def _active(connection: fabric.Connection | None) -> paramiko.Transport | None:
    transport: paramiko.Transport | None = connection.client.get_transport() if connection else None
    return transport if transport is not None and transport.is_active() else None


def _known_name(wire: Mapping[str, Any]) -> str:
    port = int(wire["port"])
    return str(wire["host"]) if port == 22 else f"[{wire['host']}]:{port}"


def _execute(channel: paramiko.Channel, command: str, stdin: bytes, timeout: float, name: str) -> Result:
    """Feed and drain together, so that neither side can block the other on a full window."""
    deadline = time.monotonic() + timeout
    channel.exec_command(command)
    sender = threading.Thread(target=_feed, args=(channel, stdin), daemon=True)
    sender.start()
    out, err = io.BytesIO(), io.BytesIO()
    ended = 0.0
    while True:
        moved = _drain(channel, out, err)
        if channel.exit_status_ready() and not moved:
            ended = ended or time.monotonic()
            # A daemon that the command left behind may hold its output open for ever.
            if channel.eof_received or time.monotonic() - ended > LINGER:
                break
        if not moved:
            if time.monotonic() > deadline:
                shown = f"SSH to {name}: no end after {timeout:g} s: {_short(command)}"
                raise CommandFailed(f"{shown}\n{_tail(err.getvalue().decode(errors='replace'))}".rstrip())
            if channel.closed and not channel.exit_status_ready():
                raise Unreachable(f"SSH to {name}: the connection was lost during: {_short(command)}")
            time.sleep(0.01)
    sender.join(timeout=1)
    code = channel.recv_exit_status()
    return Result(code, out.getvalue().decode(errors="replace"), err.getvalue().decode(errors="replace"))


def _feed(channel: paramiko.Channel, stdin: bytes) -> None:
    try:
        view = memoryview(stdin)
        for start in range(0, len(view), CHUNK):
            channel.sendall(bytes(view[start : start + CHUNK]))
        channel.shutdown_write()
    except (OSError, paramiko.SSHException):
        return  # the command ended without reading it all; its exit code tells


def _drain(channel: paramiko.Channel, out: io.BytesIO, err: io.BytesIO) -> bool:
    moved = False
    while channel.recv_ready():
        out.write(channel.recv(CHUNK))
        moved = True
    while channel.recv_stderr_ready():
        err.write(channel.recv_stderr(CHUNK))
        moved = True
    return moved


def _failure(name: str, command: str, result: Result) -> str:
    text = _tail(result.stderr) or _tail(result.stdout)
    return f"{name}: exit code {result.code} from: {_short(command)}\n{text}".rstrip()


def _tail(text: str) -> str:
    return "\n".join(text.strip().splitlines()[-TAIL_LINES:])


def _short(command: str, limit: int = 160) -> str:
    line = " ".join(command.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def _wrong_key(name: str, error: paramiko.BadHostKeyException) -> str:
    expected, got = error.expected_key.get_base64(), error.key.get_base64()
    return (
        f"SSH to {name}: the host key is not the one this machine was made with\n"
        f"expected …{expected[-16:]}, got …{got[-16:]}\n"
        "something else answers on that address; nothing was sent to it"
    )


def _await_listening(port: int) -> None:
    """Fabric's tunnel listens in a thread of its own, some time after it is said to be open.

    Looked up and not tried out: a connection of ours would go through to the other end.
    """
    end = time.monotonic() + LISTEN_DEADLINE
    while time.monotonic() < end:
        for entry in psutil.Process().net_connections("tcp"):
            if entry.status == psutil.CONN_LISTEN and entry.laddr[1] == port:
                return
        time.sleep(0.02)
    raise Unreachable(f"a tunnel's port {port} on this computer does not open")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
