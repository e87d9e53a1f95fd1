"""The hypervisor that a resource's inputs mean."""

from collections.abc import Mapping
from typing import Any

from provider import machine_record as records
from provider.hypervisors import AUTO, select
from provider.hypervisors.base import Hypervisor
from provider.resources.base import Context


def hypervisor_of(context: Context, inputs: Mapping[str, Any]) -> Hypervisor:
    """The driver; `auto` stays with what the stack is made on already. UserError: none can be used."""
    name = str(inputs.get("hypervisor") or AUTO)
    in_use = records.hypervisor_in_use(context.stack_dir) if name == AUTO else None
    return select(name, context.project / ".matrix", in_use)
