# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The graphics devices and accelerators on the PCI bus and the kernel drivers that hold them, by Linux's own account."""

from __future__ import annotations

import re
from typing import NamedTuple

from .hardware_machine import Machine

DEVICES = "/sys/bus/pci/devices"
# PCI base class 03h: display controller (PCI Code and ID Assignment Specification).
DISPLAY_CLASS = 0x03
# Base class 12h: processing accelerators, as AMD's Instinct MI300 series reports itself; with other makers these are NPUs.
ACCELERATOR_CLASS = 0x12
VENDORS = {"10de": "nvidia", "1002": "amd", "8086": "intel"}
LSPCI = ("lspci", "-D", "-nn")
LINE = re.compile(r"^(\S+) [^\[]*\[(?:03|12)[0-9a-f]{2}\]: (.+) \[[0-9a-f]{4}:[0-9a-f]{4}\]", re.MULTILINE)
OWNER = re.compile(r"^(?:NVIDIA Corporation|Intel Corporation|Advanced Micro Devices, Inc\. \[AMD/ATI\])\s+")
MARKETED = re.compile(r"\[([^\[\]]+)\]$")


class PciGpu(NamedTuple):
    """One graphics device. ``device``: its PCI device id in hex; ``driver``: the kernel's, None where nothing holds it."""

    slot: str
    vendor: str
    device: str
    driver: str | None
    name: str | None

    @property
    def path(self) -> str:
        """Where the kernel tells about it."""
        return f"{DEVICES}/{self.slot}"

    @property
    def label(self) -> str:
        """What to call it in a message."""
        return f"{self.name or f'{self.vendor} {self.device}'} at {self.slot}"


def pci_gpus(machine: Machine) -> list[PciGpu]:
    """The graphics devices of NVIDIA, AMD and Intel, by slot; what serves a screen only (a BMC, a virtual one) is left out."""
    found = []
    for path in machine.paths(f"{DEVICES}/*/uevent"):
        device = _device(machine.read(path) or "")
        if device:
            found.append(device)
    if not found:
        return []
    names = device_names(machine.run(LSPCI) or "")
    return [device._replace(name=names.get(device.slot)) for device in found]


def device_names(text: str) -> dict[str, str]:
    """Slot and name of each graphics device of ``lspci -D -nn``; the name in brackets, which is the one it is sold by."""
    names = {}
    for slot, described in LINE.findall(text):
        sold = MARKETED.search(described)
        names[slot] = sold.group(1) if sold else OWNER.sub("", described)
    return names


def _device(uevent: str) -> PciGpu | None:
    said = dict(line.split("=", 1) for line in uevent.splitlines() if "=" in line)
    try:
        base_class = int(said.get("PCI_CLASS", ""), 16) >> 16
    except ValueError:
        return None
    vendor, _colon, device = said.get("PCI_ID", "").lower().partition(":")
    computes = base_class == DISPLAY_CLASS or (base_class == ACCELERATOR_CLASS and VENDORS.get(vendor) == "amd")
    if not computes or vendor not in VENDORS or not said.get("PCI_SLOT_NAME"):
        return None
    return PciGpu(said["PCI_SLOT_NAME"], VENDORS[vendor], device, said.get("DRIVER"), None)
