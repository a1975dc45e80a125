"""Which backend the role `llama_cpp` takes archives for: the one of the devices that the plan names, else the hardware's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template

from plugins.plugin_utils.plan_devices import DEVICE_NAMES

ROLE = Path(__file__).parents[3] / "roles" / "llama_cpp"
VARIABLES = yaml.safe_load((ROLE / "vars" / "main.yml").read_text(encoding="utf-8"))
DECIDE = yaml.safe_load((ROLE / "tasks" / "decide.yml").read_text(encoding="utf-8"))[0]["vars"]
NAMES = ("llama_cpp_devices", "llama_cpp_on_gpu", "llama_cpp_backends", "llama_cpp_all_on_cpu", "llama_cpp_planned_backend")


def wanted(models: list[dict[str, Any]], backends: list[str], said: str = "auto") -> Any:
    """The backend that the archives are asked for; None: whatever the hardware has, its drivers looked at."""
    texts = {name: trust_as_template(text) for name, text in {**{name: VARIABLES[name] for name in NAMES}, **DECIDE}.items()}
    given = {
        "llama_cpp_device_backends": VARIABLES["llama_cpp_device_backends"],
        "llama_cpp_models": models,
        "llama_cpp_backend": said,
        "llama_cpp_hardware": {"hardware": {"accelerators": [{"backend": backend} for backend in backends]}},
    }
    return Templar(loader=DataLoader(), variables={**texts, **given}).template(texts["llama_cpp_wanted_backend"])


def model(devices: list[str] | None, full_offload: bool | None = True) -> dict[str, Any]:
    return {"devices": devices, "full_offload": full_offload}


CPU = model(["none"], full_offload=False)
# (models, backends of the host's accelerators, what the variable says, wanted)
CASES: list[tuple[str, list[dict[str, Any]], list[str], str, str | None]] = [
    ("no plan", [model(None, None)], ["cuda"], "auto", None),
    ("no models", [], ["cuda"], "auto", None),
    ("as planned", [model(["CUDA0"]), model(["CUDA1"])], ["cuda", "cuda"], "auto", None),
    ("one of two kinds", [model(["ROCm0"])], ["cuda", "rocm"], "auto", "rocm"),
    ("not what was found", [model(["Vulkan0", "Vulkan1"])], ["cuda"], "auto", "vulkan"),
    ("a Mac", [model(["MTL0"])], ["metal"], "auto", None),
    ("all on the CPU", [CPU, model(None, full_offload=False)], ["cuda"], "auto", "cpu"),
    ("some on the CPU", [CPU, model(["Vulkan0"])], ["cuda"], "auto", "vulkan"),
    ("two kinds at once", [model(["CUDA0"]), model(["Vulkan0"])], ["cuda"], "auto", None),
    ("named", [model(["CUDA0"])], ["cuda"], "vulkan", "vulkan"),
]


@pytest.mark.parametrize(
    ("models", "backends", "said", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_the_plan_decides_before_the_hardware(models, backends, said, expected):
    assert wanted(models, backends, said) == expected


def test_every_device_of_the_plan_is_known():
    assert {name: backend for backend, name in DEVICE_NAMES.items()} == VARIABLES["llama_cpp_device_backends"]
