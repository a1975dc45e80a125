"""The memories of this machine that models can be put into: NVIDIA GPUs, the unified memory of a Mac, or RAM."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from typing import Callable, Sequence

from .hardware_machine import whole
from .hardware_nvidia import query, rows
from .packing import Budget

MIB = 1024 * 1024
KIB_PER_MIB = 1024
COMMAND_LIMIT_S = 10.0
NVIDIA_FIELDS = ("index", "memory.total", "memory.used")
NVIDIA = query(NVIDIA_FIELDS)
WIRED_LIMIT = ("sysctl", "-n", "iogpu.wired_limit_mb")

Run = Callable[[Sequence[str]], "str | None"]


def run(command: Sequence[str]) -> str | None:
    """What a command prints; None where there is no such command or it fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=COMMAND_LIMIT_S, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout


def ram_mib() -> float | None:
    """Physical memory, None where the system does not say."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / MIB
    except (ValueError, OSError):
        return None


def ram_in_use_mib(text: str | None = None) -> float:
    """What programs use of RAM now and could not give back; 0 where the system does not say. ``text``: of /proc/meminfo."""
    found = dict(re.findall(r"^(MemTotal|MemAvailable):\s+(\d+) kB$", read_meminfo() if text is None else text, re.MULTILINE))
    if len(found) < 2:
        return 0.0
    return max(int(found["MemTotal"]) - int(found["MemAvailable"]), 0) / KIB_PER_MIB


def read_meminfo() -> str:
    """Linux's own account of its memory, empty elsewhere."""
    try:
        with open("/proc/meminfo", encoding="ascii") as stream:
            return stream.read()
    except (OSError, ValueError):
        return ""


def accelerators_here(
    ask: Run = run,
    memory_mib: float | None = None,
    system: str | None = None,
    machine: str | None = None,
    meminfo: str | None = None,
) -> list[Budget]:
    """The memories of this machine, RAM last; empty where nothing can be told.

    What programs use now counts as reserved: of GPUs, and of RAM on Linux.
    """
    memory_mib = ram_mib() if memory_mib is None else memory_mib
    system, machine = system or platform.system(), machine or platform.machine()
    if system == "Darwin" and machine == "arm64" and memory_mib:
        limit = whole(ask(WIRED_LIMIT))
        return [Budget("metal", "unified", memory_mib, wired_limit_mib=float(limit) if limit else None, backend="metal")]
    gpus = nvidia_gpus(ask(NVIDIA) or "")
    in_use_mib = ram_in_use_mib(meminfo)
    return [*gpus, *([Budget("ram", "cpu", memory_mib, reserved_mib=in_use_mib, backend="cpu")] if memory_mib else [])]


def nvidia_gpus(text: str) -> list[Budget]:
    """The GPUs of nvidia-smi's answer to ``NVIDIA``; one that tells no memory of its own is left out."""
    return [
        Budget(f"gpu{item['index']}", "gpu", float(item["memory_mib"]), reserved_mib=float(item["used_mib"] or 0))
        for item in rows(text, NVIDIA_FIELDS)
        if item["memory_mib"]
    ]
