"""The plugin's entry point: Pulumi runs `python provider <engine address>` with no more on the path."""

import sys
from pathlib import Path

PLUGIN = Path(__file__).absolute().parent
PROJECT = PLUGIN.parent

# The plugin folder's own modules must be found as `provider.x` only, and its siblings at all.
sys.path[:] = [str(PROJECT), *(entry for entry in sys.path if Path(entry).absolute() != PLUGIN)]

from provider.process import run  # noqa: E402
from provider.registry import Registry  # noqa: E402

if __name__ == "__main__":
    run(sys.argv[1:], PROJECT, Registry())
