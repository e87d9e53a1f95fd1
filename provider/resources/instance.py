"""Instance: one container of an application on one node, or a job that runs there once."""

import hashlib
import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from provider import ssh
from provider.commands import docker
from provider.commands.docker import Container
from provider.errors import Cancelled, UserError
from provider.resources.base import Context, Created, Failure, Found, Properties, Resource

PULL_SECONDS = 600.0
JOB_SECONDS = 900.0
ANSWERING_SECONDS = 60.0
"""For a container that answers, but not with 200: it is judged after this time."""
SILENT_SECONDS = 180.0
"""For one that does not answer yet: a runtime on an emulated machine takes its time."""
SLICE = 5
WATCH_SECONDS = 240.0
"""For one look at a slice: five tries of five seconds, many times slower where several machines start."""
STOP_GRACE = 30
JOB_LOG_LINES = 50
REFUSED, NO_ANSWER_IN_TIME = "7", "28"
CURL_TEXTS = {
    REFUSED: "connection refused, nothing listens there",
    NO_ANSWER_IN_TIME: "no answer in 5 s",
    "52": "connection closed without an answer",
    "56": "connection reset",
}
SECRET_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
VARIABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class InstanceResource(Resource):
    """The id is `address/container`. The input `running` is added: a container that stopped is a change."""

    TYPE = "Instance"
    REPLACES = frozenset(
        {
            "application",
            "machine",
            "image",
            "address",
            "port",
            "health_path",
            "environment",
            "secrets",
            "memory",
        }
    )
    IGNORED = frozenset({"connection"})

    def check(self, context: Context, inputs: Properties) -> tuple[Properties, list[Failure]]:
        del context
        failures = [
            f'secrets: got "{name}"; need a file name of letters, digits, "_", "-" and "."; rename it'
            for name in _mapping(inputs, "secrets")
            if not SECRET_NAME.fullmatch(name)
        ]
        failures += [
            f'environment: got "{name}"; need a name of letters, digits and "_"; rename it'
            for name in _mapping(inputs, "environment")
            if not VARIABLE_NAME.fullmatch(name)
        ]
        return {**inputs, "running": True}, [Failure(reason) for reason in failures]

    def create(self, context: Context, inputs: Properties) -> Created:
        run = _Run(context, inputs, container_name(context, inputs))
        return Created(run.identifier, run.start())

    def read(self, context: Context, identifier: str, inputs: Properties, state: Properties) -> Found | None:
        if not inputs:
            raise UserError(
                f"{identifier}: an instance cannot be imported, its node is not known; let `up` make it"
            )
        run = _Run(context, inputs, identifier.rpartition("/")[2], state)
        try:
            running = run.well()
        except ssh.Unreachable:
            context.progress("the node does not answer: taken as it was")
            return Found(inputs, run.outputs(state.get("log", "")))
        if running is None:
            return None
        return Found({**inputs, "running": running}, run.outputs(state.get("log", "")))

    def update(self, context: Context, identifier: str, old: Properties, new: Properties) -> Properties:
        run = _Run(context, new, identifier.rpartition("/")[2], old)
        well = run.well()
        if well is None:
            return run.start()
        return run.outputs(old.get("log", "")) if well else run.restart()

    def delete(self, context: Context, identifier: str, state: Properties) -> None:
        run = _Run(context, state, identifier.rpartition("/")[2], state)
        try:
            run.remove(STOP_GRACE)
        except ssh.Unreachable:
            context.progress("the node does not answer: the container goes with it")


def container_name(context: Context, inputs: Mapping[str, Any]) -> str:
    """`application-digest`: a retry has the same name, a change of any input another one."""
    counted = {key: inputs.get(key) for key in sorted(InstanceResource.REPLACES - {"secrets"})}
    text = json.dumps([context.stack, context.name, counted], sort_keys=True).encode()
    secrets = inputs.get("secrets") or {}
    if secrets:
        # Slow on purpose: the name is public and must not help anybody to guess a short secret.
        value = json.dumps(secrets, sort_keys=True).encode()
        text += hashlib.scrypt(value, salt=hashlib.sha256(text).digest(), n=2**14, r=8, p=1, dklen=32)
    return f"{inputs['application']}-{hashlib.sha256(text).hexdigest()[:12]}"


def _mapping(inputs: Properties, key: str) -> Mapping[str, Any]:
    value = inputs.get(key)
    return value if isinstance(value, dict) else {}


@dataclass
class _Run:
    """One call's work on one container."""

    context: Context
    inputs: Mapping[str, Any]
    name: str
    state: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        self.host = ssh.connect(self.inputs["connection"])
        self.port = int((self.state or {}).get("host_port") or 0)
        self.pid = 0

    @property
    def identifier(self) -> str:
        return f"{self.inputs['address']}/{self.name}"

    @property
    def what(self) -> str:
        return f"{self.inputs['application']} on {self.inputs['address']}"

    @property
    def is_job(self) -> bool:
        return self.inputs.get("port") is None

    @property
    def url(self) -> str:
        return f"http://{self.inputs['address']}:{self.port}{self.inputs['health_path']}"

    def outputs(self, log: str) -> Properties:
        return {"container": self.name, "host_port": self.port, "log": log}

    def start(self) -> Properties:
        """Make it so: a container that runs and is healthy, or a job that has ended well; else nothing."""
        self.context.progress("pulling and starting")
        secrets = self.inputs.get("secrets") or {}
        script, files = docker.start(self._container()), docker.secret_files(secrets)
        result = self.host.sudo(script, stdin=files, timeout=PULL_SECONDS, check=False)
        try:
            if result.code != 0:
                raise UserError(f"{self.what}: the container cannot be started\n{_tail(result.stderr)}")
            answer = docker.parse(result.stdout)
            self.port, self.pid = int(answer["port"][0]), int(answer["state"][1])
            return self._await_job(answer["state"]) if self.is_job else self._await_health()
        except Cancelled:
            self._clean_up(keep_image=True)
            raise
        except ssh.Unreachable:
            raise  # what is there is adopted by the next run
        except UserError as error:
            self._clean_up(keep_image=False)
            raise UserError(f"{error}\nthe container was removed; what served before goes on") from error

    def restart(self) -> Properties:
        """Start one afresh that was stopped or is no longer healthy; one that fails is left as it is."""
        self.context.progress("restarting")
        if self.is_job:
            self.remove(STOP_GRACE)
            return self.start()
        answer = docker.parse(self.host.sudo(docker.restart(self.name), timeout=120).stdout)
        self.pid = int(answer["state"][1])
        return self._await_health()

    def well(self) -> bool | None:
        """Whether it runs and is healthy (a job: has ended well); None when it does not exist."""
        url = None if self.is_job else self.url
        result = self.host.sudo(docker.look(self.name, url), timeout=60, check=False)
        if result.code != 0:
            if "no such object" in result.stderr.lower():
                return None
            raise UserError(f"{self.what}: docker does not answer on the node\n{_tail(result.stderr)}")
        answer = docker.parse(result.stdout)
        state, exit_code = answer["state"][0], answer["state"][2]
        if self.is_job:
            return state == "running" or (state == "exited" and exit_code == "0")
        return state == "running" and answer["health"][0] == "200"

    def remove(self, grace: int, keep_image: bool = False) -> None:
        image = "" if keep_image else str(self.inputs.get("image") or "")
        self.host.sudo(docker.remove(self.name, image, grace), timeout=grace + 90.0)

    def _container(self) -> Container:
        given = self.inputs
        return Container(
            name=self.name,
            image=given["image"],
            application=given["application"],
            stack=self.context.stack,
            instance=self.context.name,
            address=given["address"],
            port=None if self.is_job else int(given["port"]),
            memory=int(given["memory"]),
            environment=given.get("environment") or {},
            secrets=frozenset(given.get("secrets") or {}),
        )

    def _await_health(self) -> Properties:
        self.context.progress("waiting for health")
        began = time.monotonic()
        while True:
            script = docker.watch(self.name, self.url, self.pid, SLICE)
            answer = docker.parse(self.host.sudo(script, timeout=WATCH_SECONDS).stdout)
            status, failed = answer["health"]
            if "state" in answer:
                raise UserError(f"{self.what}: {_ended(answer['state'])}\n{self._log()}")
            if status == "200":
                return self.outputs("")
            seen = f"status {status}" if failed == "0" else CURL_TEXTS.get(failed, f"curl exit code {failed}")
            silent = failed != "0"
            limit = self.context.timeout or (SILENT_SECONDS if silent else ANSWERING_SECONDS)
            if time.monotonic() - began > limit:
                raise UserError(
                    f"{self.what}: not healthy after {limit:g} s\n"
                    f"GET {self.url}: {seen}, need status 200\n{self._log()}"
                )
            self._stop_if_cancelled()
            self.context.progress(f"waiting for health: {seen}")

    def _await_job(self, state: Any) -> Properties:
        self.context.progress("running")
        deadline = time.monotonic() + (self.context.timeout or JOB_SECONDS)
        while state[0] != "exited":
            if time.monotonic() > deadline:
                raise UserError(f"{self.what}: the job has not ended in time\n{self._log()}")
            self._stop_if_cancelled()
            script = docker.wait_job(self.name, SLICE)
            state = docker.parse(self.host.sudo(script, timeout=SLICE + 60.0).stdout)["state"]
        if state[2] != "0":
            raise UserError(f"{self.what}: the job ended with exit code {state[2]}\n{self._log()}")
        script = f"{docker.finished(self.name)}; {docker.logs(self.name, JOB_LOG_LINES)}"
        return self.outputs(self.host.sudo(script).stdout.strip())

    def _log(self) -> str:
        text = _tail(self.host.sudo(docker.logs(self.name), check=False).stdout)
        return f"last lines of its log:\n{text}" if text else "it has logged nothing"

    def _stop_if_cancelled(self) -> None:
        if self.context.cancelled.is_set():
            raise Cancelled(f"{self.what}: interrupted while waiting for it")

    def _clean_up(self, keep_image: bool) -> None:
        try:
            self.remove(grace=5, keep_image=keep_image)
        except UserError as error:
            self.context.progress(f"{self.name} could not be removed: {error}")


def _ended(state: Any) -> str:
    status, _, exit_code, restarts = state
    if status == "running":
        return f"its process ended by itself and was started again ({restarts} times)"
    return f"its process ended with exit code {exit_code} before it was healthy"


def _tail(text: str) -> str:
    return "\n".join(text.strip().splitlines()[-docker.LOG_LINES :])
