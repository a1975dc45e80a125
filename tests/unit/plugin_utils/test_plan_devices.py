"""Where a model is planned, in llama.cpp's names of devices."""

from __future__ import annotations

import pytest

from plugins.module_utils.packing import Load, Placed
from plugins.plugin_utils.fleet import Host
from plugins.plugin_utils.plan_devices import devices, full_offload

RAM = {"name": "ram", "kind": "cpu", "memory_gib": 64}
CARDS = [{"name": name, "kind": "gpu", "memory_gib": 24} for name in ("left", "right")]
RADEON = {"name": "radeon", "kind": "gpu", "memory_gib": 16, "backend": "rocm"}
ARC = {"name": "arc", "kind": "gpu", "memory_gib": 12, "backend": "vulkan"}
METAL = {"name": "metal", "kind": "unified", "memory_gib": 96}


def host(*accelerators, engine="llama_cpp"):
    where = {"base_port": 8100} if engine == "llama_cpp" else {"url": "http://x:1"}
    return Host.model_validate({"engine": engine, **where, "accelerators": list(accelerators)})


def placed(*names):
    return Placed("m", Load(tuple((name, 1000.0) for name in names), 0.0))


@pytest.mark.parametrize(
    ("accelerators", "names", "expected", "whole"),
    [
        ([RAM], ["ram"], None, False),
        ([CARDS[0]], ["left"], ["CUDA0"], True),
        ([*CARDS, RAM], ["right"], ["CUDA1"], True),
        ([*CARDS, RAM], ["left", "right"], ["CUDA0", "CUDA1"], True),
        ([*CARDS, RAM], ["ram"], ["none"], False),
        # Numbered by backend.
        ([CARDS[0], RADEON, ARC], ["radeon"], ["ROCm0"], True),
        ([CARDS[0], RADEON, ARC], ["arc"], ["Vulkan0"], True),
        ([METAL], ["metal"], ["MTL0"], True),
    ],
)
def test_devices_of_a_llama_cpp_server(accelerators, names, expected, whole):
    assert devices(host(*accelerators), placed(*names)) == expected
    assert full_offload(host(*accelerators), placed(*names)) is whole


def test_what_nobody_places_is_not_known():
    assert devices(host(*CARDS), None) is None
    assert full_offload(host(*CARDS), None) is None


def test_an_ollama_chooses_its_devices_itself():
    assert devices(host(*CARDS, engine="ollama"), placed("left")) is None
    assert full_offload(host(*CARDS, engine="ollama"), placed("left")) is True
