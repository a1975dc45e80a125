"""The memories of this machine that models can be put into: NVIDIA GPUs, the unified memory of a Mac, or RAM."""

from __future__ import annotations

import os
import platform
import subprocess
from typing import Callable, Sequence

from .packing import Budget

MIB = 1024 * 1024
COMMAND_LIMIT_S = 10.0
NVIDIA = ("nvidia-smi", "--query-gpu=index,memory.total,memory.used", "--format=csv,noheader,nounits")
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


def accelerators_here(
    ask: Run = run, memory_mib: float | None = None, system: str | None = None, machine: str | None = None
) -> list[Budget]:
    """The memories of this machine, RAM last; empty where nothing can be told.

    What a GPU's other programs use now counts as reserved.
    """
    memory_mib = ram_mib() if memory_mib is None else memory_mib
    system, machine = system or platform.system(), machine or platform.machine()
    if system == "Darwin" and machine == "arm64" and memory_mib:
        limit = whole(ask(WIRED_LIMIT))
        return [Budget("metal", "unified", memory_mib, wired_limit_mib=float(limit) if limit else None, backend="metal")]
    gpus = nvidia_gpus(ask(NVIDIA) or "")
    return [*gpus, *([Budget("ram", "cpu", memory_mib, backend="cpu")] if memory_mib else [])]


def nvidia_gpus(text: str) -> list[Budget]:
    """The GPUs of nvidia-smi's answer: index, MiB in all, MiB in use."""
    found = []
    for line in text.splitlines():
        cells = [whole(cell) for cell in line.split(",")]
        if len(cells) == 3 and cells[0] is not None and cells[1]:
            found.append(Budget(f"gpu{cells[0]}", "gpu", float(cells[1]), reserved_mib=float(cells[2] or 0)))
    return found


def whole(text: str | None) -> int | None:
    """A whole number, or None for any other text."""
    stripped = (text or "").strip()
    return int(stripped) if stripped.isascii() and stripped.isdigit() else None
