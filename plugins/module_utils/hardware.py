# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a machine computes with: its processor, its memory and its accelerators, without root and without touching anything."""

from __future__ import annotations

from typing import Any

from . import hardware_cpu
from .hardware_amd import amd_gpus
from .hardware_apple import mac
from .hardware_intel import intel_gpus
from .hardware_jetson import jetson
from .hardware_machine import Machine
from .hardware_nvidia import nvidia_gpus, nvidia_notes, with_memory
from .hardware_pci import pci_gpus
from .memory_bandwidth import bandwidth_gb_s

# Every accelerator has these and no others; what is not known of one is None.
KEYS = (
    "index",
    "name",
    "vendor",
    "kind",
    "memory_mib",
    "used_mib",
    "bandwidth_gb_s",
    "driver",
    "compute_capability",
    "gfx",
    "uuid",
    "gpu_cores",
    "wired_limit_mib",
    "backend",
)


def hardware(machine: Machine | None = None) -> dict[str, Any]:
    """system, architecture, machine_model, cpu, memory_mib, jetpack, accelerators and notes, as the module hardware_info returns.

    Never raises for what a machine does or does not have; what could not be found out is None, and a note says what is odd.
    """
    asked = machine or Machine()
    facts = {"system": asked.system, "architecture": asked.architecture, "jetpack": None}
    if asked.system == "Darwin":
        found = mac(asked)
        found["accelerators"] = [_accelerator(item, "apple") for item in found["accelerators"]]
    else:
        found = _linux(asked)
    facts.update(found)
    return facts


def _linux(machine: Machine) -> dict[str, Any]:
    memory_mib = hardware_cpu.memory_mib(machine)
    devices = pci_gpus(machine)
    jetpack, accelerators, notes = _nvidia(machine, [device for device in devices if device.vendor == "nvidia"], memory_mib)
    for vendor, look in (("amd", amd_gpus), ("intel", intel_gpus)):
        found, told = look(machine, [device for device in devices if device.vendor == vendor])
        accelerators += [_accelerator(item, vendor) for item in found]
        notes += told
    return {
        "machine_model": hardware_cpu.machine_model(machine),
        "cpu": hardware_cpu.cpu(machine),
        "memory_mib": memory_mib,
        "jetpack": jetpack,
        "accelerators": accelerators,
        "notes": notes,
    }


def _nvidia(machine: Machine, devices: list[Any], memory_mib: int | None) -> tuple[str | None, list[dict[str, Any]], list[str]]:
    jetpack, module, notes = jetson(machine, memory_mib)
    found, complaint = nvidia_gpus(machine)
    if module:
        # The tool knows the driver on a Jetson, and nothing of its memory.
        module[0]["driver"] = found[0]["driver"] if found else None
        return jetpack, [_accelerator(module[0], "nvidia")], notes
    if not found:
        return None, [], nvidia_notes(devices, complaint)
    usable, notes = with_memory(found, memory_mib)
    return None, [_accelerator({**item, "backend": "cuda"}, "nvidia") for item in usable], notes


def _accelerator(item: dict[str, Any], vendor: str) -> dict[str, Any]:
    said = {**item, "vendor": vendor}
    said["bandwidth_gb_s"] = bandwidth_gb_s(item.get("name"), item.get("memory_mib"), item.get("gpu_cores"))
    return {key: said.get(key) for key in KEYS}
