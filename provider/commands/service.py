"""Shell scripts and archives for files and a systemd unit on a host. Pure: text in, text out."""

import hashlib
import io
import shlex
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

UNIT_FOLDERS = ("/etc/systemd/", "/usr/lib/systemd/", "/lib/systemd/")
SEPARATOR = "--"
SETTLED = "settled"


def survey(paths: Sequence[str], unit: str | None) -> str:
    """A script that prints what is there in three parts: `sha256  path` and `mode owner path` for each
    file that exists, and the unit's state. Few processes: on an emulated machine each one takes its time."""
    names = " ".join(map(shlex.quote, paths))
    state = f"systemctl is-active {shlex.quote(unit)}" if unit else "true"
    listing = (
        f"sha256sum -- {names}; echo {SEPARATOR}; stat -c '%a %U:%G %n' -- {names}" if paths else "echo --"
    )
    return f"{{ {listing}; echo {SEPARATOR}; {state}; }} 2>/dev/null\ntrue"


def verify(files: Sequence[Mapping[str, Any]], unit: str | None, ready: str | None, seconds: int) -> str:
    """A script that surveys, and where it finds all as it should be also awaits `ready` and says SETTLED."""
    listing = survey([file["path"] for file in files], unit)
    lines = [f"found=$({listing})", 'printf "%s\\n" "$found"']
    lines.append(f'if [ "$found" = {shlex.quote(_expected(files, unit))} ]; then')
    lines += [await_ready(ready, unit, seconds)] if ready else []
    return "\n".join([*lines, f"echo {SETTLED}", "fi"])


def _expected(files: Sequence[Mapping[str, Any]], unit: str | None) -> str:
    """What `survey` prints of a host where nothing needs to be done."""
    wanted = [(wanted_state(file), file["path"]) for file in files]
    digests = [f"{state.digest}  {path}" for state, path in wanted]
    modes = [f"{state.mode} {state.owner} {path}" for state, path in wanted]
    return "\n".join([*digests, SEPARATOR, *modes, SEPARATOR, *(["active"] if unit else [])])


@dataclass(frozen=True)
class FileState:
    """`digest` is the content's SHA-256 in hex, `mode` octal without leading zeros, `owner` user:group."""

    digest: str
    mode: str
    owner: str


def wanted_state(file: Mapping[str, Any]) -> FileState:
    """The state that a file of the wire should have."""
    digest = hashlib.sha256(file["content"].encode()).hexdigest()
    return FileState(digest, f"{int(file.get('mode', '0644'), 8):o}", file.get("owner", "root:root"))


def surveyed(output: str) -> tuple[dict[str, FileState], bool, bool]:
    """What a survey found: the files by path, whether the unit runs, whether all is settled."""
    digests, _, rest = output.partition(f"{SEPARATOR}\n")
    modes, _, state = rest.partition(f"{SEPARATOR}\n")
    by_path = {path: digest for digest, path in (line.split("  ", 1) for line in digests.splitlines())}
    files = {}
    for line in modes.splitlines():
        mode, owner, path = line.split(" ", 2)
        if path in by_path:
            files[path] = FileState(by_path[path], mode, owner)
    return files, state.startswith("active"), SETTLED in state


def archive(files: Iterable[Mapping[str, Any]]) -> bytes:
    """The files as a tar with their modes and the owners' names, paths relative to /."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for file in files:
            content = file["content"].encode()
            entry = tarfile.TarInfo(file["path"].lstrip("/"))
            entry.size = len(content)
            entry.mode = int(file.get("mode", "0644"), 8)
            entry.uname, _, entry.gname = file.get("owner", "root:root").partition(":")
            tar.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def write_files(paths: Sequence[str]) -> list[str]:
    """Unpack an archive from stdin beside the files' places, then move each in whole.

    The files are staged on the same filesystem first, so a reader sees the old file or the new one.
    """
    lines = [
        "mkdir -p /var/lib/matrix",
        "stage=$(mktemp -d /var/lib/matrix/stage.XXXXXX)",
        "trap 'rm -rf \"$stage\"' EXIT",
        'tar -xpf - -C "$stage"',
    ]
    folders = sorted({path.rpartition("/")[0] for path in paths} - {""})
    lines.append("mkdir -p " + " ".join(map(shlex.quote, folders)))
    lines += [f'mv -f "$stage"{shlex.quote(path)} {shlex.quote(path)}' for path in paths]
    return lines


def apply(written: Sequence[str], removed: Sequence[str], unit: str | None, action: str, active: bool) -> str:
    """A script that puts the archive on stdin in place and makes the unit follow.

    A unit that does not run is started whatever `action` (restart, reload or none) says.
    """
    lines = ["set -e"]
    if written:
        lines += write_files(written)
    if removed:
        lines.append("rm -f " + " ".join(map(shlex.quote, removed)))
    if any(path.startswith(UNIT_FOLDERS) for path in (*written, *removed)):
        lines.append("systemctl daemon-reload")
    if unit:
        lines += _follow(unit, action if active else "start", bool(written or removed))
    return "\n".join(lines)


def _follow(unit: str, action: str, changed: bool) -> list[str]:
    name = shlex.quote(unit)
    verb = {"restart": "restart", "reload": "reload-or-restart", "start": "start"}.get(action)
    # Without its detour for old init scripts, which has systemd reload itself (seconds, when emulated).
    lines = [f"SYSTEMCTL_SKIP_SYSV=1 systemctl -q enable --no-reload {name}"]
    if verb and (changed or action == "start"):
        lines.append(f"systemctl {verb} {name} || {{ {journal(unit)} >&2; exit 1; }}")
    return lines


def await_ready(command: str, unit: str | None, seconds: int) -> str:
    """A script that repeats `command` until it exits 0; its last words and the journal when it never does."""
    told = f"{journal(unit)} >&2; " if unit else ""
    return (
        f"end=$(($(date +%s) + {seconds}))\n"
        f"until out=$({{ {command}\n}} 2>&1); do\n"
        f'  [ "$(date +%s)" -lt "$end" ] || {{ {told}echo "$out" >&2; exit 1; }}\n'
        "  sleep 1\n"
        "done"
    )


def journal(unit: str) -> str:
    return f"journalctl -u {shlex.quote(unit)} -n 15 --no-pager -o cat"


def remove(paths: Sequence[str], unit: str | None) -> str:
    """A script that stops the unit and takes its files away; right too when there is nothing left."""
    lines = [f"systemctl -q disable --now {shlex.quote(unit)} 2>/dev/null || true"] if unit else []
    if paths:
        lines.append("rm -f " + " ".join(map(shlex.quote, paths)))
    if any(path.startswith(UNIT_FOLDERS) for path in paths):
        lines.append("systemctl daemon-reload")
    return "\n".join(lines)
