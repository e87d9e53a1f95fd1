"""This computer as a `provider.ssh.Host`: real shells, no SSH, for tests of what scripts do."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from provider.ssh import CommandFailed, Result


class LocalHost:
    """Runs everything here, as root or not, and keeps what it ran in `commands`."""

    name = "local"

    def __init__(self) -> None:
        self.commands: list[str] = []

    def run(
        self, command: str, *, stdin: bytes | str = b"", timeout: float = 60.0, check: bool = True
    ) -> Result:
        self.commands.append(command)
        data = stdin.encode() if isinstance(stdin, str) else stdin
        done = subprocess.run(["sh", "-c", command], input=data, capture_output=True, timeout=timeout)
        result = Result(done.returncode, done.stdout.decode(), done.stderr.decode())
        if check and result.code != 0:
            raise CommandFailed(f"local: exit code {result.code} from: {command}\n{result.stderr}".strip())
        return result

    def sudo(
        self, script: str, *, stdin: bytes | str = b"", timeout: float = 60.0, check: bool = True
    ) -> Result:
        return self.run(script, stdin=stdin, timeout=timeout, check=check)

    @contextmanager
    def forward(self, host: str, port: int) -> Iterator[int]:
        del host
        yield port
