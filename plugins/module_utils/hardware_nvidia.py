# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""NVIDIA GPUs, by nvidia-smi's word.

Source: ``nvidia-smi --help-query-gpu``. ``compute_cap`` is unknown to branch 470 and older, which then answer nothing else.
"""

from __future__ import annotations

from typing import Any, Iterable

from .hardware_machine import Machine, known, whole
from .hardware_pci import PciGpu

FIELDS = ("index", "name", "uuid", "driver_version", "memory.total", "memory.used", "compute_cap")
OLD_FIELDS = FIELDS[:-1]
FORMAT = "--format=csv,noheader,nounits"
INSTALL = "install NVIDIA's driver 570 or newer (580 is the last for Maxwell, Pascal and Volta)"
OTHER_DRIVERS = {"nouveau": "the free driver nouveau, which cannot compute", "vfio-pci": "vfio-pci, for a virtual machine"}


def query(fields: Iterable[str]) -> tuple[str, ...]:
    """The command that asks for these fields of every GPU."""
    return ("nvidia-smi", f"--query-gpu={','.join(fields)}", FORMAT)


def nvidia_gpus(machine: Machine) -> tuple[list[dict[str, Any]], str | None]:
    """The GPUs that nvidia-smi lists, and its complaint where it lists none; no complaint where there is no nvidia-smi."""
    answer = machine.run(query(FIELDS))
    if answer is None:
        return [], None
    found = rows(answer, FIELDS)
    if not found:
        answer = machine.run(query(OLD_FIELDS)) or answer
        found = rows(answer, OLD_FIELDS)
    return found, None if found else _first_line(answer)


def rows(answer: str, fields: Iterable[str]) -> list[dict[str, Any]]:
    """One dictionary for each GPU of the answer; lines that are none are left out. Sizes in MiB, unknown is None."""
    wanted = list(fields)
    found = []
    for line in answer.splitlines():
        cells = [known(cell) for cell in line.split(",")]
        if len(cells) != len(wanted) or whole(cells[0]) is None:
            continue
        said = dict(zip(wanted, cells))
        found.append(
            {
                "index": whole(said["index"]),
                "name": said.get("name"),
                "uuid": said.get("uuid"),
                "driver": said.get("driver_version"),
                "memory_mib": whole(said.get("memory.total")),
                "used_mib": whole(said.get("memory.used")),
                "compute_capability": said.get("compute_cap"),
            }
        )
    return found


def nvidia_notes(devices: Iterable[PciGpu], complaint: str | None) -> list[str]:
    """Why GPUs that are there cannot be used, one sentence for each; to be asked where nvidia-smi lists none."""
    notes = []
    for device in devices:
        if device.driver == "nvidia":
            said = f"nvidia-smi says: {complaint}" if complaint else "there is no nvidia-smi"
            notes.append(f"NVIDIA {device.label} is not used: {said}. Repair the driver, or restart after an upgrade.")
        else:
            holder = OTHER_DRIVERS.get(device.driver or "", device.driver or "no driver")
            notes.append(f"NVIDIA {device.label} is not used: it has {holder}; {INSTALL}.")
    return notes


def _first_line(answer: str) -> str | None:
    lines = [line.strip() for line in answer.splitlines() if line.strip()]
    return lines[0].rstrip(".") if lines else None
