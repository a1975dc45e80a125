# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Processor and memory of a Linux machine, by the kernel's account; an ARM processor's name by lscpu's."""

from __future__ import annotations

import re
from typing import Any

from .hardware_machine import Machine, whole

KIB_PER_MIB = 1024
MODELS = ("/proc/device-tree/model", "/sys/class/dmi/id/product_name")


def cpu(machine: Machine) -> dict[str, Any]:
    """model, cores and threads; each is None where nothing tells it."""
    text = machine.read("/proc/cpuinfo") or ""
    processors = [block for block in re.split(r"\n\s*\n", text) if re.search(r"^processor\s*:", block, re.MULTILINE)]
    listed = lscpu_values(machine.run(("lscpu",)) or "")
    places = {(_value(block, "physical id"), _value(block, "core id")) for block in processors}
    cores = len(places) if processors and (None, None) not in places else _cores(listed)
    return {
        "model": _value(text, "model name") or listed.get("Model name"),
        "cores": cores or len(processors) or None,
        "threads": len(processors) or whole(listed.get("CPU(s)")),
    }


def memory_mib(machine: Machine) -> int | None:
    """Physical memory that the kernel manages."""
    found = re.search(r"^MemTotal:\s+(\d+) kB$", machine.read("/proc/meminfo") or "", re.MULTILINE)
    return int(found.group(1)) // KIB_PER_MIB if found else None


def machine_model(machine: Machine) -> str | None:
    """What the maker calls the machine."""
    return next((model for model in map(machine.read, MODELS) if model), None)


def lscpu_values(text: str) -> dict[str, str]:
    """The lines "name: value" of lscpu; of a processor with several kinds of cores the first kind counts."""
    values: dict[str, str] = {}
    for line in text.splitlines():
        name, separator, value = line.partition(":")
        if separator:
            values.setdefault(name.strip(), value.strip())
    return values


def _value(text: str, name: str) -> str | None:
    found = re.search(rf"^{re.escape(name)}[ \t]*:[ \t]*(.+)$", text, re.MULTILINE)
    return found.group(1).strip() if found else None


def _cores(listed: dict[str, str]) -> int | None:
    """Cores by lscpu: sockets (or clusters, on ARM) times the cores of each."""
    groups = [whole(listed.get("Socket(s)")) or whole(listed.get("Cluster(s)")), whole(listed.get("Core(s) per socket"))]
    groups[1] = groups[1] or whole(listed.get("Core(s) per cluster"))
    return groups[0] * groups[1] if groups[0] and groups[1] else None
