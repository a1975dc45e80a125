"""Memory of this machine, and commands that cannot run."""

from __future__ import annotations

import pytest

from plugins.module_utils.machine_memory import accelerators_here, run


@pytest.mark.parametrize("command", [["/nowhere/nvidia-smi"], ["false"]])
def test_a_command_that_is_not_there_says_nothing(command):
    assert run(command) is None


def test_this_machine_has_memory():
    assert [item.kind for item in accelerators_here()][-1] in ("cpu", "unified")
