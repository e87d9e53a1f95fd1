"""An application: its image, its release command, its instances on the nodes and its route."""

import shlex
from collections.abc import Mapping

import pulumi
from pulumi_command import remote

from components.machines import Machine, command_connection
from components.resources import ApplicationBuild, ApplicationImage, Instance, Route
from config import Application as Plan
from config import Placement

RELEASE_TIMEOUT = "30m"

# Reads {"name": "value"} from stdin into files that only the release container sees.
_UNPACK = (
    "import json,os,sys\n"
    "for name,value in json.load(sys.stdin).items():\n"
    " open(os.open(sys.argv[1]+'/'+name,os.O_WRONLY|os.O_CREAT,0o444),'w').write(value)"
)


class Application(pulumi.ComponentResource):
    """`url` is the path prefix on the router, or nothing for a job.

    The order is the roll-out: image, release command, new instances healthy, route switched; Pulumi deletes
    the old instances after that. A failure on the way leaves the old ones serving.
    """

    def __init__(
        self,
        plan: Plan,
        *,
        manager: Machine,
        nodes: Mapping[str, Machine],
        registry: Mapping[str, pulumi.Input[str]],
        after: Mapping[str, list[pulumi.Resource]],
        parent: pulumi.Resource,
    ) -> None:
        """`after` names what must be up on a host (by its name) before the application uses it."""
        super().__init__(
            "cloudmatrix:index:Application", plan.name, None, pulumi.ResourceOptions(parent=parent)
        )
        self.name = plan.name
        self._plan, self._nodes, self._after = plan, nodes, after
        built = self._build()
        self.image = ApplicationImage(
            f"{plan.name}-image",
            repository=plan.name,
            connection=manager.connection,
            machine=manager.incarnation,
            registry=registry,
            source=plan.source,
            archive=plan.archive,
            image=plan.image,
            opts=self._on(manager, *after["manager"], *built),
        )
        release = self._release(nodes[plan.placements[0].node]) if plan.release and plan.placements else None
        self.instances = [self._instance(placement, release) for placement in plan.placements]
        self.url = self._route(manager)
        self.register_outputs({"image": self.image.reference})

    def _build(self) -> list[pulumi.Resource]:
        """What takes the longest without a machine goes first, beside the machines' boot."""
        plan = self._plan
        if plan.source is None:
            return []
        child = pulumi.ResourceOptions(parent=self)
        return [ApplicationBuild(f"{plan.name}-build", repository=plan.name, source=plan.source, opts=child)]

    def _on(self, machine: Machine, *after: pulumi.Resource) -> pulumi.ResourceOptions:
        """What is on a machine goes with it: no need to clean up a disk that is being deleted."""
        return pulumi.ResourceOptions(parent=self, depends_on=[*after], deleted_with=machine.vm)

    def _release(self, node: Machine) -> remote.Command:
        plan = self._plan
        values = {name: secret.output for name, secret in plan.secrets.items()}
        return remote.Command(
            f"{plan.name}-release",
            connection=command_connection(node.connection),
            create=self.image.reference.apply(lambda image: release_script(plan, image)),
            stdin=pulumi.Output.json_dumps(values),
            triggers=[self.image.reference, node.incarnation],
            logging=remote.Logging.NONE,
            opts=pulumi.ResourceOptions.merge(
                self._on(node, *self._after[node.host]),
                pulumi.ResourceOptions(
                    additional_secret_outputs=["stdout", "stderr"],
                    custom_timeouts=pulumi.CustomTimeouts(create=RELEASE_TIMEOUT, update=RELEASE_TIMEOUT),
                ),
            ),
        )

    def _instance(self, placement: Placement, release: remote.Command | None) -> Instance:
        plan, node = self._plan, self._nodes[placement.node]
        after = [*self._after[node.host], *([release] if release else [])]
        return Instance(
            f"{plan.name}-{placement.name}",
            application=plan.name,
            connection=node.connection,
            machine=node.incarnation,
            image=self.image.reference,
            address=node.address,
            port=plan.port,
            health_path=plan.health_path,
            environment={"NODE_NAME": node.host, **plan.environment},
            secrets={name: secret.output for name, secret in plan.secrets.items()},
            memory=plan.memory,
            opts=self._on(node, *after),
        )

    def _route(self, manager: Machine) -> str | None:
        plan = self._plan
        if plan.port is None or not plan.placements:
            return None
        where = [self._nodes[placement.node].address for placement in plan.placements]
        backends = [
            {"address": address, "port": instance.host_port}
            for address, instance in zip(where, self.instances, strict=True)
        ]
        Route(
            f"{plan.name}-route",
            application=plan.name,
            connection=manager.connection,
            machine=manager.incarnation,
            path=plan.path,
            strip=plan.strip,
            health_path=plan.health_path,
            instances=backends,
            cache_seconds=plan.cache_seconds,
            timeout_seconds=plan.timeout_seconds,
            probe_timeout=manager.vm.accelerator.apply(probe_timeout),
            opts=self._on(manager, *self._after["router"]),
        )
        return plan.path


EMULATED = ("tcg", "interpreter")
"""Names of accelerators that are none: a busy machine may answer late."""


def probe_timeout(accelerator: str) -> float:
    """Seconds an instance has to answer a health check: an emulated one is slow when its node is busy."""
    return 2.0 if accelerator in EMULATED else 0.5


def release_script(plan: Plan, image: str) -> str:
    """The shell script that runs an application's release command once in a container of its image.

    The command is split into words as a shell would and run as it is: an image need not have a shell.
    """
    environment = {"APPLICATION": plan.name, **plan.environment}
    program, *arguments = shlex.split(plan.release or "")
    argv = ["docker", "run", "--rm", "--cap-drop", "ALL", "--entrypoint", program]
    argv += ["--security-opt", "no-new-privileges", "--memory", f"{plan.memory}m"]
    for name, value in environment.items():
        argv += ["--env", f"{name}={value}"]
    run = shlex.join(argv)
    command = shlex.join([image, *arguments])
    return (
        "set -e\n"
        "secrets=$(sudo mktemp -d /run/matrix-release.XXXXXX)\n"
        "trap 'sudo rm -rf \"$secrets\"' EXIT\n"
        'sudo chmod 0711 "$secrets"\n'
        f'sudo python3 -c {shlex.quote(_UNPACK)} "$secrets"\n'
        f'sudo {run} --volume "$secrets:/run/secrets:ro" {command} 2>&1\n'
    )
