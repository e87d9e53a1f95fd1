"""Internal networks and the cards in them, on the real VirtualBox."""

from collections.abc import Iterator

import pytest

from provider.errors import UserError
from provider.hypervisors.virtualbox.networks import internal_name
from provider.hypervisors.virtualbox.settings import NETWORK_FOR_TESTS
from tests.rig.virtualbox_lab import Lab, manage, needs_virtualbox

pytestmark = needs_virtualbox


@pytest.fixture
def real(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> Lab:
    """With VirtualBox's own internal networks, whatever this test run uses to start machines."""
    monkeypatch.delenv(NETWORK_FOR_TESTS, raising=False)
    return lab


@pytest.fixture
def dhcp(real: Lab) -> Iterator[str]:
    """A DHCP server of VirtualBox on the stack's network."""
    name = internal_name(real.stack, "internal")
    addresses = ("--server-ip=10.10.10.3", "--lower-ip=10.10.10.100", "--upper-ip=10.10.10.120")
    manage("dhcpserver", "add", f"--network={name}", *addresses, "--netmask=255.255.255.0", "--enable")
    yield name
    manage("dhcpserver", "remove", f"--network={name}", check=False)


def refusal(network: str) -> str:
    return (
        f'network "internal": VirtualBox has a DHCP server on its internal network "{network}", '
        "which would answer our machines\n"
        f"remove it: VBoxManage dhcpserver remove --network={network}"
    )


def test_a_network_comes_and_goes(real: Lab) -> None:
    driver = real.driver
    assert not driver.network_exists(real.stack, "internal")
    driver.create_network(real.stack, "internal", "10.10.10.0/24")
    driver.create_network(real.stack, "internal", "10.10.10.0/24")
    assert driver.network_exists(real.stack, "internal")
    assert not driver.network_exists(f"{real.stack}b", "internal")
    driver.delete_network(real.stack, "internal")
    driver.delete_network(real.stack, "internal")
    assert not driver.network_exists(real.stack, "internal")
    assert not (real.root / real.stack).exists()


def test_cards_are_in_the_stacks_own_network_and_hear_nobody_else(real: Lab) -> None:
    machine = real.machine("manager", manager=True)
    real.driver.create(machine)
    facts = real.facts(machine.uuid)
    assert (facts["nic1"], facts["nic2"]) == ("nat", "intnet")
    assert facts["intnet2"] == f"cloudmatrix-{real.stack}-internal"
    details = manage("showvminfo", machine.uuid)
    assert details.count("Promisc Policy: deny") == 2


def test_a_dhcp_server_on_the_network_is_refused_by_name(real: Lab, dhcp: str) -> None:
    with pytest.raises(UserError) as caught:
        real.driver.create_network(real.stack, "internal", "10.10.10.0/24")
    assert str(caught.value) == refusal(dhcp)
    assert not real.driver.network_exists(real.stack, "internal")
    with pytest.raises(UserError) as caught:
        real.driver.create(real.machine())
    assert str(caught.value) == refusal(dhcp)
    assert real.driver.list(real.stack) == []


def test_one_added_later_keeps_the_machine_from_starting(real: Lab, request: pytest.FixtureRequest) -> None:
    machine = real.machine()
    real.driver.create(machine)
    name = request.getfixturevalue("dhcp")
    with pytest.raises(UserError) as caught:
        real.driver.start(machine.uuid)
    assert str(caught.value) == refusal(name)


def test_tests_without_the_kernel_module_use_a_vde_switch(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(NETWORK_FOR_TESTS, "vde:/run/switch")
    machine = lab.machine()
    lab.driver.create(machine)
    facts = lab.facts(machine.uuid)
    assert (facts["nic1"], facts["generic1"]) == ("Generic", "VDE")
    monkeypatch.setenv(NETWORK_FOR_TESTS, "udp")
    with pytest.raises(UserError) as caught:
        lab.driver.create(machine)
    assert str(caught.value) == f'{NETWORK_FOR_TESTS}: got "udp"; need vde:<folder of a VDE switch>'
    monkeypatch.delenv(NETWORK_FOR_TESTS)
    lab.driver.create(machine)
    assert lab.facts(machine.uuid)["nic1"] == "intnet"
