# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What AMD's own tools tell about GPUs: amd-smi, and rocm-smi before it. Both come with ROCm, which most hosts do not have."""

from __future__ import annotations

import json
from typing import Any, Iterator

from .hardware_machine import Machine, known, mib, whole

AMD_SMI = ("amd-smi", "static", "--asic", "--bus", "--vram", "--json")
ROCM_SMI = ("rocm-smi", "--showproductname", "--showmeminfo", "vram", "--showbus", "--json")
KILO = {"KB": 1 / 1024, "MB": 1, "GB": 1024}


def amd_tool_gpus(machine: Machine) -> dict[str, dict[str, Any]]:
    """name, memory_mib, used_mib and gfx of each GPU, by PCI slot; empty where neither tool tells anything."""
    return amd_smi(machine.run(AMD_SMI) or "") or rocm_smi(machine.run(ROCM_SMI) or "")


def amd_smi(text: str) -> dict[str, dict[str, Any]]:
    """Of ``amd-smi static --json``: a list of GPUs, since ROCm 7 inside ``gpu_data``."""
    document = _json(text)
    entries = document.get("gpu_data") if isinstance(document, dict) else document
    found = {}
    for entry in _dictionaries(entries):
        asic, bus, vram = (_part(entry, key) for key in ("asic", "bus", "vram"))
        slot = known(str(bus.get("bdf", "")))
        if slot:
            found[slot.lower()] = {
                "name": known(str(asic.get("market_name", ""))),
                "memory_mib": _amount_mib(vram.get("size")),
                "used_mib": None,
                "gfx": known(str(asic.get("target_graphics_version", ""))),
            }
    return found


def rocm_smi(text: str) -> dict[str, dict[str, Any]]:
    """Of ``rocm-smi --json``: one dictionary for each card, with names that changed their capitals between releases."""
    document = _json(text)
    found = {}
    for entry in _dictionaries(document.values() if isinstance(document, dict) else ()):
        said = {str(key).lower(): str(value) for key, value in entry.items()}
        slot = known(said.get("pci bus"))
        if slot:
            found[slot.lower()] = {
                "name": known(said.get("card series")),
                "memory_mib": mib(whole(said.get("vram total memory (b)"))),
                "used_mib": mib(whole(said.get("vram total used memory (b)"))),
                "gfx": known(said.get("gfx version")),
            }
    return found


def _json(text: str) -> Any:
    """The document in a tool's answer: rocm-smi prints warnings before it."""
    start = min((place for place in (text.find("{"), text.find("[")) if place >= 0), default=-1)
    try:
        return json.loads(text[start:]) if start >= 0 else None
    except ValueError:
        return None


def _dictionaries(values: Any) -> Iterator[dict[str, Any]]:
    try:
        yield from (value for value in values if isinstance(value, dict))
    except TypeError:
        return


def _part(entry: dict[str, Any], key: str) -> dict[str, Any]:
    part = entry.get(key)
    return part if isinstance(part, dict) else {}


def _amount_mib(size: Any) -> int | None:
    """{"value": 24560, "unit": "MB"}, or before ROCm 6.2 the text "24560 MB"; AMD's MB is a MiB."""
    words = f"{size.get('value')} {size.get('unit')}".split() if isinstance(size, dict) else str(size).split()
    if len(words) != 2 or whole(words[0]) is None or words[1] not in KILO:
        return None
    return int(int(words[0]) * KILO[words[1]])
