"""Prometheus' node exporter: figures of a machine, on its private address only."""

from services.files import File

UNIT = "prometheus-node-exporter.service"
PORT = 9100
COLLECTORS = (
    "cpu",
    "diskstats",
    "filesystem",
    "loadavg",
    "meminfo",
    "netdev",
    "os",
    "stat",
    "uname",
    "vmstat",
)
"""A short list: each collector costs processor time at every scrape."""


def node_exporter_files(address: str) -> tuple[File, ...]:
    """`address` is the machine's on the private network."""
    arguments = [
        f"--web.listen-address={address}:{PORT}",
        "--collector.disable-defaults",
        *(f"--collector.{name}" for name in COLLECTORS),
    ]
    return (
        File("/etc/default/prometheus-node-exporter", f'ARGS="{" ".join(arguments)}"\n'),
        # The address may come after the service: it tries until then.
        File(
            f"/etc/systemd/system/{UNIT}.d/matrix.conf",
            "[Unit]\nStartLimitIntervalSec=0\n\n[Service]\nRestartSec=2\n",
        ),
    )


def ready(address: str) -> str:
    """A shell command that exits 0 once figures are given."""
    return f"curl -sf --max-time 5 -o /dev/null http://{address}:{PORT}/metrics"
