"""Network: a layer-2 segment that only this stack's machines can join."""

import ipaddress
import json
import re
from pathlib import Path

from provider import machine_record as records
from provider.errors import UserError
from provider.hypervisors import AUTO
from provider.hypervisors.base import NAT, Hypervisor
from provider.resources.base import UNKNOWN, Context, Created, Failure, Found, Properties, Resource
from provider.resources.hypervisor import hypervisor_of

NAME = re.compile(r"[a-z][a-z0-9-]{0,31}")
LEFTOVERS = frozenset({"seed.iso", ".seed.iso.new", records.FILE, f".{records.FILE}.new"})


class NetworkResource(Resource):
    """The id is the resource's Pulumi name, by which machines' cards name it too."""

    TYPE = "Network"
    REPLACES = frozenset({"cidr", "hypervisor"})
    DELETE_FIRST = True

    def check(self, context: Context, inputs: Properties) -> tuple[Properties, list[Failure]]:
        failures = []
        if not NAME.fullmatch(context.name) or context.name == NAT:
            failures.append(
                Failure(f'name: got "{context.name}"; need a-z, 0-9 and -, not "{NAT}"; try internal')
            )
        try:
            if inputs.get("cidr") != UNKNOWN:
                ipaddress.ip_network(str(inputs.get("cidr")))
        except ValueError:
            failures.append(
                Failure(f'cidr: got "{inputs.get("cidr")}"; need a network address; try 10.10.10.0/24')
            )
        if inputs.get("hypervisor", AUTO) == UNKNOWN:
            return inputs, failures
        try:
            return {**inputs, "hypervisor": hypervisor_of(context, inputs).name}, failures
        except UserError as error:
            return inputs, [*failures, Failure(str(error))]

    def create(self, context: Context, inputs: Properties) -> Created:
        self._make_so(context, context.name, inputs)
        return Created(context.name)

    def read(self, context: Context, identifier: str, inputs: Properties, state: Properties) -> Found | None:
        known = inputs or _recorded(context, identifier)
        if not known or not hypervisor_of(context, known).network_exists(context.stack, identifier):
            return None
        return Found(known)

    def update(self, context: Context, identifier: str, old: Properties, new: Properties) -> Properties:
        self._make_so(context, identifier, new)
        return {}

    def delete(self, context: Context, identifier: str, state: Properties) -> None:
        """Machines go before their network: what is left of machines now was begun by a run that was killed
        and is in no state; it goes too."""
        hypervisor = hypervisor_of(context, state)
        _sweep(context, hypervisor, identifier)
        hypervisor.delete_network(context.stack, identifier)
        file = _file(context, identifier)
        file.unlink(missing_ok=True)
        for folder in (file.parent, context.stack_dir):
            _remove_if_empty(folder)

    def _make_so(self, context: Context, name: str, inputs: Properties) -> None:
        file = _file(context, name)
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        file.write_text(json.dumps({"cidr": inputs["cidr"], "hypervisor": inputs["hypervisor"]}))
        hypervisor_of(context, inputs).create_network(context.stack, name, inputs["cidr"])


def _file(context: Context, name: str) -> Path:
    return context.stack_dir / "networks" / f"{name}.json"


def _recorded(context: Context, name: str) -> Properties:
    try:
        known: Properties = json.loads(_file(context, name).read_text())
    except (OSError, ValueError):
        return {}
    return known


def _sweep(context: Context, hypervisor: Hypervisor, network: str) -> None:
    """Remove the network's machines that never ended their first boot, and folders of none."""
    for folder, record in list(records.every(context.stack_dir)):
        joined = any(card["network"] == network for card in record.inputs["cards"])
        if joined and not record.ready:
            hypervisor.delete(record.uuid)
            records.remove(folder)
    for folder in list((context.stack_dir / "machines").glob("*")):
        if {path.name for path in folder.iterdir()} <= LEFTOVERS and not records.load(folder):
            records.remove(folder)


def _remove_if_empty(folder: Path) -> None:
    try:
        folder.rmdir()
    except OSError:
        return
