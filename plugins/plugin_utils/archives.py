"""What both engines' choices of release archives need of a host's hardware."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Hardware = Mapping[str, Any]
# The order in which engines prefer what they can compute with.
BACKENDS = ("cuda", "rocm", "vulkan", "metal", "cpu")
REQUIRED = ("system", "architecture", "accelerators")


class ArchiveError(ValueError):
    """No archive can be named: what was found, what was expected and what to do."""


def check_hardware(hardware: Hardware) -> None:
    """Raises ArchiveError where the value is not what homelab.llm.hardware_info returns."""
    missing = [key for key in REQUIRED if not isinstance(hardware, Mapping) or key not in hardware]
    if missing:
        raise ArchiveError(
            f"got hardware without {', '.join(missing)}; expected what homelab.llm.hardware_info returns as hardware."
        )


def backend_of(hardware: Hardware) -> str:
    """What the host's accelerators compute with, the most able of them; ``cpu`` where it has none."""
    found = {item.get("backend") for item in hardware["accelerators"]}
    return next((backend for backend in BACKENDS if backend in found), "cpu")


def check_backend(backend: str | None) -> None:
    """Raises ArchiveError for a name that is no backend."""
    if backend is not None and backend not in BACKENDS:
        raise ArchiveError(f"backend {backend} is not known; expected one of {', '.join(BACKENDS)}.")


def platform_of(hardware: Hardware) -> str:
    """System and architecture in one word, such as ``Linux-amd64``."""
    return f"{hardware['system']}-{hardware['architecture']}"


def driver_major(accelerator: Mapping[str, Any]) -> int | None:
    """First number of a driver's version: 570 of 570.133.20; None where the driver is unknown."""
    first = str(accelerator.get("driver") or "").partition(".")[0]
    return int(first) if first.isascii() and first.isdigit() else None


def capability(accelerator: Mapping[str, Any]) -> float | None:
    """Compute capability as a number: 6.1; None where it is unknown."""
    try:
        return float(accelerator.get("compute_capability") or "")
    except ValueError:
        return None
