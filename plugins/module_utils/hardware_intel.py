# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Intel's discrete GPUs, by the account of the kernel's drivers i915 and xe.

Sources: Linux drivers/gpu/drm/xe (tileN/physical_vram_size_bytes), Documentation/ABI/testing/sysfs-bus-pci (resource).
"""

from __future__ import annotations

from typing import Any, Iterable

from .hardware_machine import Machine, mib, whole
from .hardware_pci import PciGpu

# Graphics inside an Intel processor have always been device 2 of the root bus.
INTEGRATED_SLOT = ":00:02."
DRIVERS = ("i915", "xe")
# The window onto all of the memory (resizable BAR); without it the window has 256 MiB and tells nothing.
SMALLEST_CARD_MIB = 2048
WINDOW = 2


def intel_gpus(machine: Machine, devices: Iterable[PciGpu]) -> tuple[list[dict[str, Any]], list[str]]:
    """The GPUs and the notes; graphics inside a processor are told in a note."""
    found: list[dict[str, Any]] = []
    notes: list[str] = []
    for device in devices:
        if INTEGRATED_SLOT in device.slot:
            notes.append(f"The integrated graphics {device.label} are left out: engines do not use them unasked.")
        elif device.driver not in DRIVERS:
            holder = device.driver or "no driver"
            notes.append(f"Intel {device.label} is not used: it has {holder}; expected i915 or xe. Use a newer kernel.")
        else:
            found.append({**_record(machine, device), "index": len(found)})
            if found[-1]["memory_mib"] is None:
                notes.append(f"The memory of {device.label} cannot be told without resizable BAR; write it into the inventory.")
    return found, notes


def _record(machine: Machine, device: PciGpu) -> dict[str, Any]:
    return {
        "name": f"Intel {device.name or device.device}",
        "driver": device.driver,
        "memory_mib": memory_mib(machine, device),
        "kind": "gpu",
        "backend": "vulkan",
    }


def memory_mib(machine: Machine, device: PciGpu) -> int | None:
    """Memory of a card: as xe tells it, else the size of its window; None where neither does."""
    tiles = [whole(machine.read(path)) for path in machine.paths(f"{device.path}/tile*/physical_vram_size_bytes")]
    told = mib(sum(size for size in tiles if size is not None))
    if told:
        return told
    window = window_mib(machine.read(f"{device.path}/resource") or "")
    return window if window is not None and window >= SMALLEST_CARD_MIB else None


def window_mib(text: str) -> int | None:
    """The size of the second memory window of a device: line 3 of its ``resource``, first and last address and flags in hex."""
    lines = text.splitlines()
    try:
        first, last = (int(word, 16) for word in lines[WINDOW].split()[:2])
    except (IndexError, ValueError):
        return None
    return mib(last - first + 1) if last > first else None
