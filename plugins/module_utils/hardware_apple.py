# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A Mac: its chip, its memory and the GPU inside, by the word of sysctl and system_profiler."""

from __future__ import annotations

import json
from typing import Any

from .hardware_machine import Machine, mib, whole

SYSCTL = (
    "sysctl",
    "hw.memsize",
    "hw.model",
    "hw.physicalcpu",
    "hw.logicalcpu",
    "hw.optional.arm64",
    "machdep.cpu.brand_string",
    "iogpu.wired_limit_mb",
)
DISPLAYS = ("system_profiler", "SPDisplaysDataType", "-json")


def mac(machine: Machine) -> dict[str, Any]:
    """architecture, machine_model, cpu, memory_mib, accelerators and notes of this Mac."""
    said = sysctl_values(machine.run(SYSCTL) or "")
    silicon = said.get("hw.optional.arm64") == "1"
    chip = said.get("machdep.cpu.brand_string")
    memory_mib = mib(whole(said.get("hw.memsize")))
    displays = gpus(machine.run(DISPLAYS) or "")
    facts: dict[str, Any] = {
        # A Python that runs under Rosetta believes to be on an Intel Mac.
        "architecture": "arm64" if silicon else machine.architecture,
        "machine_model": said.get("hw.model"),
        "cpu": {"model": chip, "cores": whole(said.get("hw.physicalcpu")), "threads": whole(said.get("hw.logicalcpu"))},
        "memory_mib": memory_mib,
        "accelerators": [],
        "notes": [],
    }
    if facts["architecture"] != "arm64":
        names = ", ".join(name for name, _cores in displays) or "none"
        facts["notes"] = [f"This Mac has no Apple silicon; the engines compute on its processor only. Its graphics: {names}."]
        return facts
    name, cores = displays[0] if displays else (chip, None)
    facts["accelerators"] = [
        {
            "index": 0,
            "name": name or chip or "Apple GPU",
            "kind": "unified",
            "memory_mib": memory_mib,
            "gpu_cores": cores,
            "wired_limit_mib": whole(said.get("iogpu.wired_limit_mb")) or None,
            "backend": "metal",
        }
    ]
    return facts


def sysctl_values(text: str) -> dict[str, str]:
    """The lines "name: value" of sysctl; names that a system does not know are not in its answer."""
    pairs = (line.partition(": ") for line in text.splitlines())
    return {name.strip(): value.strip() for name, separator, value in pairs if separator}


def gpus(text: str) -> list[tuple[str, int | None]]:
    """Name and number of cores of each GPU of ``system_profiler -json``; the cores tell apart chips of one name."""
    try:
        entries = json.loads(text)["SPDisplaysDataType"]
    except (ValueError, KeyError, TypeError):
        return []
    named = [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
    return [
        (str(entry.get("sppci_model") or entry["_name"]), whole(str(entry.get("sppci_cores", ""))))
        for entry in named
        if entry.get("sppci_model") or entry.get("_name")
    ]
