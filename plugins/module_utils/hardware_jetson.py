# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""NVIDIA Jetson: a GPU that shares the memory of its module, told by the device tree and NVIDIA's release file.

Source: scripts/install.sh of Ollama v0.33.0 (R36 is JetPack 6, R35 is JetPack 5); CUDA GPU Compute Capability, NVIDIA.
"""

from __future__ import annotations

import re
from typing import Any

from .hardware_machine import Machine

RELEASE = "/etc/nv_tegra_release"
MODEL = "/proc/device-tree/model"
JETPACKS = {35: "5", 36: "6"}
CAPABILITIES = (("thor", "11.0"), ("orin", "8.7"), ("xavier", "7.2"), ("jetson-agx", "7.2"))
DECORATION = re.compile(r"^NVIDIA | (?:Engineering Reference )?Developer Kit| Engineering Reference")


def release(text: str) -> int | None:
    """The number of a Jetson Linux release: 36 of "# R36 (release), REVISION: 4.3, …"."""
    found = re.match(r"#\s*R(\d+) \(release\)", text)
    return int(found.group(1)) if found else None


def jetson(machine: Machine, memory_mib: int | None) -> tuple[str | None, list[dict[str, Any]], list[str]]:
    """JetPack's first number, the GPU and the notes; nothing at all on a machine that is no Jetson."""
    number = release(machine.read(RELEASE) or "")
    if number is None:
        return None, [], []
    name = module_name(machine.read(MODEL) or "Jetson")
    capability = next((value for word, value in CAPABILITIES if word in name.lower()), None)
    accelerator = {
        "index": 0,
        "name": name,
        "kind": "unified",
        "memory_mib": memory_mib,
        "compute_capability": capability,
        "backend": "cuda",
    }
    notes = [] if number in JETPACKS else [f"Jetson Linux R{number} is not known; expected R35 (JetPack 5) or R36 (JetPack 6)."]
    return JETPACKS.get(number), [accelerator], notes


def module_name(model: str) -> str:
    """A module's name without what its development kit adds: "Jetson Orin Nano Super", "Jetson AGX Xavier"."""
    plain = DECORATION.sub("", model.strip("\0 \n")).strip()
    # The device tree of an AGX Xavier up to JetPack 5.
    return "Jetson AGX Xavier" if plain == "Jetson-AGX" else plain
