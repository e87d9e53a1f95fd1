"""The real Pulumi CLI at work on a scratch project whose provider is the toy plugin."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.rig.plugin import ROOT, TOY

PULUMI = shutil.which("pulumi")
MISSING = "pulumi is not on PATH"
DEADLINE = 120.0
RUNTIME = f"runtime: {{name: python, options: {{toolchain: pip, virtualenv: {sys.prefix}}}}}\n"

NOTES = """\
import json, os, pathlib, signal
import pulumi

signal.signal(signal.SIGINT, lambda *_: os._exit(1))
OUTPUTS = ("kind", "length", "ratio", "seal", "echo", "path")
made = {}


class Note(pulumi.CustomResource):
    def __init__(self, name, inputs, opts):
        props = {**dict.fromkeys(OUTPUTS), **inputs}
        super().__init__("matrix:index:Note", name, props, opts)

    def translate_output_property(self, prop):
        return prop

    def translate_input_property(self, prop):
        return prop


for note in json.loads(pathlib.Path("notes.json").read_text()):
    inputs = dict(note["inputs"])
    for key in note.get("secret", []):
        inputs[key] = pulumi.Output.secret(inputs[key])
    for key, (other, output) in note.get("from", {}).items():
        inputs[key] = getattr(made[other], output)
    made[note["name"]] = Note(note["name"], inputs, pulumi.ResourceOptions(**note.get("options", {})))
"""


@dataclass(frozen=True)
class Done:
    code: int
    output: str


@dataclass
class Project:
    """A scratch project with one stack, `dev`, and a program of our own.

    `plugin` is the folder of the provider: the toy, or `provider` in a checkout.
    """

    folder: Path
    program: str = NOTES
    plugin: Path = TOY

    def __post_init__(self) -> None:
        (self.folder / ".matrix" / "state").mkdir(parents=True)
        settings = (
            f"name: scratch\n{RUNTIME}plugins: {{providers: [{{name: matrix, path: {self.plugin}}}]}}\n"
        )
        (self.folder / "Pulumi.yaml").write_text(settings)
        (self.folder / "__main__.py").write_text(self.program)
        self.notes([])
        self.pulumi("stack", "select", "--create", "dev")

    def notes(self, notes: Sequence[Mapping[str, Any]]) -> None:
        """What the program declares: `{"name", "inputs", "secret", "from", "options"}` each."""
        (self.folder / "notes.json").write_text(json.dumps(notes))

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        assert PULUMI
        return subprocess.Popen(
            [PULUMI, *arguments, "--non-interactive"],
            cwd=self.folder,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def pulumi(self, *arguments: str) -> Done:
        process = self.start(*arguments)
        output, _ = process.communicate(timeout=DEADLINE)
        return Done(process.returncode, output)

    def up(self) -> Done:
        return self.pulumi("up", "--yes", "--skip-preview")

    def state(self) -> str:
        """The checkpoint as it is on disk."""
        return (self.folder / ".matrix" / "state" / ".pulumi" / "stacks" / "scratch" / "dev.json").read_text()

    def resource(self, name: str) -> dict[str, Any] | None:
        """One resource of the checkpoint; secrets are encrypted."""
        resources = json.loads(self.state())["checkpoint"]["latest"].get("resources", [])
        found = [one for one in resources if one["urn"].endswith(f"::{name}")]
        return found[0] if found else None

    def _environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "PULUMI_HOME": str(self.folder / ".pulumi-home"),
            "PULUMI_BACKEND_URL": f"file://{self.folder}/.matrix/state",
            "PULUMI_CONFIG_PASSPHRASE": "canary-passphrase",
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "PYTHONPATH": str(ROOT),
        }
