"""The archives of an Ollama release that a host needs, from its hardware.

Sources: .github/workflows/release.yaml, scripts/install.sh, docs/gpu.mdx and discover/cuda_compat.go of Ollama v0.33.0.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from .archives import ArchiveError, Hardware, backend_of, capability, check_backend, check_hardware, driver_major, platform_of

BASES = {
    "Linux-amd64": "ollama-linux-amd64",
    "Linux-arm64": "ollama-linux-arm64",
    # One archive for both processors; Metal on Apple silicon only.
    "Darwin-arm64": "ollama-darwin",
    "Darwin-amd64": "ollama-darwin",
}
# Releases before it had archives of another shape.
OLDEST = (0, 6, 0)
FIRST_WITH_ZSTD = (0, 14, 0)
# Before llama-server came with Ollama, its CUDA libraries were content with an older driver.
FIRST_WITH_LLAMA_SERVER = (0, 30, 0)
DRIVER_FLOOR, DRIVER_FLOOR_BEFORE = 550, 531
SMALLEST_CAPABILITY = 5.0
# GPUs up to Pascal: their code is translated by the driver, which has to know CUDA 12.8.
TRANSLATED_CAPABILITY, TRANSLATED_DRIVER_FLOOR = 6.2, 570
WAY_OUT = "Name the archives yourself (ollama_archives) to go on without it."


def ollama_archives(hardware: Hardware, version: str, backend: str | None = None) -> list[str]:
    """Names of the archives of release ``version``, to be unpacked one over the other in this order.

    hardware: what homelab.llm.hardware_info returns. backend: taken at its word; None is chosen from the hardware, whose
    drivers are checked then. Raises ArchiveError for a platform without an archive, a driver or a GPU that is too old.
    """
    check_hardware(hardware)
    check_backend(backend)
    number = release_number(version)
    platform = platform_of(hardware)
    if platform not in BASES:
        raise ArchiveError(
            f"Ollama {version} has no archive for {platform}; it has some for {', '.join(sorted(BASES))}."
            " Build it on the host and use ollama_install_method: existing."
        )
    if backend is None:
        check_drivers(hardware, number)
    names = [BASES[platform], *_extra(hardware, platform, backend)]
    return [f"{name}.{ending(platform, number)}" for name in names]


def release_number(version: str) -> tuple[int, int, int]:
    """0.33.0, v0.33.0 and 0.33.0-rc2 are (0, 33, 0). Raises ArchiveError for other texts and for releases before the oldest."""
    found = re.fullmatch(r"v?(\d+)\.(\d+)\.(\d+)(?:-\w+)?", str(version))
    number = (int(found[1]), int(found[2]), int(found[3])) if found else None
    if number is None or number < OLDEST:
        raise ArchiveError(f"Ollama {version}: expected a release such as 0.33.0, not before {'.'.join(map(str, OLDEST))}.")
    return number


def ending(platform: str, number: tuple[int, int, int]) -> str:
    """How the archives of a release are packed."""
    return "tgz" if platform.startswith("Darwin") or number < FIRST_WITH_ZSTD else "tar.zst"


def check_drivers(hardware: Hardware, number: tuple[int, int, int]) -> None:
    """Raises ArchiveError for the first NVIDIA GPU that this release would pass over in silence."""
    if hardware.get("jetpack"):
        return  # A Jetson's driver is numbered otherwise and belongs to its JetPack.
    floor = DRIVER_FLOOR if number >= FIRST_WITH_LLAMA_SERVER else DRIVER_FLOOR_BEFORE
    for item in hardware["accelerators"]:
        if item.get("backend") == "cuda":
            _check_gpu(item, floor)


def _check_gpu(item: Mapping[str, Any], floor: int) -> None:
    able, major = capability(item), driver_major(item)
    if able is not None and able < SMALLEST_CAPABILITY:
        raise ArchiveError(
            f"{item['name']} has compute capability {able}; Ollama computes with {SMALLEST_CAPABILITY} and newer. {WAY_OUT}"
        )
    if able is not None and able <= TRANSLATED_CAPABILITY:
        floor = max(floor, TRANSLATED_DRIVER_FLOOR)
    if major is not None and major < floor:
        raise ArchiveError(
            f"{item['name']} has driver {item['driver']}; this release needs {floor} or newer"
            f"{f' for compute capability {able}' if able is not None else ''}. Upgrade NVIDIA's driver on the host. {WAY_OUT}"
        )


def _extra(hardware: Hardware, platform: str, backend: str | None) -> list[str]:
    """ROCm and JetPack libraries are archives of their own, on top of the first."""
    wanted = {backend} if backend else {item.get("backend") for item in hardware["accelerators"]}
    if platform == "Linux-amd64" and "rocm" in wanted:
        return [f"{BASES[platform]}-rocm"]
    if backend == "rocm":
        raise ArchiveError(f"Ollama has no ROCm archive for {platform}, only for Linux-amd64. Use backend vulkan.")
    if backend == "metal" and platform != "Darwin-arm64":
        raise ArchiveError(f"backend metal is not to be had on {platform}; expected {backend_of(hardware)}.")
    if platform == "Linux-arm64" and hardware.get("jetpack"):
        return [f"{BASES[platform]}-jetpack{hardware['jetpack']}"]
    return []
