"""Which instances Varnish takes for healthy.

Read from its counters: `backend.list` with a pattern crashes Varnish 7.7 as soon as there is a label
(varnish-cache issue 4390), and without a pattern it shows the active VCL alone.
"""

import json
import subprocess
from pathlib import Path

WINDOW, THRESHOLD = 3, 2
"""As in the probe of every application's VCL."""


def backends(workdir: Path, vcl: str) -> dict[str, bool]:
    """The VCL's backends by name, and whether each is healthy by its probe.

    The counter `happy` has a bit for each probe, the latest lowest. Raises OSError without varnishstat,
    ValueError when it says something else.
    """
    command = ["varnishstat", "-n", str(workdir), "-1", "-j", "-f", f"VBE.{vcl}.*.happy"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode != 0:
        raise OSError(f"varnishstat: {done.stderr.strip() or done.stdout.strip()}")
    counters = json.loads(done.stdout)["counters"]
    return {key.split(".")[2]: _healthy(counter["value"]) for key, counter in counters.items()}


def _healthy(happy: int) -> bool:
    return (happy & ((1 << WINDOW) - 1)).bit_count() >= THRESHOLD
