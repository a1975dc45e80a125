"""nvidia-smi's words for what a process takes of each GPU."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from plugins.module_utils.gpu_processes import GPUS, gpu_processes

TWO = "0, GPU-a\n1, GPU-b\n"

CASES = [
    (
        7,
        TWO,
        "7, GPU-b, 2100\n7, GPU-a, 1500\n9, GPU-a, 300\n",
        [{"index": 0, "used_mib": 1500.0}, {"index": 1, "used_mib": 2100.0}],
    ),
    (7, TWO, "7, GPU-b, [N/A]\n", [{"index": 1, "used_mib": None}]),
    (7, TWO, "7, GPU-gone, 12\nnonsense\n", []),
    (7, TWO, "", []),
    (7, None, None, None),
    (7, TWO, None, None),
    (None, TWO, "7, GPU-a, 1500\n", None),
]


@pytest.mark.parametrize(("pid", "gpus", "processes", "expected"), CASES)
def test_the_process_is_found(pid: int | None, gpus: str | None, processes: str | None, expected: object) -> None:
    def ask(command: Sequence[str]) -> str | None:
        return gpus if tuple(command) == GPUS else processes

    assert gpu_processes(pid, ask) == expected
