# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""AMD GPUs, by the account of the kernel's driver amdgpu, of libdrm's list of names and, where these do not tell, of AMD's tools.

Sources: Linux Documentation/gpu/amdgpu (mem_info_*), drivers/gpu/drm/amd/amdkfd/kfd_topology.c (properties).
"""

from __future__ import annotations

from typing import Any, Iterable

from .hardware_amd_tools import amd_tool_gpus
from .hardware_machine import Machine, mib, whole
from .hardware_pci import PciGpu

NODES = "/sys/class/kfd/kfd/topology/nodes/*/properties"
NAMES = "/usr/share/libdrm/amdgpu.ids"
DRIVER = "/sys/module/amdgpu/version"
# What Ollama's ROCm libraries are built for on Linux: docs/gpu.mdx of Ollama v0.33.0, "Overrides on Linux".
ROCM_TARGETS = (
    *("gfx908", "gfx90a", "gfx942", "gfx950", "gfx1010", "gfx1012", "gfx1030"),
    *("gfx1100", "gfx1101", "gfx1102", "gfx1103", "gfx1150", "gfx1151", "gfx1200", "gfx1201"),
)
# Processors of type APU: "AMDGPU Processors" in LLVM's User Guide for AMDGPU Backend.
INTEGRATED = (
    *("gfx902", "gfx909", "gfx90c", "gfx1013", "gfx1033", "gfx1035", "gfx1036"),
    *("gfx1103", "gfx1150", "gfx1151", "gfx1152", "gfx1153"),
)
POOLS = ("vram", "gtt")


def amd_gpus(machine: Machine, devices: Iterable[PciGpu]) -> tuple[list[dict[str, Any]], list[str]]:
    """The GPUs and the notes. Integrated graphics that are too small to compute with are told in a note."""
    found: list[dict[str, Any]] = []
    notes: list[str] = []
    held = [device for device in devices if device.driver == "amdgpu"]
    records = [_record(machine, device) for device in held]
    if any(record["name"] is None or record["memory_mib"] is None for record in records):
        records = _completed(records, amd_tool_gpus(machine))
    for record in records:
        if record["kind"] == "unified" and record["gfx"] not in ROCM_TARGETS:
            notes.append(
                f"The integrated graphics {record['name']} ({record['gfx']}) are left out: engines do not use them unasked."
            )
        else:
            found.append({**record, "index": len(found)})
            notes.extend(_target_notes(record))
    notes.extend(_driverless(device) for device in devices if device.driver != "amdgpu")
    return found, notes


def kfd_nodes(machine: Machine) -> dict[str, dict[str, int]]:
    """The compute nodes of GPUs, by PCI slot: what the kernel tells ROCm about each."""
    nodes = {}
    for path in machine.paths(NODES):
        said = properties(machine.read(path) or "")
        if said.get("gfx_target_version"):
            place = said.get("location_id", 0)
            nodes[f"{said.get('domain', 0):04x}:{place >> 8:02x}:{(place >> 3) & 31:02x}.{place & 7}"] = said
    return nodes


def properties(text: str) -> dict[str, int]:
    """The lines "name number" of a node; what is no whole number is left out."""
    pairs = (line.split() for line in text.splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and whole(pair[1]) is not None}


def gfx_name(version: int) -> str | None:
    """110000 is gfx1100, 90010 is gfx90a: major, minor and stepping in two decimal digits each, the last two written in hex."""
    if not version:
        return None
    return f"gfx{version // 10000}{version // 100 % 100:x}{version % 100:x}"


def listed_name(text: str, device: str, revision: str) -> str | None:
    """The name in libdrm's amdgpu.ids for a device and its revision, both in hex without 0x."""
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.split(",", 2)]
        if len(cells) == 3 and cells[0].lower() == device.lower() and cells[1].lower() == revision.lower():
            return cells[2]
    return None


def _record(machine: Machine, device: PciGpu) -> dict[str, Any]:
    node = kfd_nodes(machine).get(device.slot, {})
    gfx = gfx_name(node.get("gfx_target_version", 0))
    unified = gfx in INTEGRATED
    revision = (machine.read(f"{device.path}/revision") or "")[2:]
    unique = node.get("unique_id")
    total, used = _memory(machine, device, unified)
    return {
        "slot": device.slot,
        "name": listed_name(machine.read(NAMES) or "", device.device, revision),
        "listed": device.name,
        "uuid": f"GPU-{unique:016x}" if unique else None,
        "driver": machine.read(DRIVER),
        "kind": "unified" if unified else "gpu",
        "memory_mib": total,
        "used_mib": used,
        "gfx": gfx,
        "backend": "rocm" if gfx in ROCM_TARGETS and machine.architecture == "amd64" else "vulkan",
    }


def _memory(machine: Machine, device: PciGpu, unified: bool) -> tuple[int | None, int | None]:
    """MiB in all and in use. An APU computes in the memory that its firmware set apart or in what the driver lends it of RAM,
    whichever is larger; a card in its own."""
    pools = []
    for pool in POOLS if unified else POOLS[:1]:
        total, used = (mib(whole(machine.read(f"{device.path}/mem_info_{pool}_{what}"))) for what in ("total", "used"))
        if total is not None:
            pools.append((total, used))
    return max(pools, key=lambda pool: pool[0]) if pools else (None, None)


def _completed(records: list[dict[str, Any]], told: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """What the kernel does not tell is taken from AMD's tools, by slot; the name last of all from lspci."""
    whole_records = []
    for record in records:
        said = told.get(record["slot"], {})
        filled = {key: said.get(key) if value is None else value for key, value in record.items()}
        filled["name"] = filled["name"] or filled["listed"] or f"AMD GPU {record['gfx'] or record['slot']}"
        whole_records.append(filled)
    return whole_records


def _target_notes(record: dict[str, Any]) -> list[str]:
    if record["gfx"] is None:
        return [f"{record['name']} is not offered for computing (no node below /sys/class/kfd): it can be used by Vulkan only."]
    if record["gfx"] not in ROCM_TARGETS:
        return [
            f"{record['name']} is {record['gfx']}, which ROCm's libraries are not built for: it is used by Vulkan. ROCm for a"
            " near relative may do with HSA_OVERRIDE_GFX_VERSION (10.3.0 for gfx103x); name the ROCm archive yourself then."
        ]
    return []


def _driverless(device: PciGpu) -> str:
    holder = device.driver or "no driver"
    return f"AMD {device.label} is not used: it has {holder}; expected amdgpu. Use a newer kernel, or install AMD's driver."
