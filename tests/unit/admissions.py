"""Hosts and models for tests of admission: sizes are round, so that a case's comment can do the sum."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from plugins.plugin_utils.admission import (
    Accelerator,
    Candidate,
    EngineHost,
    EngineShape,
    Footprint,
    RunnerOptions,
    ServerSettings,
)

GIB = 2**30
NEW, OLD = "0.33.0", "0.24.0"

# 2 x 32 layers x 8 heads x 128 wide x 2 bytes = 128 KiB per token: 512 MiB at 4,096 tokens, 4 GiB at 32,768.
LLAMA = EngineShape("llama", 32, 4096, 32, 8, context_length=131072, vocabulary=128256)
# One KV head is what the header of a model with latent attention says: 2 x 27 x 1 x 128 x 2 bytes = 13.5 KiB per token,
# 432 MiB at 32,768 tokens. llama.cpp allocates 27 x 576 x 2 bytes = 30.4 KiB per token, 972 MiB.
LATENT = EngineShape("deepseek2", 27, 2048, 16, 1, context_length=163840)
# 2 x 34 x 4 x 320 x 2 bytes = 170 KiB per token, 5,440 MiB at 32,768; five of six layers keep 1,024 tokens: 814 MiB.
SLIDING = EngineShape("gemma3", 34, 2560, 8, 4, key_length=256, value_length=256, context_length=131072)
ENCODER = EngineShape("bert", 12, 768, 12, None, context_length=512)

# What a server must say so that nothing is left to a default; 4,096 tokens keep the caches small.
SETTLED = ServerSettings(max_loaded_models=9, keep_alive=-1, context_length=4096)


def gpu(gib: float, name: str = "gpu0", **more: Any) -> Accelerator:
    return Accelerator(name, "cuda", gib * 1024, **more)


def gpus(*gib: float, **more: Any) -> EngineHost:
    return EngineHost(tuple(gpu(size, f"gpu{index}", **more) for index, size in enumerate(gib)))


def mac(gib: float, ram_free_gib: float) -> EngineHost:
    return EngineHost((Accelerator("metal", "metal", gib * 1024),), ram_free_mib=ram_free_gib * 1024)


def cpu(ram_free_gib: float, swap_free_gib: float | None = None) -> EngineHost:
    swap = None if swap_free_gib is None else swap_free_gib * 1024
    ram = Accelerator("ram", "cpu", ram_free_gib * 1024)
    return EngineHost((ram,), ram_free_mib=ram_free_gib * 1024, swap_free_mib=swap)


def model(name: str, file_gib: float, real_gib: float | None = None, shape: EngineShape = LLAMA, **more: Any) -> Candidate:
    """A model whose blob sorts like its name; its real size is ``real_gib`` on the device and nothing besides."""
    options = {key: more.pop(key) for key in ("num_ctx", "num_batch", "num_gpu", "main_gpu", "use_mmap") if key in more}
    real = None if real_gib is None else Footprint(real_gib * 1024)
    given = Candidate(name, round(file_gib * GIB), shape, blob_digest=f"sha256:{name}", real=real)
    return replace(given, options=RunnerOptions(**options), **more)


def names(residents: Any) -> list[str]:
    return [resident.name for resident in residents]


def kinds(events: Any) -> list[str]:
    return [event.kind for event in events]
