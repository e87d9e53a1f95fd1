"""What runs on the manager for the router: varnishd as a unit of its own, and the command matrix-router."""

import json
from pathlib import Path

from services.files import File
from vcl.render import top_vcl

UNIT = "matrix-router.service"
COMMAND = "/usr/local/sbin/matrix-router"
READY = f"{COMMAND} ready"
"""A shell command that exits 0 when the router answers."""
STATE = "/etc/varnish/matrix"
PACKAGES = ("varnish", "varnish-modules", "tcc", "binutils", "python3-minimal")
"""Debian packages that must be in the manager's image. Without tcc, gcc is used: 10 times slower."""

# tcc compiles a VCL in a twentieth of gcc's time, but its own linker marks the stack executable, which
# glibc 2.41 refuses to load; ld does not.
CC_COMMAND = (
    "{ command -v tcc >/dev/null && tcc -w -c -o %o.o %s && exec ld -shared -z noexecstack -o %o %o.o; }"
    " || exec gcc -O0 -w -fpic -shared -o %o %s"
)
PARAMETERS = {
    "cc_command": CC_COMMAND,
    "thread_pool_min": "10",
    "thread_pool_max": "1000",
    "cli_limit": "10M",
    # Shorter than any application server keeps an idle connection, so that a request is hardly ever sent
    # into one that is being closed: a request with a body could not be sent again.
    "backend_idle_timeout": "4",
    # Websockets may be silent for as long.
    "pipe_timeout": "3600",
}
PATIENCE = {"connect": 5, "healthy": 30, "smoke": 20, "drain": 30}
"""Seconds that a deploy waits at most for each of these."""

_LAUNCHER = """\
#!/usr/bin/python3 -IS
import sys

sys.path.insert(0, "/usr/local/lib")
from matrix_router.main import main

sys.exit(main(sys.argv[1:]))
"""


def router_files(
    *, port: int = 6081, cli_port: int = 6082, cache_mib: int = 64, workdir: str = "/var/lib/varnish/varnishd"
) -> tuple[File, ...]:
    """The files of the Service whose unit is UNIT; they depend on no application and no node."""
    settings: dict[str, object] = {
        "state": STATE,
        "run": "/run/matrix-router",
        "workdir": workdir,
        "cli": cli_port,
        "http": port,
        "patience": PATIENCE,
    }
    program = [
        File(f"/usr/local/lib/matrix_router/{source.name}", source.read_text())
        for source in sorted((Path(__file__).parent / "host").glob("*.py"))
    ]
    return (
        File(f"/etc/systemd/system/{UNIT}", unit(port, cli_port, cache_mib, workdir)),
        File(f"{STATE}/router.json", json.dumps(settings, indent=2) + "\n"),
        File(f"{STATE}/top.vcl", top_vcl()),
        File(COMMAND, _LAUNCHER, mode="0755"),
        *program,
    )


def varnishd(port: int, cli_port: int, cache_mib: int, workdir: str, listen: str = "") -> list[str]:
    """The command line. It starts with no VCL at all: `matrix-router boot` loads what is persisted.

    The secret of the command line interface is made by varnishd at each start, in its workdir.
    """
    command = ["varnishd", "-F", "-f", "", "-n", workdir, "-a", f"{listen}:{port}"]
    command += ["-T", f"127.0.0.1:{cli_port}", "-s", f"malloc,{cache_mib}m", "-l", "16m"]
    for name, value in PARAMETERS.items():
        command += ["-p", f"{name}={value}"]
    return command


def unit(port: int, cli_port: int, cache_mib: int, workdir: str) -> str:
    """The systemd unit; it is up when every persisted application is served."""
    program, *arguments = varnishd(port, cli_port, cache_mib, workdir)
    line = " ".join([f"/usr/sbin/{program}", *map(_quoted, arguments)])
    return f"""\
[Unit]
Description=Router of the cloud (Varnish)
After=network.target
Conflicts=varnish.service

[Service]
ExecStart={line}
ExecStartPost={COMMAND} boot
Restart=always
RestartSec=1
TimeoutStartSec=300
KillMode=mixed
LimitNOFILE=131072
LimitMEMLOCK=64M
ProtectSystem=full
ProtectHome=true
PrivateTmp=true
PrivateDevices=true
# ProtectSystem makes /etc read-only, and `boot` writes the top VCL there.
ReadWritePaths={STATE}

[Install]
WantedBy=multi-user.target
"""


def _quoted(argument: str) -> str:
    escaped = argument.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{escaped}"' if not argument or set(argument) & set(" {};|&>\"'") else escaped
