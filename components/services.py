"""Services on a machine as resources."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import pulumi

from components.machines import Machine
from components.resources import Service
from services.files import File

Rendered = Sequence[File]


def wire_files(files: Rendered) -> list[dict[str, str]]:
    """Files as the provider takes them."""
    return [dataclasses.asdict(file) for file in files]


def rendered(
    render: Callable[..., Rendered], **values: pulumi.Input[Any]
) -> pulumi.Output[list[dict[str, str]]]:
    """Files of a pure render function whose values are outputs; secret when a value is."""
    return pulumi.Output.all(**values).apply(lambda known: wire_files(render(**known)))


def service(
    machine: Machine,
    name: str,
    files: pulumi.Input[Sequence[Any]],
    *,
    unit: str | None = None,
    action: str = "restart",
    ready: str | None = None,
    parent: pulumi.Resource,
    after: Sequence[pulumi.Resource] = (),
) -> Service:
    """A service on a machine; its resource name is `<host>-<name>`. It goes with its machine."""
    return Service(
        f"{machine.host}-{name}",
        host=machine.host,
        connection=machine.connection,
        machine=machine.incarnation,
        files=files,
        unit=unit,
        action=action,
        ready=ready,
        opts=pulumi.ResourceOptions(parent=parent, depends_on=[*after], deleted_with=machine.vm),
    )
