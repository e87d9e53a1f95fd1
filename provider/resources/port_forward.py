"""PortForward: a TCP port of this computer that leads to a machine's NAT card."""

import re
import time

from provider.errors import Cancelled, UserError
from provider.hypervisors import AUTO
from provider.hypervisors.base import Forward, Hypervisor, PowerState
from provider.resources.base import UNKNOWN, Context, Created, Failure, Found, Properties, Resource
from provider.resources.hypervisor import hypervisor_of
from provider.resources.machine_checks import port_failure, served

NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
HANDOVER = 30.0
"""Seconds in which another forward of the stack gives up a port that this one takes over in the same run."""
POLL = 0.2


class PortForwardResource(Resource):
    """The id is `uuid/name` with the resource's Pulumi name."""

    TYPE = "PortForward"
    REPLACES = frozenset({"machine", "hypervisor", "host_ip", "host_port", "guest_port"})
    DELETE_FIRST = True

    def check(self, context: Context, inputs: Properties) -> tuple[Properties, list[Failure]]:
        failures = []
        if not NAME.fullmatch(context.name):
            failures.append(Failure(f'name: got "{context.name}"; need a-z, 0-9 and -; try http'))
        guest_port = inputs.get("guest_port")
        if guest_port != UNKNOWN and not (isinstance(guest_port, int) and 1 <= guest_port <= 65535):
            failures.append(Failure(f"guest_port: got {guest_port}; need 1 to 65535; try 80"))
        if inputs.get("hypervisor", AUTO) == UNKNOWN:
            return inputs, failures
        try:
            hypervisor = hypervisor_of(context, inputs)
        except UserError as error:
            return inputs, [*failures, Failure(str(error))]
        if UNKNOWN not in (inputs["host_ip"], inputs["host_port"]):
            failures += port_failure(context, hypervisor, "host_port", inputs["host_ip"], inputs["host_port"])
        return {**inputs, "hypervisor": hypervisor.name}, failures

    def create(self, context: Context, inputs: Properties) -> Created:
        rule = _rule(context.name, inputs)
        hypervisor = hypervisor_of(context, inputs)
        _await_handover(context, hypervisor, inputs["machine"], rule)
        hypervisor.forward(inputs["machine"], rule)
        return Created(f"{inputs['machine']}/{rule.name}")

    def read(self, context: Context, identifier: str, inputs: Properties, state: Properties) -> Found | None:
        machine, _, name = identifier.partition("/")
        hypervisor = hypervisor_of(context, inputs or state)
        rules = [rule for rule in hypervisor.status(machine).forwards if rule.name == name]
        if not rules:
            return None
        return Found(
            {
                "machine": machine,
                "hypervisor": hypervisor.name,
                "host_ip": rules[0].host_ip,
                "host_port": rules[0].host_port,
                "guest_port": rules[0].guest_port,
            }
        )

    def update(self, context: Context, identifier: str, old: Properties, new: Properties) -> Properties:
        machine, _, name = identifier.partition("/")
        hypervisor_of(context, new).forward(machine, _rule(name, new))
        return {}

    def delete(self, context: Context, identifier: str, state: Properties) -> None:
        machine, _, name = identifier.partition("/")
        hypervisor = hypervisor_of(context, state)
        if hypervisor.status(machine).state is not PowerState.ABSENT:
            hypervisor.unforward(machine, name)


def _rule(name: str, inputs: Properties) -> Forward:
    return Forward(name, inputs["host_ip"], inputs["host_port"], inputs["guest_port"])


def _await_handover(context: Context, hypervisor: Hypervisor, machine: str, rule: Forward) -> None:
    """Forwards change side by side: the one that has the port so far may be removed a moment later.

    UserError: it has it still after HANDOVER seconds. So it does where it is removed for good, or only gets
    another name: engines delete what is no longer wanted at the end.
    """
    end, shown = time.monotonic() + HANDOVER, False
    while others := set(served(context, hypervisor, rule.host_ip, rule.host_port)) - {(machine, rule.name)}:
        other, port = min(name for _, name in others), rule.host_port
        if time.monotonic() > end:
            raise UserError(
                f"forwards.{rule.name}: port {port} is held by the forward {other} of this stack, "
                f"for {HANDOVER:g} s already; set another, or remove that one first"
            )
        if not shown:
            context.progress(f"waiting for the forward {other} to give up port {port}")
        shown = True
        if context.cancelled.wait(POLL):
            raise Cancelled(f"forwards.{rule.name}: interrupted while waiting for port {port}")
