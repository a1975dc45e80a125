"""What engines say of their memory is read from their logs: recorded ones, and lines as the sources write them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plugins.module_utils.engine_memory import LoadReport, load_reports, ollama_ps_mib
from tests.unit.any_text import any_text

LOGS = Path(__file__).parents[2] / "fixtures" / "engine_logs"
GEMMA3 = {"weights": 52.60, "kv_cache": 26.00, "compute": 17.27, "output": 0.02}


def reports(name: str) -> list[LoadReport]:
    return load_reports((LOGS / name).read_text(encoding="utf-8").splitlines())


def rounded(report: LoadReport) -> dict[str, dict[str, float]]:
    return {device: {part: round(mib, 2) for part, mib in parts.items()} for device, parts in report.parts_mib().items()}


RECORDED = [
    # Both caches of a sliding-window model count, and what was only measured does not.
    ("llama-server-b10488-gemma3.log", [GEMMA3]),
    ("llama-server-b10488-gemma3-verbose.log", [GEMMA3]),
    ("llama-server-b10488-gpt-oss.log", [{"weights": 24.62, "kv_cache": 17.50, "compute": 21.77, "output": 0.02}]),
    (
        "xllamacpp-2026.10.11549-smollm2.log",
        [{"weights": 92.10, "kv_cache": 180.00, "compute": 22.64, "output": 0.19}],
    ),
    (
        "ollama-0.33.0-loads.log",
        [
            {"weights": 42.15, "kv_cache": 16.00, "compute": 13.01, "output": 0.02},
            {"weights": 52.60, "kv_cache": 18.00, "compute": 13.27, "output": 0.02},
            {"weights": 33.34, "kv_cache": 11.25, "compute": 18.01, "output": 0.02},
            {"weights": 60.32, "kv_cache": 8.00, "state": 3.14, "compute": 19.06, "output": 0.02},
        ],
    ),
    (
        "ollama-0.24.0-loads.log",
        [
            {"weights": 60.30, "kv_cache": 86.50, "compute": 26.10},
            {"weights": 37.67, "kv_cache": 8.00, "state": 1.05, "compute": 19.01, "output": 0.02},
        ],
    ),
]


@pytest.mark.parametrize(("name", "expected"), RECORDED)
def test_recorded_logs(name: str, expected: list[dict[str, float]]) -> None:
    assert [rounded(report) for report in reports(name)] == [{"host": parts} for parts in expected]


@pytest.mark.parametrize(
    ("name", "number", "expected"),
    [
        ("llama-server-b10488-gemma3.log", 0, ("/models/gemma3.gguf", 8192, 1, 512, 512, True, 1, 8192.0)),
        ("xllamacpp-2026.10.11549-smollm2.log", 0, ("/models/SmolLM2", 8192, 1, 2048, 512, True, 1, None)),
        ("ollama-0.33.0-loads.log", 1, ("0adc3673dc51", 4096, 1, 512, 512, True, 1, 8192.0)),
        ("ollama-0.24.0-loads.log", 0, ("663759a4ebcd", 4096, 1, 512, 512, True, None, None)),
        ("ollama-0.24.0-loads.log", 1, ("7cde8c841b49", 4096, 1, 512, 512, True, 1, None)),
    ],
)
def test_what_a_log_says_of_a_load(name: str, number: int, expected: tuple[object, ...]) -> None:
    found = reports(name)[number]
    path, *facts = expected
    assert str(path) in str(found.model_path)
    assert [
        found.context_tokens, found.parallel, found.batch_tokens, found.ubatch_tokens, found.flash_attention,
        found.graph_splits, found.prompt_cache_limit_mib,
    ] == facts  # fmt: skip


@pytest.mark.parametrize(
    ("name", "shown_mib"),
    [
        # As /api/ps said while these were recorded: of two caches only the last, and of v0.24 its own layout.
        ("ollama-0.33.0-loads.log", [71.18, 75.89, 62.62, 90.54]),
        ("ollama-0.24.0-loads.log", [172.9, 41.7]),
    ],
)
def test_what_ps_shows_of_it(name: str, shown_mib: list[float]) -> None:
    assert [ollama_ps_mib(report) for report in reports(name)] == pytest.approx(shown_mib, abs=0.02)


# Lines of llama.cpp's and Ollama's sources, of machines with accelerators.
TWO_CARDS = """
load_tensors: offloaded 29/29 layers to GPU
load_tensors:   CPU_Mapped model buffer size =   308.23 MiB
load_tensors:        CUDA0 model buffer size =  1852.89 MiB
load_tensors:        CUDA1 model buffer size =  1641.07 MiB
load_tensors:  CUDA0_Split model buffer size =     1.00 MiB
llama_context:  CUDA_Host  output buffer size =     0.58 MiB
llama_kv_cache:      CUDA0 KV buffer size =  1920.00 MiB
llama_kv_cache:      CUDA1 KV buffer size =  1664.00 MiB
sched_reserve: reserving ...
sched_reserve:      CUDA0 compute buffer size =   378.04 MiB
sched_reserve:      CUDA1 compute buffer size =   304.75 MiB
sched_reserve:  CUDA_Host compute buffer size =   268.05 MiB
"""
METAL = """
load_tensors: MTL0_Mapped model buffer size =  1918.35 MiB
llama_kv_cache:  MTL0 KV buffer size = 128.00 MiB
"""
PROJECTOR = """
clip_ctx: CLIP using CUDA0 backend
load_tensors:        CUDA0 model buffer size =   100.00 MiB
load_hparams: model size:         812.50 MiB
alloc_compute_meta:      CUDA0 compute buffer size =   120.00 MiB
alloc_compute_meta:        CPU compute buffer size =     3.00 MiB
sched_reserve:      CUDA0 compute buffer size =    50.00 MiB
llama_adapter_lora_init_impl:      CUDA0 LoRA buffer size =    20.00 MiB
llama_kv_cache_dsv4:      CUDA0 DSV4 comp state buffer size =     7.00 MiB
"""
RESERVED_AGAIN = """
llama_context: constructing llama_context
llama_kv_cache:        CPU KV buffer size =    24.00 MiB
sched_reserve: reserving ...
sched_reserve:        CPU compute buffer size =    10.00 MiB
sched_reserve: reserving ...
sched_reserve:        CPU compute buffer size =    12.00 MiB
llama_context: constructing llama_context
llama_kv_cache:        CPU KV buffer size =     4.00 MiB
sched_reserve: reserving ...
sched_reserve:        CPU compute buffer size =     2.00 MiB
"""
V0_24_CARDS = """
time=x level=DEBUG source=device.go:240 msg="model weights" device=CUDA0 size="99.0 GiB"
time=x level=INFO source=device.go:240 msg="model weights" device=CUDA0 size="1.5 GiB"
time=x level=INFO source=device.go:245 msg="model weights" device=CPU size="308.2 MiB"
time=x level=INFO source=device.go:251 msg="kv cache" device=CUDA0 size="224.0 MiB"
time=x level=INFO source=device.go:262 msg="compute graph" device=CUDA0 size="128.5 KiB"
time=x level=INFO source=device.go:272 msg="total memory" size="2.0 GiB"
"""
WRITTEN = [
    (
        TWO_CARDS,
        {
            "host": {"weights": 308.23, "output": 0.58, "compute": 268.05},
            "CUDA0": {"weights": 1853.89, "kv_cache": 1920.0, "compute": 378.04},
            "CUDA1": {"weights": 1641.07, "kv_cache": 1664.0, "compute": 304.75},
        },
    ),
    (METAL, {"MTL0": {"weights": 1918.35, "kv_cache": 128.0}}),
    (
        PROJECTOR,
        {
            "CUDA0": {"weights": 100.0, "projector": 932.5, "compute": 50.0, "adapter": 20.0, "state": 7.0},
            "host": {"projector": 3.0},
        },
    ),
    # A second context, of a draft model for one, is there besides the first.
    (RESERVED_AGAIN, {"host": {"kv_cache": 28.0, "compute": 14.0}}),
    (V0_24_CARDS, {"CUDA0": {"weights": 1536.0, "kv_cache": 224.0, "compute": 0.13}, "host": {"weights": 308.2}}),
]


@pytest.mark.parametrize(("text", "expected"), WRITTEN)
def test_lines_as_the_sources_write_them(text: str, expected: dict[str, dict[str, float]]) -> None:
    assert [rounded(report) for report in load_reports(text.splitlines())] == [expected]


def test_layers_on_accelerators_are_told() -> None:
    [found] = load_reports(TWO_CARDS.splitlines())
    assert (found.offloaded_layers, found.layer_count, found.part_mib("kv_cache")) == (29, 29, 3584.0)


@pytest.mark.parametrize("text", ["", "nothing\nof memory", "load_tensors: CPU model buffer size = lots MiB", "KV buffer size"])
def test_a_log_without_buffers_has_no_report(text: str) -> None:
    assert load_reports(text.splitlines()) == []


@settings(max_examples=25, deadline=None)
@given(st.lists(any_text(80), max_size=6))
def test_other_lines_change_nothing(noise: list[str]) -> None:
    lines = TWO_CARDS.splitlines()
    mixed = [
        line for number, other in enumerate(lines) for line in (other, *(f"# {text}" for text in noise[number : number + 1]))
    ]
    assert load_reports(mixed) == load_reports(lines)
