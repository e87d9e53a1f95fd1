"""Which class handles which resource type. Handlers are imported when first needed."""

import importlib
import logging
import threading
from collections.abc import Mapping

from provider.errors import UserError
from provider.resources.base import Resource

logger = logging.getLogger(__name__)

HANDLERS: Mapping[str, str] = {
    "ApplicationBuild": "provider.resources.application_build:ApplicationBuildResource",
    "ApplicationImage": "provider.resources.application_image:ApplicationImageResource",
    "BaseImage": "provider.resources.base_image:BaseImageResource",
    "Certificate": "provider.resources.certificate:CertificateResource",
    "Instance": "provider.resources.instance:InstanceResource",
    "KeyPair": "provider.resources.key_pair:KeyPairResource",
    "Network": "provider.resources.network:NetworkResource",
    "Password": "provider.resources.password:PasswordResource",
    "PortForward": "provider.resources.port_forward:PortForwardResource",
    "Route": "provider.resources.route:RouteResource",
    "Service": "provider.resources.service:ServiceResource",
    "VirtualMachine": "provider.resources.virtual_machine:VirtualMachineResource",
}


class Registry:
    """Handlers by the last part of the type token (`matrix:index:KeyPair` -> `KeyPair`); thread-safe."""

    def __init__(self, handlers: Mapping[str, str] = HANDLERS) -> None:
        self._paths = dict(handlers)
        self._loaded: dict[str, Resource] = {}
        self._lock = threading.Lock()

    def resolve(self, token: str) -> Resource:
        """The handler of a type token. UserError: no such type, or its module cannot be imported."""
        name = token.rsplit(":", 1)[-1]
        path = self._paths.get(name)
        if path is None:
            known = ", ".join(sorted(self._paths))
            raise UserError(f"resource type {token}: not known to this provider; it has {known}")
        with self._lock:
            if name not in self._loaded:
                self._loaded[name] = self._load(token, path)
            return self._loaded[name]

    def _load(self, token: str, path: str) -> Resource:
        module_name, class_name = path.split(":")
        try:
            module = importlib.import_module(module_name)
        except ImportError as error:
            logger.exception("cannot import %s", module_name)
            raise UserError(
                f"resource type {token}: {module_name} cannot be imported: {error}; "
                "reinstall the packages of requirements.lock"
            ) from error
        handler: Resource = getattr(module, class_name)()
        return handler
