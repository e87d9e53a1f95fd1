import pytest

from services.node_exporter import node_exporter_files, ready
from tests.rig.jail import missing, until
from tests.rig.lan import Lan, listening


def test_it_listens_on_the_private_address_alone() -> None:
    arguments, _ = node_exporter_files("10.10.10.2")
    assert arguments.path == "/etc/default/prometheus-node-exporter"
    assert arguments.content.startswith(
        'ARGS="--web.listen-address=10.10.10.2:9100 --collector.disable-defaults '
    )


def test_the_exporter_takes_the_arguments(network: Lan) -> None:
    if reason := missing("prometheus-node-exporter", "curl"):
        pytest.skip(reason)
    text = node_exporter_files("10.10.10.2")[0].content
    arguments = text.removeprefix('ARGS="').removesuffix('"\n').split()
    with network.node.running("prometheus-node-exporter", *arguments) as exporter:
        until(lambda: listening(network.node, 9100) or exporter.poll() is not None, "node exporter")
        assert network.node.shell(ready("10.10.10.2")).returncode == 0
