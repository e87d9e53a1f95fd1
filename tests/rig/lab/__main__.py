"""The provider `lab` as a plugin process: its folder is `lab-state` in the project."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3]))

from tests.rig.lab_provider import Lab, serve

if __name__ == "__main__":
    server, port = serve(Lab(Path.cwd() / "lab-state", sys.argv[1]))
    print(port, flush=True)
    server.wait_for_termination()
