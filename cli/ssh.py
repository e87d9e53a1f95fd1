"""ssh: OpenSSH with the stack's own keys, pinned host keys and the way through the manager."""

import os
import shlex
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from cli import outputs
from cli.errors import CliError
from cli.session import Session, stack_option

Connection = Mapping[str, Any]


class BeforeDashes(click.Command):
    """Options and arguments end at `--`; what follows is left in `ctx.args` as it is."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ours = args[: args.index("--")] if "--" in args else args
        super().parse_args(ctx, list(ours))
        ctx.args = args[len(ours) + 1 :]
        return ctx.args

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        return [*super().collect_usage_pieces(ctx), "[-- COMMAND...]"]


@click.command(cls=BeforeDashes)
@stack_option
@click.argument("host", default="manager")
@click.pass_context
def ssh(context: click.Context, host: str) -> None:
    """Open a shell on HOST (the manager by default), or run COMMAND there."""
    session, command = context.ensure_object(Session), context.args
    connections = outputs.read(session, show_secrets=True).get("connections") or {}
    if host not in connections:
        known = ", ".join(sorted(connections)) or "none"
        raise CliError(f'there is no host "{host}" in the stack {session.stack}; there are {known}')
    program = shutil.which("ssh")
    if program is None:
        raise CliError("there is no ssh on PATH; install OpenSSH's client (Debian: openssh-client)")
    folder = session.folder / "ssh"
    write(folder, session.stack, connections)
    os.execv(program, argv(folder, host, command))  # noqa: S606 - a list, no shell


def argv(folder: Path, host: str, command: Sequence[str]) -> list[str]:
    words = ["ssh", "-F", str(folder / "config"), host]
    return [*words, "--", *command] if command else words


def write(folder: Path, stack: str, connections: Mapping[str, Connection]) -> None:
    """The keys, host keys and configuration for all hosts, for their owner only."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for host, connection in connections.items():
        _write(_key(folder, host), connection["private_key"])
    _write(folder / "known_hosts", known_hosts(stack, connections))
    _write(folder / "config", configuration(folder, stack, connections))


def known_hosts(stack: str, connections: Mapping[str, Connection]) -> str:
    return "".join(
        f"{_alias(stack, host)} {connection['host_key'].strip()}\n"
        for host, connection in sorted(connections.items())
    )


def configuration(folder: Path, stack: str, connections: Mapping[str, Connection]) -> str:
    """An ssh_config with one section for each host, and the settings they share."""
    return "".join(_section(folder, stack, host, connections) for host in sorted(connections)) + _shared(
        folder
    )


def _section(folder: Path, stack: str, host: str, connections: Mapping[str, Connection]) -> str:
    connection = connections[host]
    lines = [
        f"Host {host}",
        f"  HostName {connection['host']}",
        f"  Port {int(connection['port'])}",
        f"  User {connection['user']}",
        f"  HostKeyAlias {_alias(stack, host)}",
        f"  IdentityFile {_quoted(_key(folder, host))}",
    ]
    if connection.get("proxy"):
        lines.append(f"  ProxyCommand {_through(folder, _jump(connection['proxy'], connections))}")
    return "\n".join(lines) + "\n"


def _jump(proxy: Connection, connections: Mapping[str, Connection]) -> str:
    """The host word of a proxy, so that its own section holds for it."""
    for host, connection in connections.items():
        if (connection["host"], connection["port"]) == (proxy["host"], proxy["port"]):
            return host
    raise CliError(f"the way through {proxy['host']} is no machine of this stack; run ./matrix up")


def _through(folder: Path, host: str) -> str:
    """As `ProxyJump host`, which does not quote the path of the configuration for the shell it starts."""
    config = shlex.quote(str(folder / "config")).replace("%", "%%")
    return f"ssh -F {config} -W [%h]:%p {host}"


def _shared(folder: Path) -> str:
    return "\n".join(
        [
            "Host *",
            "  StrictHostKeyChecking yes",
            f"  UserKnownHostsFile {_quoted(folder / 'known_hosts')}",
            "  GlobalKnownHostsFile none",
            "  UpdateHostKeys no",
            "  IdentitiesOnly yes",
            "  IdentityAgent none",
            "  PasswordAuthentication no",
            "  LogLevel ERROR",
            "",
        ]
    )


def _alias(stack: str, host: str) -> str:
    return f"{stack}-{host}"


def _key(folder: Path, host: str) -> Path:
    return folder / f"{host}.key"


def _quoted(path: Path) -> str:
    """A path as ssh_config takes it: % begins a token there."""
    return '"' + str(path).replace("%", "%%") + '"'


def _write(path: Path, text: str) -> None:
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.touch(mode=0o600)
    draft.write_text(text if text.endswith("\n") else f"{text}\n", encoding="utf-8")
    draft.replace(path)
