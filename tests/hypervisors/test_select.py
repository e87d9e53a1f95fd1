"""Which driver a hypervisor's name means."""

from pathlib import Path

import pytest

from provider import hypervisors
from provider.errors import UserError
from provider.hypervisors.base import Facts
from provider.hypervisors.qemu.driver import Qemu


def test_a_name_means_its_driver(tmp_path: Path) -> None:
    assert isinstance(hypervisors.select("qemu", tmp_path), Qemu)
    assert isinstance(hypervisors.select("auto", tmp_path, in_use="qemu"), Qemu)


def test_an_unknown_name(tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        hypervisors.select("xen", tmp_path)
    assert str(error.value) == 'hypervisor: got "xen"; need auto, virtualbox, qemu; try auto'


def test_auto_says_what_is_wrong_with_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hypervisors, "DRIVERS", {"qemu": hypervisors.DRIVERS["qemu"]})
    monkeypatch.setattr(Qemu, "probe", lambda self: Facts("qemu", "7.2.0", "", ("QEMU 7.2.0 is too old",)))
    with pytest.raises(UserError) as error:
        hypervisors.select("auto", tmp_path)
    assert str(error.value) == "no hypervisor can be used\nqemu: QEMU 7.2.0 is too old"
