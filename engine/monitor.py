"""The resource monitor, called by the program in this process, and the engine service, by plugins too."""

import re
import threading
from collections.abc import Callable
from typing import Any

from google.protobuf import empty_pb2
from google.protobuf.message import Message
from pulumi.runtime.proto import engine_pb2, engine_pb2_grpc, resource_pb2, resource_pb2_grpc

from engine import urn as urns
from engine.errors import EngineError, unsupported
from engine.events import Diagnostic, Event, Progress
from engine.execute import Deployment
from engine.plan import Alias, Goal
from engine.providers import DefaultProviders, version_inputs
from engine.stack_config import Config
from engine.values import Properties, Secret, decode, encode

_FEATURES = (
    resource_pb2.RESOURCE_MONITOR_FEATURE_SECRETS,
    resource_pb2.RESOURCE_MONITOR_FEATURE_RESOURCE_REFERENCES,
    resource_pb2.RESOURCE_MONITOR_FEATURE_ALIAS_SPECS,
    resource_pb2.RESOURCE_MONITOR_FEATURE_DELETED_WITH,
)
_SECONDS = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1, "m": 60, "h": 3600}
_REFUSED_FIELDS = {
    "remote": "a remote component",
    "importId": "the option import_",
    "transforms": "the option transforms",
    "state_migrations": "the option state_migrations",
    "hooks": "the option hooks",
    "replace_with": "the option replace_with",
    "replacement_trigger": "the option replacement_trigger",
    "pluginDownloadURL": "the option plugin_download_url",
    "packageRef": "a parameterized package",
    "envVarMappings": "the option env_var_mappings",
    "snippetId": "a snippet",
}


class Monitor(resource_pb2_grpc.ResourceMonitorServicer):
    """Registrations of one run. Every refusal is shown once and stops the program."""

    def __init__(self, deployment: Deployment, config: Config, parallel: int) -> None:
        self._deployment, self._config, self._parallel = deployment, config, parallel
        self._goals: dict[str, Goal] = {}
        self._lock = threading.Lock()
        self._defaults = DefaultProviders(self._register_provider, self._settings)
        self.stack_outputs: tuple[str, Properties] | None = None

    def GetDeploymentInfo(self, request: Any, context: Any = None) -> resource_pb2.DeploymentInfo:
        del request, context
        return resource_pb2.DeploymentInfo(
            project=self._deployment.project,
            stack=self._deployment.stack,
            organization="organization",
            config=self._config.values,
            configSecretKeys=sorted(self._config.secret_keys),
            dryRun=self._deployment.preview,
            parallel=self._parallel,
            supportedFeatures=_FEATURES,
        )

    def SupportsFeature(self, request: Any, context: Any = None) -> resource_pb2.SupportsFeatureResponse:
        del context
        known = request.id in ("secrets", "resourceReferences", "aliasSpecs", "deletedWith")
        return resource_pb2.SupportsFeatureResponse(hasSupport=known)

    def SignalAndWaitForShutdown(self, request: Any, context: Any = None) -> empty_pb2.Empty:
        del request, context
        return empty_pb2.Empty()

    def RegisterResource(
        self, request: resource_pb2.RegisterResourceRequest, context: Any = None
    ) -> resource_pb2.RegisterResourceResponse:
        del context
        with self._lock:
            parent = self._goals.get(request.parent)
        try:
            _refuse(request)
            goal = _goal(request)
            goal = goal.inherit(parent) if parent else goal
            provider = self._provider(request) if request.custom else ""
        except EngineError as error:
            raise self._deployment.steps.fail("", f"{request.type} {request.name!r}: {error}") from None
        state = self._deployment.register(goal if not provider else goal.provided_by(provider))
        with self._lock:
            self._goals[state.urn] = goal
        outputs = encode(state.outputs) if request.custom else None
        return resource_pb2.RegisterResourceResponse(urn=state.urn, id=state.id, object=outputs)

    def _provider(self, request: resource_pb2.RegisterResourceRequest) -> str:
        if urns.is_provider(request.type):
            return ""
        package = urns.package_of(request.type)
        explicit = request.provider or request.providers.get(package, "")
        return explicit or self._defaults.reference(package, request.version)

    def _register_provider(self, type_: str, name: str, inputs: Properties) -> str:
        state = self._deployment.register(Goal(type_, name, True, inputs))
        return f"{state.urn}::{state.id}"

    def _settings(self, package: str) -> Properties:
        return {
            name: Secret(value) if secret else value
            for name, (value, secret) in self._config.package(package).items()
        }

    def RegisterResourceOutputs(
        self, request: resource_pb2.RegisterResourceOutputsRequest, context: Any = None
    ) -> empty_pb2.Empty:
        del context
        try:
            outputs = decode(request.outputs)
            if urns.qualified_type(request.urn) == urns.STACK_TYPE:
                self.stack_outputs = (request.urn, outputs)
            else:
                self._deployment.set_outputs(request.urn, outputs)
        except EngineError as error:
            raise self._deployment.steps.fail(request.urn, str(error)) from None
        return empty_pb2.Empty()

    def _refusal(self, what: str) -> Callable[..., Any]:
        raise self._deployment.steps.fail("", str(unsupported(what)))

    def ReadResource(self, request: Any, context: Any = None) -> Any:
        del context
        reference = request.type == "pulumi:pulumi:StackReference"
        self._refusal("a stack reference" if reference else f"reading an existing resource ({request.type})")

    def Invoke(self, request: Any, context: Any = None) -> Any:
        del context
        self._refusal(f"the function {request.tok}")

    def Call(self, request: Any, context: Any = None) -> Any:
        del context
        self._refusal(f"the method {request.tok}")

    def RegisterPackage(self, request: Any, context: Any = None) -> Any:
        del context
        self._refusal(f"the parameterized package {request.name}")


class EngineService(engine_pb2_grpc.EngineServicer):
    """Messages of the program and of the plugins."""

    def __init__(self, emit: Callable[[Event], None]) -> None:
        self._emit = emit

    def Log(self, request: engine_pb2.LogRequest, context: Any = None) -> empty_pb2.Empty:
        del context
        severity = engine_pb2.LogSeverity.Name(request.severity).lower()
        if request.ephemeral and request.urn:
            self._emit(Progress(request.urn, request.message))
        else:
            self._emit(Diagnostic(severity, request.message, request.urn))
        return empty_pb2.Empty()

    def RequirePulumiVersion(
        self, request: Any, context: Any = None
    ) -> engine_pb2.RequirePulumiVersionResponse:
        del request, context
        return engine_pb2.RequirePulumiVersionResponse()


def _refuse(request: resource_pb2.RegisterResourceRequest) -> None:
    for descriptor, value in request.ListFields():
        empty = isinstance(value, Message) and not value.ByteSize()  # a present message may say nothing
        if descriptor.name in _REFUSED_FIELDS and not empty:
            raise unsupported(_REFUSED_FIELDS[descriptor.name])
    if request.type.startswith("pulumi-python:dynamic"):
        raise unsupported("a dynamic provider")


def _goal(request: resource_pb2.RegisterResourceRequest) -> Goal:
    inputs = decode(request.object)
    if urns.is_provider(request.type) and request.version:
        inputs |= version_inputs(request.version)
    depending = {key: tuple(value.urns) for key, value in request.propertyDependencies.items()}
    usual = () if depending else tuple(request.dependencies)
    depending = {**dict.fromkeys(request.object.fields, usual), **depending}
    decided = request.deleteBeforeReplaceDefined or request.deleteBeforeReplace
    timeouts = request.customTimeouts
    return Goal(
        type=request.type,
        name=request.name,
        custom=request.custom,
        inputs=inputs,
        parent=request.parent,
        dependencies=tuple(request.dependencies),
        property_dependencies=depending,
        protect=request.protect if request.HasField("protect") else None,
        retain_on_delete=request.retainOnDelete if request.HasField("retainOnDelete") else None,
        deleted_with=request.deletedWith,
        delete_before_replace=request.deleteBeforeReplace if decided else None,
        ignore_changes=tuple(request.ignoreChanges),
        replace_on_changes=tuple(request.replaceOnChanges),
        additional_secret_outputs=tuple(request.additionalSecretOutputs),
        custom_timeouts={
            name: seconds(getattr(timeouts, name))
            for name in ("create", "update", "delete", "read")
            if getattr(timeouts, name)
        },
        aliases=(*(Alias(urn=urn) for urn in request.aliasURNs), *map(_alias, request.aliases)),
    )


def _alias(alias: Any) -> Alias:
    if alias.WhichOneof("alias") == "urn":
        return Alias(urn=alias.urn)
    spec = alias.spec
    parent = {"parentUrn": spec.parentUrn, "noParent": ""}.get(spec.WhichOneof("parent") or "")
    return Alias("", spec.name, spec.type, spec.stack, spec.project, parent)


def seconds(text: str) -> int:
    """Whole seconds of a duration like `1h30m` or `90s`. Raises EngineError."""
    parts = re.findall(r"(\d+(?:\.\d+)?)(ns|us|ms|s|m|h)", text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise EngineError(f"custom_timeouts: got {text!r}; need a duration; try '5m' or '90s'")
    return int(sum(float(number) * _SECONDS[unit] for number, unit in parts))
