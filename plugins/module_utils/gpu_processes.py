# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What one process takes of each NVIDIA GPU, by nvidia-smi's word: its buffers, its context and its libraries together."""

from __future__ import annotations

from typing import Any

from .hardware_machine import whole
from .machine_memory import Run, run

GPUS = ("nvidia-smi", "--query-gpu=index,uuid", "--format=csv,noheader")
PROCESSES = ("nvidia-smi", "--query-compute-apps=pid,gpu_uuid,used_memory", "--format=csv,noheader,nounits")


def gpu_processes(pid: int | None, ask: Run = run) -> list[dict[str, Any]] | None:
    """``{index, used_mib}`` of each GPU that the process uses, by index; used_mib is None where the driver does not tell.

    None where there is no nvidia-smi or no process is known.
    """
    gpus, processes = (ask(GPUS), ask(PROCESSES)) if pid else (None, None)
    if gpus is None or processes is None:
        return None
    numbers = {uuid: whole(index) for index, uuid in map(_pair, gpus.splitlines())}
    found = []
    for line in processes.splitlines():
        cells = [cell.strip() for cell in line.split(",")]
        if len(cells) == 3 and whole(cells[0]) == pid and numbers.get(cells[1]) is not None:
            used = whole(cells[2])
            found.append({"index": numbers[cells[1]], "used_mib": None if used is None else float(used)})
    return sorted(found, key=lambda item: int(item["index"] or 0))


def _pair(line: str) -> tuple[str, str]:
    index, _comma, uuid = line.partition(",")
    return index.strip(), uuid.strip()
