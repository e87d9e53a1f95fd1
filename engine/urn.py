"""URNs (`urn:pulumi:STACK::PROJECT::QUALIFIED$TYPE::NAME`) and provider references (`URN::ID`)."""

STACK_TYPE = "pulumi:pulumi:Stack"
PROVIDER_TYPE = "pulumi:providers:"


def make(stack: str, project: str, parent: str, type_: str, name: str) -> str:
    parent_type = qualified_type(parent) if parent else ""
    if parent_type and parent_type != STACK_TYPE:
        type_ = f"{parent_type}${type_}"
    return f"urn:pulumi:{stack}::{project}::{type_}::{name}"


def _parts(urn: str) -> list[str]:
    return urn.split("::", 3)


def qualified_type(urn: str) -> str:
    return _parts(urn)[2]


def type_of(urn: str) -> str:
    return qualified_type(urn).rsplit("$", 1)[-1]


def name_of(urn: str) -> str:
    return _parts(urn)[3]


def with_type(urn: str, qualified: str) -> str:
    head, project, _, name = _parts(urn)
    return "::".join((head, project, qualified, name))


def is_provider(type_: str) -> bool:
    return type_.startswith(PROVIDER_TYPE)


def package_of(type_: str) -> str:
    """The package of a resource type, or the one that a provider type stands for."""
    return type_.removeprefix(PROVIDER_TYPE) if is_provider(type_) else type_.split(":", 1)[0]


def split_reference(reference: str) -> tuple[str, str]:
    """(URN, id) of a provider reference."""
    urn, _, identifier = reference.rpartition("::")
    return urn, identifier
