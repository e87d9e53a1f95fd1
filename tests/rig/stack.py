"""A scratch project on the provider `lab`, run by the embedded engine or by the real CLI."""

import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from engine import operations
from engine.display import PlainDisplay
from engine.operations import Options, Outcome
from tests.rig.lab_provider import Lab

PULUMI = shutil.which("pulumi")
MISSING_PULUMI = None if PULUMI else "the Pulumi CLI is not on PATH"
PASSPHRASE = "test"
SALT = "v1:ZFjO/qxbKgE=:v1:bmZm81UUraqH4MDM:JsFWp/vXmjzjUTKG+J1KVctyy+gYsg=="
PLUGIN = Path(__file__).parent / "lab"

LIBRARY = """\
import pulumi
from pulumi import Output, ResourceOptions as Opts, export

class Thing(pulumi.CustomResource):
    def __init__(self, name, opts=None, **inputs):
        version = pulumi.ResourceOptions(version="1.0.0")
        props = {"tag": None, "key": None, **inputs}
        super().__init__("lab:index:Thing", name, props, Opts.merge(version, opts))

class Group(pulumi.ComponentResource):
    def __init__(self, name, opts=None, kind="Group"):
        super().__init__(f"lab:index:{kind}", name, {}, opts)

class Provider(pulumi.ProviderResource):
    def __init__(self, name, opts=None, **inputs):
        version = pulumi.ResourceOptions(version="1.0.0")
        super().__init__("lab", name, inputs, Opts.merge(version, opts))
"""


class Stack:
    """`shown` is what the last operation displayed; `lab` is the provider, or its folder's reader."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.lab = Lab(root / "lab-state")
        self.shown = ""
        self._read = 0
        (root / "Pulumi.yaml").write_text(
            "name: scratch\n"
            f"runtime: {{name: python, options: {{toolchain: pip, virtualenv: {sys.prefix}}}}}\n"
            f"backend: {{url: file://state}}\nplugins: {{providers: [{{name: lab, path: {PLUGIN}}}]}}\n"
        )
        (root / "state").mkdir()
        (root / "lab.py").write_text(LIBRARY)
        self.config("")

    def config(self, text: str, salt: str = f"encryptionsalt: {SALT}\n") -> None:
        (self.root / "Pulumi.test.yaml").write_text(salt + text)

    def program(self, text: str) -> None:
        (self.root / "__main__.py").write_text(f"from lab import *\n{text}")

    def orders(self, **orders: str) -> None:
        """`orders(create_a="fail")`; without any, all orders are taken back."""
        self.lab.folder.mkdir(exist_ok=True)
        text = json.dumps({key.replace("_", " "): value for key, value in orders.items()})
        (self.lab.folder / "orders.json").write_text(text)

    def run(self, verb: str, diff: bool = False, parallel: int = 8) -> Outcome:
        out = io.StringIO()
        options = Options(self.root, "test", PlainDisplay(out, diff=diff), parallel=parallel)
        try:
            return getattr(operations, verb)(options)
        finally:
            self.shown = out.getvalue()

    def up(self, program: str | None = None) -> Outcome:
        if program is not None:
            self.program(program)
        return self.run("up")

    def calls(self) -> list[str]:
        """The provider's calls since the last time one asked: `create a`."""
        path = self.lab.folder / "calls"
        lines = path.read_text().splitlines() if path.exists() else []
        new, self._read = lines[self._read :], len(lines)
        return [" ".join(json.loads(line)) for line in new]

    @property
    def checkpoint(self) -> Path:
        return self.root / "state/.pulumi/stacks/scratch/test.json"

    @property
    def latest(self) -> dict[str, Any]:
        return json.loads(self.checkpoint.read_text())["checkpoint"]["latest"]

    def resources(self) -> list[dict[str, Any]]:
        return self.latest.get("resources", [])

    def names(self) -> list[str]:
        """The resources in the state's order, without the stack and the default provider, marked."""
        marks = {"delete": "delete", "pendingReplacement": "pending", "initErrors": "ill"}
        result = []
        for item in self.resources():
            if item["type"] == "pulumi:pulumi:Stack" or "::default_" in item["urn"]:
                continue
            found = [mark for key, mark in marks.items() if item.get(key)]
            result.append(" ".join([item["urn"].rsplit("::", 1)[-1], *found]))
        return result

    def resource(self, name: str) -> dict[str, Any]:
        return next(item for item in self.resources() if item["urn"].endswith(f"::{name}"))

    def pulumi(self, *words: str, environment: Mapping[str, str] = {}) -> subprocess.CompletedProcess[str]:
        """The real CLI on the same files."""
        home = self.root / "pulumi-home"
        return subprocess.run(
            [str(PULUMI), *words, "--non-interactive"],
            cwd=self.root,
            env={
                **os.environ,
                "PULUMI_HOME": str(home),
                "PULUMI_BACKEND_URL": f"file://{self.root}/state",
                "PULUMI_SKIP_UPDATE_CHECK": "true",
                "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
                "PULUMI_DIY_BACKEND_NO_LEGACY_WARNING": "true",
                **environment,
            },
            capture_output=True,
            text=True,
            timeout=120,
        )
