"""Hardware of this machine, and commands that cannot run or fail."""

from __future__ import annotations

import pytest

from plugins.module_utils.hardware import KEYS, hardware
from plugins.module_utils.hardware_machine import Machine


def test_this_machine():
    found = hardware()
    assert found["memory_mib"] > 0
    assert all(tuple(item) == KEYS for item in found["accelerators"])


@pytest.mark.parametrize("command", [["/nowhere/nvidia-smi"], ["/"], ["bad\0name"]])
def test_a_command_that_cannot_run_says_nothing(command):
    assert Machine().run(command) is None


def test_a_command_that_fails_is_heard():
    assert Machine().run(["sh", "-c", "echo why; exit 3"]) == "why\n"
