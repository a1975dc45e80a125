"""Where the plan puts a model, in the words of the engines: whole in the memory of GPUs or not, and on which devices."""

from __future__ import annotations

from ..module_utils.packing import DEFAULT_BACKENDS, Placed
from .fleet import Accelerator, Host

# How llama.cpp b10488 calls its devices, numbered from 0 by backend (`llama-server --list-devices`).
DEVICE_NAMES = {"cuda": "CUDA", "rocm": "ROCm", "vulkan": "Vulkan", "metal": "MTL"}
NO_DEVICE = "none"


def full_offload(host: Host, placed: Placed | None) -> bool | None:
    """Whether all of a model has to be in the memory of GPUs; None where nobody plans its place."""
    if placed is None or not placed.accelerators:
        return None
    kinds = {item.name: item.kind for item in host.accelerators}
    return all(kinds[name] != "cpu" for name in placed.accelerators)


def devices(host: Host, placed: Placed | None) -> list[str] | None:
    """llama.cpp's names of the devices that a model is planned on; None where there is no choice: a host with only RAM."""
    names = _device_names(host)
    if host.engine != "llama_cpp" or not names or placed is None:
        return None
    return [names[name] for name in placed.accelerators if name in names] or [NO_DEVICE]


def _device_names(host: Host) -> dict[str, str]:
    """Accelerator -> device; devices of one backend are numbered in the order of the inventory."""
    names: dict[str, str] = {}
    counted: dict[str, int] = {}
    for item in host.accelerators:
        backend = _backend(item)
        if backend in DEVICE_NAMES:
            names[item.name] = f"{DEVICE_NAMES[backend]}{counted.get(backend, 0)}"
            counted[backend] = counted.get(backend, 0) + 1
    return names


def _backend(item: Accelerator) -> str:
    return item.backend or DEFAULT_BACKENDS[item.kind]
