"""VirtualMachine: a clone of a base image, created when its SSH answers with the expected host key."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from provider import machine_record as records
from provider.boot import FAILURES, Boot, FirstBootFailed, Patience
from provider.errors import Cancelled, HalfMade, UserError
from provider.hypervisors.base import Card, Forward, Hypervisor, Machine, PowerState, Status
from provider.machine_record import BootRecord
from provider.resources.base import UNKNOWN, Context, Created, Failure, Found, Properties, Resource
from provider.resources.hypervisor import hypervisor_of
from provider.resources.machine_checks import check_machine, port_failure
from provider.seed import meta_data, write_seed

SSH_RULE = "ssh"
LOCALHOST = "127.0.0.1"
GUEST_SSH = 22
STOP_DEADLINE = 120.0
UNUSABLE = frozenset({PowerState.ABSENT, PowerState.BROKEN})


class VirtualMachineResource(Resource):
    """The id is the machine's UUID. A first boot is final: other seeds mean another machine only where they
    carry its keys, so a change of `user_data` or `network_config` alone changes nothing."""

    TYPE = "VirtualMachine"
    REPLACES = frozenset({"hostname", "hypervisor", "image", "cards", "connection"})
    IGNORED = frozenset({"user_data", "network_config"})
    DELETE_FIRST = True

    def check(self, context: Context, inputs: Properties) -> tuple[Properties, list[Failure]]:
        inputs = {"running": True, **inputs}
        failures = check_machine(inputs)
        if UNKNOWN in (inputs.get("hypervisor"), inputs.get("ssh_port")):
            return inputs, failures
        try:
            hypervisor = hypervisor_of(context, inputs)
            failures += [Failure(f"hypervisor: {problem}") for problem in hypervisor.probe().problems]
        except UserError as error:
            return inputs, [*failures, Failure(str(error))]
        if inputs.get("ssh_port") is not None:
            failures += port_failure(context, hypervisor, "ssh_port", LOCALHOST, inputs["ssh_port"])
        # The name that was found, so that a later installation of another hypervisor changes nothing.
        return {**inputs, "hypervisor": hypervisor.name}, failures

    def preview(self, context: Context, inputs: Properties) -> Properties:
        hostname = inputs.get("hostname")
        return {} if hostname == UNKNOWN else {"uuid": records.machine_uuid(context.stack, str(hostname))}

    def drifted(self, context: Context, identifier: str, old: Properties) -> Properties:
        """A machine that stopped by itself, or with this computer, is started by the next `up`."""
        if not old.get("running"):
            return {}
        try:
            state = hypervisor_of(context, old).status(identifier).state
        except UserError:
            return {}  # told by the call that cannot do without the hypervisor
        return {"running": False} if state is PowerState.OFF else {}

    def replaced_by(self, old: Mapping[str, Any], new: Mapping[str, Any]) -> frozenset[str]:
        """An image by its content, a connection by its keys: a path or a port is only a way to them."""
        return frozenset(key for key in self.REPLACES if _essence(key, old) != _essence(key, new))

    def create(self, context: Context, inputs: Properties) -> Created:
        uuid = records.machine_uuid(context.stack, inputs["hostname"])
        hypervisor = hypervisor_of(context, inputs)
        folder = records.folder(context.stack_dir, inputs["hostname"])
        record = records.load(folder)
        if record and record.uuid != uuid:
            raise UserError(
                f'VM "{inputs["hostname"]}": {folder} belongs to another machine; not touching it'
            )
        context.progress("cloning")
        broken = hypervisor.status(uuid).state is PowerState.BROKEN
        if record and records.is_current(record, inputs) and not broken:
            hypervisor.create(self._seeded(context, inputs, record))
        else:
            # A leftover with other keys or another image, or one that failed: nothing of it is worth keeping.
            hypervisor.delete(uuid)
            record = records.fresh(uuid, inputs)
            self._made(context, hypervisor, inputs, record)
        return Created(uuid, self._brought_up(context, hypervisor, inputs, record))

    def read(self, context: Context, identifier: str, inputs: Properties, state: Properties) -> Found | None:
        found = records.find(context.stack_dir, identifier)
        if found is None:
            return None
        _, record = found
        known = inputs or record.inputs
        status = hypervisor_of(context, known).status(identifier)
        if status.state in UNUSABLE:
            return None
        accelerator = status.accelerator or state.get("accelerator", "")
        outputs = {**_outputs(record), "accelerator": accelerator}
        if not record.ready and known.get("running", True):
            raise HalfMade(identifier, outputs, [f'VM "{known["hostname"]}" has not ended its first boot'])
        return Found(_as_found(known, status), outputs)

    def update(self, context: Context, identifier: str, old: Properties, new: Properties) -> Properties:
        hypervisor = hypervisor_of(context, new)
        status = hypervisor.status(identifier)
        found = records.find(context.stack_dir, identifier)
        if found is None or status.state in UNUSABLE:
            return self.create(context, new).outputs
        folder, record = found
        if not record.ready and not records.is_current(record, new):
            return self.create(context, new).outputs
        record = replace(record, inputs=records.recordable(new))
        records.save(folder, record)
        self._resize(context, hypervisor, identifier, status, new)
        self._forward_ssh(hypervisor, identifier, new.get("ssh_port"))
        return self._brought_up(context, hypervisor, new, record)

    def delete(self, context: Context, identifier: str, state: Properties) -> None:
        found = records.find(context.stack_dir, identifier)
        known = {**(found[1].inputs if found else {}), **state}
        context.progress("deleting")
        hypervisor_of(context, known).delete(identifier)
        if found:
            records.remove(found[0])

    def _made(self, context: Context, hypervisor: Hypervisor, inputs: Properties, record: BootRecord) -> None:
        """A new machine; nothing of it stays when the hypervisor refuses."""
        folder = records.folder(context.stack_dir, inputs["hostname"])
        records.save(folder, record)
        try:
            hypervisor.create(self._seeded(context, inputs, record))
        except UserError:
            hypervisor.delete(record.uuid)
            records.remove(folder)
            raise

    def _seeded(self, context: Context, inputs: Properties, record: BootRecord) -> Machine:
        """The machine, with its seed written when its first boot is still to end."""
        machine = _machine(context, inputs, record)
        if machine.seed:
            named = meta_data(record.uuid, machine.name)
            write_seed(machine.seed, inputs["user_data"], named, inputs["network_config"])
        return machine

    def _brought_up(
        self, context: Context, hypervisor: Hypervisor, inputs: Properties, record: BootRecord
    ) -> Properties:
        """Run or stop the machine as wanted. HalfMade: it exists but did not come up."""
        outputs = _outputs(record)
        boot = Boot(
            hypervisor,
            record.uuid,
            inputs["hostname"],
            context.stack,
            inputs["connection"],
            context.cancelled,
            Patience(ssh=context.timeout) if context.timeout else Patience(),
            progress=context.progress,
        )
        folder = records.folder(context.stack_dir, inputs["hostname"])
        stage = "stopping"
        try:
            if not inputs.get("running", True):
                context.progress(stage)
                hypervisor.stop(record.uuid, "graceful", STOP_DEADLINE)
                return {**outputs, "accelerator": hypervisor.probe().accelerator}
            FAILURES.clear(inputs["connection"])
            for stage, step in _stages(boot, record):
                context.progress(stage)
                step()
            if not record.ready:
                records.save(folder, replace(record, ready=True))
            return {**outputs, "accelerator": hypervisor.status(record.uuid).accelerator}
        except Cancelled as error:
            raise HalfMade(record.uuid, outputs, [f'VM "{inputs["hostname"]}": {error}']) from error
        except UserError as error:
            FAILURES.add(inputs["connection"], inputs["hostname"])
            if isinstance(error, FirstBootFailed):
                records.save(folder, replace(record, failed=True))
            raise HalfMade(record.uuid, outputs, [boot.explain(stage, error)]) from error

    def _resize(
        self, context: Context, hypervisor: Hypervisor, uuid: str, status: Status, new: Properties
    ) -> None:
        wanted = (new["cpus"], new["memory"], new["disk"])
        if (status.cpus, status.memory, status.disk) == wanted:
            return
        if new["disk"] < status.disk:
            need, has = status.disk, f'which VM "{new["hostname"]}" has already'
            raise UserError(f"disk: got {new['disk']} GiB; need at least {need}, {has}; try {need}")
        if status.state is PowerState.RUNNING:
            context.progress("stopping for new sizes")
        hypervisor.stop(uuid, "graceful", STOP_DEADLINE)
        hypervisor.configure(uuid, *wanted)

    def _forward_ssh(self, hypervisor: Hypervisor, uuid: str, port: int | None) -> None:
        if port is None:
            hypervisor.unforward(uuid, SSH_RULE)
        else:
            hypervisor.forward(uuid, Forward(SSH_RULE, LOCALHOST, port, GUEST_SSH))


def _stages(boot: Boot, record: BootRecord) -> list[tuple[str, Any]]:
    stages: list[tuple[str, Any]] = [
        ("booting", lambda: boot.hypervisor.start(boot.uuid)),
        ("waiting for SSH", boot.await_ssh),
    ]
    if not record.ready:
        stages += [
            ("cloud-init", boot.await_cloud_init),
            ("detaching the seed", lambda: boot.hypervisor.detach_seed(boot.uuid)),
        ]
    return stages


def _machine(context: Context, inputs: Properties, record: BootRecord) -> Machine:
    folder = records.folder(context.stack_dir, inputs["hostname"])
    port = inputs.get("ssh_port")
    image = context.project / inputs["image"]["path"]
    return Machine(
        uuid=record.uuid,
        name=inputs["hostname"],
        stack=context.stack,
        folder=folder,
        image=image,
        cpus=inputs["cpus"],
        memory=inputs["memory"],
        disk=inputs["disk"],
        cards=tuple(Card(card["network"], card["mac"].lower()) for card in inputs["cards"]),
        forwards=() if port is None else (Forward(SSH_RULE, LOCALHOST, port, GUEST_SSH),),
        seed=None if record.ready else folder / "seed.iso",
    )


def _outputs(record: BootRecord) -> Properties:
    return {"uuid": record.uuid, "incarnation": record.incarnation}


def _as_found(known: Properties, status: Status) -> Properties:
    """The inputs with what the hypervisor says instead of what was asked for."""
    seen = {
        **known,
        "cpus": status.cpus,
        "memory": status.memory,
        "disk": status.disk,
        "running": status.state is PowerState.RUNNING,
    }
    ports = [rule.host_port for rule in status.forwards if rule.name == SSH_RULE]
    seen.pop("ssh_port", None)
    return {**seen, "ssh_port": ports[0]} if ports else seen


def _essence(key: str, inputs: Mapping[str, Any]) -> Any:
    value = inputs.get(key)
    if key == "image" and isinstance(value, Mapping):
        return value.get("id")
    if key == "connection" and isinstance(value, Mapping):
        return [value.get("host_key"), value.get("private_key")]
    if key == "cards" and isinstance(value, list):
        # A network keeps its name when it is made anew; unknown at preview means no more than that.
        return [(str(card["mac"]).lower(), card["network"] == "nat") for card in value]
    return value
