"""Fixtures of all tests on the real VirtualBox."""

from tests.rig.virtualbox_lab import lab, powered  # noqa: F401
