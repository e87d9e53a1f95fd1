"""Provider resources: loading plugins, configuring them, finding them again by reference."""

import os
import threading
import uuid
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path

from engine import urn as urns
from engine.errors import EngineError, unsupported
from engine.launch import Process, installed_plugin, python_plugin
from engine.plugin import PluginClient
from engine.provider import Checked, ConfigurableProvider, Diff, Provider, ProviderError, Read, Target
from engine.values import UNKNOWN_TEXT, Properties, contains, equal, is_unknown

_INTERNAL = "__internal"


class Loader:
    """Finds and starts the plugin of a package; each provider resource has a process of its own."""

    def __init__(
        self,
        project_root: Path,
        folders: Mapping[str, Path],
        engine_address: str,
        environment: Mapping[str, str],
    ) -> None:
        self._root, self._folders = project_root, folders
        self._address, self._environment = engine_address, environment
        self._lock = threading.Lock()
        self._loaded: dict[tuple[str, str], ConfigurableProvider] = {}
        self._more: list[ConfigurableProvider] = []
        self._early: dict[str, ConfigurableProvider] = {}

    def load(self, urn: str, version: str, fresh: bool = False) -> ConfigurableProvider:
        """The same provider for the same URN, unless a `fresh` one is needed. Raises EngineError."""
        key = (urn, version)
        with self._lock:
            if fresh and key in self._loaded:
                self._more.append(self._loaded[key])
            if fresh or key not in self._loaded:
                self._loaded[key] = self._start(urns.package_of(urns.type_of(urn)), version)
            return self._loaded[key]

    def start_early(self) -> None:
        """Let the project's own plugins boot while the program is being imported."""
        with self._lock, suppress(EngineError):  # told again when the plugin is really needed
            for package in self._folders:
                self._early[package] = self._start(package, "")

    def _start(self, package: str, version: str) -> ConfigurableProvider:
        if package in self._early:
            return self._early.pop(package)
        attached = os.environ.get("PULUMI_DEBUG_PROVIDERS", "")
        for entry in filter(None, attached.split(",")):
            name, _, port = entry.partition(":")
            if name == package:
                return PluginClient(package, None, f"127.0.0.1:{port}", self._address)
        if package in self._folders:
            argv = python_plugin(self._folders[package])
        elif binary := installed_plugin(package, version):
            argv = [binary]
        elif package == "command":
            from engine.builtin_command import CommandProvider  # noqa: PLC0415 - rarely needed

            return CommandProvider(self._root)
        else:
            raise EngineError(
                f"no plugin for the provider {package!r}: it is neither in Pulumi.yaml's plugins, nor on "
                f"PATH, nor installed; run `pulumi plugin install resource {package} {version}`"
            )
        process = Process(package, [*argv, self._address], self._root, self._environment)
        return PluginClient(package, process)

    def all(self) -> list[ConfigurableProvider]:
        with self._lock:
            return [*self._loaded.values(), *self._more, *self._early.values()]

    def cancel(self) -> None:
        for provider in self.all():
            provider.cancel()

    def close(self) -> None:
        for provider in self.all():
            provider.cancel()
            provider.close()


def version_of(inputs: Properties) -> str:
    version = inputs.get("version", "")
    return version if isinstance(version, str) else ""


def version_inputs(version: str) -> Properties:
    """How a provider resource says which version of its plugin it wants."""
    return {"version": version, _INTERNAL: {}}


def settings(inputs: Properties) -> Properties:
    """A provider resource's inputs without the engine's own."""
    return {key: value for key, value in inputs.items() if key != _INTERNAL}


class Providers:
    """Provider resources seen as resources of a provider, so that they take every resource's way."""

    def __init__(self, loader: Loader) -> None:
        self._loader = loader
        self._lock = threading.Lock()
        self._configured: dict[str, tuple[ConfigurableProvider, Properties]] = {}

    def get(self, reference: str) -> Provider:
        """The configured provider. Raises EngineError when the reference leads nowhere."""
        with self._lock:
            if reference not in self._configured:
                raise EngineError(f"the provider {reference} is neither registered nor in the state")
            return self._configured[reference][0]

    def has(self, reference: str) -> bool:
        with self._lock:
            return reference in self._configured

    def ensure(self, urn: str, identifier: str, inputs: Properties) -> None:
        """Load and configure a provider as the state has it."""
        reference = f"{urn}::{identifier}"
        if not self.has(reference):
            self._configure(urn, identifier, inputs)

    def diff_config(self, reference: str, old: Properties, old_outputs: Properties) -> Diff:
        """How the provider judges a move of a resource to it from another one."""
        with self._lock:
            provider, news = self._configured[reference]
        urn = urns.split_reference(reference)[0]
        return provider.diff_config(urn, settings(old), old_outputs, settings(news))

    def _configure(self, urn: str, identifier: str, inputs: Properties) -> None:
        if contains(inputs, is_unknown):
            raise unsupported(f"{urn}: a provider whose settings are not known before the update")
        reference = f"{urn}::{identifier}"
        provider = self._loader.load(urn, version_of(inputs))
        with self._lock:
            taken = any(
                other is provider and ref != reference and not equal(settings(used), settings(inputs))
                for ref, (other, used) in self._configured.items()
            )
        if taken:
            provider = self._loader.load(urn, version_of(inputs), fresh=True)
        try:
            provider.configure(urn, identifier, settings(inputs))
        except ProviderError as error:
            raise ProviderError(f"configuring the provider {urns.name_of(urn)!r}: {error}") from error
        with self._lock:
            self._configured[reference] = (provider, inputs)

    # A provider's protocol, for provider resources.

    def check(self, target: Target, olds: Properties | None, news: Properties) -> Checked:
        provider = self._loader.load(target.urn, version_of(news))
        checked = provider.check_config(target.urn, settings(olds or {}), settings(news))
        engine_own = {key: news[key] for key in (_INTERNAL, "version") if key in news}
        return Checked({**checked.inputs, **engine_own}, checked.failures)

    def diff(
        self,
        target: Target,
        old_inputs: Properties,
        old_outputs: Properties,
        news: Properties,
        ignored: Sequence[str],
    ) -> Diff:
        del ignored
        provider = self._loader.load(target.urn, version_of(news))
        diff = provider.diff_config(target.urn, settings(old_inputs), old_outputs, settings(news))
        if diff.changes is None:
            return Diff(not equal(old_outputs, settings(news)), diff.replaces, diff.changed)
        return diff

    def create(self, target: Target, inputs: Properties, preview: bool) -> tuple[str, Properties]:
        identifier = UNKNOWN_TEXT if preview else str(uuid.uuid4())
        self._configure(target.urn, identifier, inputs)
        return identifier, settings(inputs)

    def update(
        self,
        target: Target,
        old_inputs: Properties,
        old_outputs: Properties,
        news: Properties,
        ignored: Sequence[str],
        preview: bool,
    ) -> Properties:
        del old_inputs, old_outputs, ignored, preview
        self._configure(target.urn, target.id, news)
        return settings(news)

    def read(self, target: Target, inputs: Properties, outputs: Properties) -> Read:
        return Read(target.id, outputs, inputs)

    def delete(self, target: Target, inputs: Properties, outputs: Properties) -> None:
        del target, inputs, outputs


class DefaultProviders:
    """The provider that a resource has when the program names none: one a package and version."""

    def __init__(
        self, register: Callable[[str, str, Properties], str], package_settings: Callable[[str], Properties]
    ) -> None:
        self._register, self._settings = register, package_settings
        self._lock = threading.Lock()
        self._references: dict[tuple[str, str], Future[str]] = {}

    def reference(self, package: str, version: str) -> str:
        """Registers the provider at its first use; others wait for that. Raises what registering raised."""
        with self._lock:
            future = self._references.get((package, version))
            first = future is None
            if future is None:
                future = self._references[package, version] = Future()
        if first:
            try:
                future.set_result(self._register_default(package, version))
            except BaseException as error:
                future.set_exception(error)
        return future.result()

    def _register_default(self, package: str, version: str) -> str:
        inputs = self._settings(package)
        name = "default"
        if version:
            inputs = {**inputs, **version_inputs(version)}
            name = "default_" + "".join(c if c.isalnum() else "_" for c in version)
        return self._register(f"{urns.PROVIDER_TYPE}{package}", name, inputs)
