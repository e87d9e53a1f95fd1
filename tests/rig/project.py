"""A scratch project whose program makes nothing and tells what a small cloud would."""

from pathlib import Path

PROJECT = """\
name: cloudmatrix
runtime:
  name: python
  options: {{toolchain: pip, virtualenv: {venv}}}
backend:
  url: file://.matrix/state?create_dir=true
"""

PROGRAM = """\
import pulumi
from config import load

config = load()
pulumi.export("urls", {"shop": f"http://127.0.0.1:{config.forwards.http}/shop/"})
pulumi.export("addresses", {host: config.network.address(host) for host in ("manager", *config.nodes)})
pulumi.export("ssh", {host: f"./matrix ssh {host}" for host in ("manager", *config.nodes)})
pulumi.export("connections", pulumi.Output.secret({"manager": {"private_key": "hunter2"}}))
"""


def write(folder: Path, settings: str = "") -> Path:
    """A project with the stack `dev`; `settings` are lines below its `config:`."""
    root = Path(__file__).parents[2]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "Pulumi.yaml").write_text(PROJECT.format(venv=root / ".venv"))
    (folder / "Pulumi.dev.yaml").write_text(f"config:\n{settings}" if settings else "")
    (folder / "__main__.py").write_text(PROGRAM)
    (folder / "config").symlink_to(root / "config")
    return folder
