"""The archives of a llama.cpp release (a build, such as b10488) that a host needs, from its hardware.

Sources: .github/workflows/release.yml of llama.cpp and the assets of its releases b8757 to b11512; its pull requests 27399 (ROCm
archives again from b10582), 27803 (ROCm 10.0 from b10767), 28186 (CUDA for Linux from b10969).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from .archives import ArchiveError, Hardware, backend_of, capability, check_backend, check_hardware, driver_major, platform_of

# The oldest release whose list of assets is known here.
OLDEST = 8757
NAMES = {
    ("Linux-amd64", "cpu"): "ubuntu-x64",
    ("Linux-amd64", "vulkan"): "ubuntu-vulkan-x64",
    ("Linux-arm64", "cpu"): "ubuntu-arm64",
    ("Linux-arm64", "vulkan"): "ubuntu-vulkan-arm64",
    ("Darwin-arm64", "metal"): "macos-arm64",
    ("Darwin-arm64", "cpu"): "macos-arm64",
    # Built without Metal.
    ("Darwin-amd64", "cpu"): "macos-x64",
}
# First build, last build (None: goes on), version in the name.
ROCM_VERSIONS = ((OLDEST, 10355, "7.2"), (10356, 10397, "7.14"), (10582, 10766, "7.14"), (10767, None, "10.0"))
CUDA_VERSIONS = {
    # CUDA 12.8 rather than 13: it computes with every GPU from Maxwell to Blackwell.
    "Linux-amd64": ("x64", 570, ((10969, None, "12.8"),)),
    "Linux-arm64": ("arm64", 580, ((10969, 11057, "13.3"), (11101, None, "13.4"))),
}
SMALLEST_CAPABILITY = 5.0
Ranges = tuple[tuple[int, int | None, str], ...]
BUILD_YOURSELF = "build llama.cpp on the host and use llama_cpp_install_method: existing"


def llama_cpp_archives(hardware: Hardware, build: str | int, backend: str | None = None) -> list[str]:
    """Names of the archives of release ``build``, to be unpacked one over the other without their first folder.

    hardware: what homelab.llm.hardware_info returns. backend: taken at its word; None is chosen from the hardware, whose
    drivers are checked then. Raises ArchiveError where this release has no such archive, with what to do instead.
    """
    check_hardware(hardware)
    check_backend(backend)
    number = build_number(build)
    platform, wanted = platform_of(hardware), backend or backend_of(hardware)
    if wanted == "cuda":
        return _cuda(hardware, platform, number, checked=backend is None)
    name = _rocm(platform, number) if wanted == "rocm" else NAMES.get((platform, wanted))
    if name is None:
        had = sorted(label for place, label in NAMES if place == platform)
        other = f"use backend {' or '.join(had)}, or " if had else ""
        raise ArchiveError(f"llama.cpp b{number} has no archive for {wanted} on {platform}; {other}{BUILD_YOURSELF}.")
    return [f"llama-b{number}-bin-{name}.tar.gz"]


def build_number(build: str | int) -> int:
    """b10488, "10488" and 10488 are 10488. Raises ArchiveError for other texts and for builds before the oldest known one."""
    found = re.fullmatch(r"b?(\d+)", str(build))
    number = int(found[1]) if found else 0
    if number < OLDEST:
        raise ArchiveError(
            f"llama.cpp {build}: expected a build such as b10488, not before b{OLDEST}. Name the archives yourself."
        )
    return number


def version_in(ranges: Ranges, number: int) -> str | None:
    """The version in the names of a build; None where no archive is known of it."""
    return next((version for first, last, version in ranges if first <= number <= (last or number)), None)


def _rocm(platform: str, number: int) -> str | None:
    version = version_in(ROCM_VERSIONS, number)
    return f"ubuntu-rocm-{version}-x64" if platform == "Linux-amd64" and version else None


def _cuda(hardware: Hardware, platform: str, number: int, checked: bool) -> list[str]:
    """The program and, beside it, CUDA's own libraries of the same version."""
    suffix, floor, ranges = CUDA_VERSIONS.get(platform, ("", 0, ()))
    version = None if hardware.get("jetpack") else version_in(ranges, number)
    if version is None:
        raise ArchiveError(_no_cuda(hardware, platform, number, ranges))
    if checked:
        for item in hardware["accelerators"]:
            _check_gpu(item, version, floor)
    name = f"llama-b{number}-bin-ubuntu-cuda-{version}-{suffix}.tar.gz"
    return [name, f"cudart-{name}"]


def _no_cuda(hardware: Hardware, platform: str, number: int, ranges: Ranges) -> str:
    said = f"llama.cpp b{number} has no archive for cuda on {platform}"
    if hardware.get("jetpack"):
        return f"{said} with JetPack {hardware['jetpack']}, and no other build has; {BUILD_YOURSELF}."
    since = f"take a build that has one (b{ranges[-1][0]} or newer), " if ranges else ""
    return f"{said}; {since}use backend vulkan, or the wheel for the processor (llama_cpp_install_method), or {BUILD_YOURSELF}."


def _check_gpu(item: Mapping[str, Any], version: str, floor: int) -> None:
    if item.get("backend") != "cuda":
        return
    able, major = capability(item), driver_major(item)
    if able is not None and able < SMALLEST_CAPABILITY:
        raise ArchiveError(
            f"{item['name']} has compute capability {able}; CUDA {version} computes with {SMALLEST_CAPABILITY} and newer."
        )
    if major is not None and major < floor:
        raise ArchiveError(
            f"{item['name']} has driver {item['driver']}; CUDA {version} needs {floor} or newer. Upgrade NVIDIA's driver on the"
            " host, or name a backend yourself: vulkan, or cuda to go on without this check."
        )
