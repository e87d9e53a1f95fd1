"""The real plugin with another table of resource types; the project is the current folder."""

import sys
from pathlib import Path

ROOT = Path(__file__).absolute().parents[3]
sys.path[0] = str(ROOT)

from provider.process import run  # noqa: E402
from provider.registry import Registry  # noqa: E402

HANDLERS = {
    "Note": "tests.rig.toy.note:NoteResource",
    "Broken": "tests.rig.toy.broken:BrokenResource",
}

if __name__ == "__main__":
    run(sys.argv[1:], Path.cwd(), Registry(HANDLERS))
