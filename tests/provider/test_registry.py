"""Every type of the wire contract has a handler, and one broken handler does not break the others."""

import inspect

import pytest

from components import resources
from provider.errors import UserError
from provider.registry import HANDLERS, Registry
from provider.resources.base import Resource

DECLARED = {
    declared.TYPE: declared
    for _, declared in inspect.getmembers(resources, inspect.isclass)
    if issubclass(declared, resources._Resource) and declared.TYPE
}


def test_the_table_names_exactly_the_declared_types() -> None:
    assert set(HANDLERS) == set(DECLARED)


@pytest.mark.parametrize("name", sorted(HANDLERS))
def test_every_handler_loads_and_agrees_with_the_declaration(name: str) -> None:
    handler = Registry().resolve(f"matrix:index:{name}")
    declared = DECLARED[name]
    assert name == handler.TYPE
    assert isinstance(handler, Resource)
    secrets = handler.SECRETS & set(declared.OUTPUTS)
    assert secrets == set(declared.SECRETS), "both sides must name the same secret outputs"
    inputs = set(inspect.signature(declared.__init__).parameters)
    assert inputs | {"source_digest"} >= handler.REPLACES
    assert inputs >= handler.IGNORED


def test_a_handler_is_made_once() -> None:
    registry = Registry()
    assert registry.resolve("matrix:index:KeyPair") is registry.resolve("matrix:index:KeyPair")


def test_an_unknown_type_is_named() -> None:
    with pytest.raises(
        UserError, match=r"^resource type matrix:index:Moon: not known to this provider; it has Appl"
    ):
        Registry().resolve("matrix:index:Moon")


def test_a_missing_module_breaks_only_its_own_type() -> None:
    handlers = {"Password": HANDLERS["Password"], "Gone": "provider.resources.gone:GoneResource"}
    registry = Registry(handlers)
    with pytest.raises(
        UserError, match=r"^resource type m:i:Gone: provider\.resources\.gone cannot be imported: "
    ):
        registry.resolve("m:i:Gone")
    assert registry.resolve("m:i:Password").TYPE == "Password"
