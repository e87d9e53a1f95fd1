"""Requests lost when one of three instances is killed: the router against Varnish's usual set-up, in one run.

    python benchmarks/router.py [--seconds 8] [--rate 300] [--clients 16]

The usual set-up is one VCL with a round_robin director and a probe with the default times. It passes
everything to the instances, as the router does, so that no cache hides a loss.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.rig.backend import Backend
from tests.rig.router import MISSING, Load, Router, free_ports, load
from tests.rig.waiting import wait_until

USUAL = """vcl 4.1;
import directors;
{backends}
sub vcl_init {{
    new nodes = directors.round_robin();
{added}
}}
sub vcl_recv {{ set req.backend_hint = nodes.backend(); return (pass); }}
"""
PROBE = '.probe = { .url = "/health"; }'
BEFORE = 1.0


def usual(folder: Path, backends: list[Backend], measure: Callable[[int], Load]) -> Load:
    """The loss behind a varnishd as most people write its VCL."""
    declared = "\n".join(
        f'backend b{number} {{ .host = "127.0.0.1"; .port = "{backend.port}"; {PROBE} }}'
        for number, backend in enumerate(backends)
    )
    added = "\n".join(f"    nodes.add_backend(b{number});" for number in range(len(backends)))
    (folder / "usual.vcl").write_text(USUAL.format(backends=declared, added=added))
    (port,) = free_ports(1)
    command = ["varnishd", "-F", "-j", "none", "-n", str(folder / "v"), "-f", str(folder / "usual.vcl")]
    command += ["-a", f"127.0.0.1:{port}", "-T", "none", "-s", "malloc,32m", "-l", "16m"]
    with (folder / "log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as varnishd:
        try:
            return measure(port)
        finally:
            varnishd.terminate()


def ours(folder: Path, backends: list[Backend], measure: Callable[[int], Load]) -> Load:
    with Router(folder) as router:
        router.apply("shop", *backends)
        return measure(router.port)


def lost(options: argparse.Namespace, path: str, victim: Backend, port: int) -> Load:
    """Load for the whole time; the victim is killed after the first second."""
    with load(port, [path], clients=1, rate=20) as warm:
        wait_until(lambda: len(warm.names) == 3, seconds=30)
    with load(port, [path], clients=options.clients, rate=options.rate) as seen:
        time.sleep(BEFORE)
        victim.kill()
        time.sleep(options.seconds - BEFORE)
    return seen


def main() -> None:
    options = _options()
    if MISSING:
        sys.exit(f"not installed: {', '.join(MISSING)}")
    results = {}
    for name, path, way in (("usual set-up", "/", usual), ("our router", "/shop/", ours)):
        backends = [Backend(instance) for instance in ("one", "two", "three")]
        try:
            with tempfile.TemporaryDirectory() as folder:
                victim = backends[0]
                seen = way(Path(folder), backends, lambda port: lost(options, path, victim, port))  # noqa: B023
        finally:
            for backend in backends:
                backend.kill()
        results[name] = len(seen.failures)
        print(f"{name:13} {len(seen.failures):5} of {seen.requests} requests lost")
    print(f"ratio: {results['our router']} to {results['usual set-up']}, over {options.seconds:g} s")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seconds", type=float, default=8.0, help="at most 60")
    parser.add_argument("--rate", type=float, default=300.0, help="requests a second in all, at most 500")
    parser.add_argument("--clients", type=int, default=16, help="at most 64")
    options = parser.parse_args()
    if not (2 <= options.seconds <= 60 and 1 <= options.rate <= 500 and 1 <= options.clients <= 64):
        parser.error("beyond the limits: see --help")
    return options


if __name__ == "__main__":
    main()
