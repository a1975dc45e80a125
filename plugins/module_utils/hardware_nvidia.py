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
# What is printed for the memory of a GPU that has none of its own (GB10, Jetson); any other word is that of a broken card.
SHARED = ("n/a", "not supported")
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
        printed = line.split(",")
        cells = [known(cell) for cell in printed]
        if len(cells) != len(wanted) or whole(cells[0]) is None:
            continue
        said = dict(zip(wanted, cells))
        memory_cell = printed[wanted.index("memory.total")].strip()
        found.append(
            {
                "index": whole(said["index"]),
                "name": said.get("name"),
                "uuid": said.get("uuid"),
                "driver": said.get("driver_version"),
                "memory_mib": whole(said.get("memory.total")),
                "memory_cell": memory_cell,
                "used_mib": whole(said.get("memory.used")),
                "compute_capability": said.get("compute_cap"),
            }
        )
    return found


def with_memory(found: Iterable[dict[str, Any]], machine_mib: int | None) -> tuple[list[dict[str, Any]], list[str]]:
    """The GPUs with their kind and the memory that they compute in, and a note of each that does not tell its memory."""
    usable: list[dict[str, Any]] = []
    notes: list[str] = []
    for item in found:
        if item["memory_mib"]:
            usable.append({**item, "kind": "gpu"})
        elif item["memory_cell"].strip("[]").lower() in SHARED:
            usable.append({**item, "kind": "unified", "memory_mib": machine_mib})
        else:
            notes.append(_unread(item))
    return usable, notes


def _unread(item: dict[str, Any]) -> str:
    label = f"{item['name'] or 'NVIDIA GPU'} (index {item['index']}, {item['uuid'] or 'no uuid'})"
    cell = item["memory_cell"]
    remedy = (
        "Ask as root (become)."
        if "permission" in cell.lower()
        else "Restart the host; if it stays, look for Xid in the kernel's log, then repair or take out the card."
    )
    return f"{label} is left out: nvidia-smi says {cell!r} for its memory, expected MiB. {remedy}"


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
