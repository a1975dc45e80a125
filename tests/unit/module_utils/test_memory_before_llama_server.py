"""What Ollama v0.24.0 reported for small models on a CPU, engine by engine, and where its rules change.

The first table was measured: weights as tensors of the file, caches in MiB, with batches of 512 tokens.
"""

from __future__ import annotations

from typing import Any

import pytest

from plugins.module_utils.memory import ModelFiles, predict
from plugins.module_utils.memory_before_llama_server import keeps_second_embedding, old_layer_caches, runs_own_engine
from plugins.module_utils.memory_settings import OLLAMA, Settings, resolved, runs_models_itself
from plugins.module_utils.model_shape import ModelShape, describe

MIB = 2**20
F16, F32 = 1, 0
COMMON = {"vocab_size": 4096, "context_length": 131072, "embedding_length": 512, "feed_forward_length": 1024}


def shape_of(
    architecture: str, layers: int, heads: Any, kv_heads: Any, tied: bool = False, pre: str = "", **more: Any
) -> ModelShape:
    keys = {**COMMON, "block_count": layers, "attention.head_count": heads, "attention.head_count_kv": kv_heads, **more}
    metadata = {"general.architecture": architecture, **{f"{architecture}.{key}": value for key, value in keys.items()}}
    ends = ["token_embd.weight"] + ([] if tied else ["output.weight"])
    tensors = [*((name, (512, 4096), F16) for name in ends), ("output_norm.weight", (512,), F32)]
    return describe({**metadata, **({"tokenizer.ggml.pre": pre} if pre else {})}, tensors)


def lengths(length: int, **more: Any) -> dict[str, Any]:
    return {"attention.key_length": length, "attention.value_length": length, **more}


GEMMA3 = shape_of("gemma3", 12, 4, 1, tied=True, **lengths(256), **{"attention.sliding_window": 512})
GPT_OSS = shape_of("gpt-oss", 4, 16, 4, **lengths(64), **{"attention.sliding_window": 128})
LATENT = {
    "attention.key_length": 288, "attention.value_length": 256, "attention.key_length_mla": 96, "attention.value_length_mla": 64,
    "attention.kv_lora_rank": 256, "rope.dimension_count": 32, "expert_count": 8, "expert_feed_forward_length": 128,
}  # fmt: skip
STATE = {"ssm.conv_kernel": 4, "ssm.inner_size": 1024, "ssm.state_size": 128, "ssm.time_step_rank": 8, "ssm.group_count": 4}
QWEN35 = shape_of("qwen35", 8, 4, 2, **lengths(128), **STATE, full_attention_interval=4)
GEMMA2 = shape_of("gemma2", 4, 8, 4, tied=True, **lengths(64), **{"attention.sliding_window": 512})

# shape, context, parallel, own engine, KV and state in MiB
MEASURED = [
    (shape_of("llama", 6, 8, 2), 4096, 1, False, 12.0, 0.0),
    (shape_of("qwen3", 6, 8, 4, tied=True, **lengths(128)), 4096, 1, True, 48.0, 0.0),
    (GEMMA3, 4096, 1, True, 18.0, 0.0),
    (GPT_OSS, 4096, 1, True, 16.0, 0.0),
    (shape_of("deepseek2", 5, 8, 1, pre="default", **LATENT), 4096, 1, False, 21.25, 0.0),
    (shape_of("deepseek2", 5, 8, 1, pre="deepseek-v3", **LATENT), 4096, 1, True, 21.25, 0.0),
    (QWEN35, 4096, 1, True, 8.0, 78.516),
]
# From the sources, not measured.
READ = [
    # More than 4096 tokens: gpt-oss remembers 4096 and a batch, gemma3 its window and a batch.
    (GPT_OSS, 16384, 1, True, 2 * 16.0 + 2 * 4.5, 0.0),
    (GEMMA3, 16384, 3, True, 2 * 48.0 + 10 * 2.25, 0.0),
    # llama.cpp's library keeps the whole context for windows, too.
    (GEMMA2, 4096, 2, False, 4 * 8.0, 0.0),
]


@pytest.mark.parametrize(("shape", "context_tokens", "parallel", "own", "kv_mib", "state_mib"), MEASURED + READ)
def test_caches(shape: ModelShape, context_tokens: int, parallel: int, own: bool, kv_mib: float, state_mib: float) -> None:
    settings = resolved(Settings(context_tokens, parallel, engine=OLLAMA, engine_version="0.24.0"), ())
    caches = old_layer_caches(shape, settings)
    assert runs_own_engine(shape) is own
    assert sum(cache.kv_bytes for cache in caches) / MIB == pytest.approx(kv_mib)
    assert sum(cache.state_bytes for cache in caches) / MIB == pytest.approx(state_mib, abs=0.01)


@pytest.mark.parametrize(
    ("engine", "version", "itself"),
    [
        (OLLAMA, "0.24.0", True),
        (OLLAMA, "v0.12.11", True),
        (OLLAMA, "0.30.0", False),
        (OLLAMA, "0.33.0-rc2", False),
        (OLLAMA, "1.2.0", False),
        # Built without a version, or none at all.
        (OLLAMA, "0.0.0", False),
        (OLLAMA, None, False),
        ("llama_cpp", "0.24.0", False),
    ],
)
def test_versions(engine: str, version: str | None, itself: bool) -> None:
    assert runs_models_itself(Settings(4096, engine=engine, engine_version=version)) is itself


@pytest.mark.parametrize(
    ("shape", "version", "twice"),
    [
        (GEMMA3, "0.24.0", True),
        (GEMMA3, "0.33.0", False),
        (GPT_OSS, "0.24.0", False),
        (GEMMA2, "0.24.0", False),
    ],
)
def test_its_own_engine_keeps_a_tied_embedding_twice(shape: ModelShape, version: str, twice: bool) -> None:
    assert keeps_second_embedding(shape, Settings(4096, engine=OLLAMA, engine_version=version)) is twice


def test_batches_do_not_follow_the_context_before_v0_30() -> None:
    chosen = [
        resolved(Settings(context, engine=OLLAMA, engine_version="0.24.0"), ()).ubatch_tokens for context in (256, 4096, 65536)
    ]
    assert chosen == [256, 512, 512]


REPORTED_KEYS = {
    "block_count": 6,
    "embedding_length": 256,
    "context_length": 65536,
    "attention.head_count": 4,
    "attention.head_count_kv": 2,
    "attention.key_length": 64,
    "attention.value_length": 64,
    "vocab_size": 4096,
}
REPORTED_HYBRID = {
    "ssm.conv_kernel": 4,
    "ssm.inner_size": 256,
    "ssm.state_size": 64,
    "ssm.time_step_rank": 4,
    "ssm.group_count": 4,
    "full_attention_interval": 3,
}
REPORTED_LATENT = {
    "attention.key_length": 96,
    "attention.head_count_kv": 1,
    "attention.key_length_mla": 64,
    "attention.value_length_mla": 64,
}
# Log lines "kv cache" and "KV buffer size" of v0.24.0: architecture, its keys, context, sequences, caches and states together.
REPORTED = [
    ("llama", {}, 4096, 1, 12.0),
    ("llama", {}, 16384, 1, 48.0),
    ("qwen3", {}, 16384, 1, 48.0),
    ("gemma3", {"attention.sliding_window": 1024}, 4096, 1, 5.75),
    ("gemma3", {"attention.sliding_window": 1024}, 16384, 1, 11.75),
    ("gpt-oss", {"attention.sliding_window": 128}, 4096, 1, 12.0),
    ("gpt-oss", {"attention.sliding_window": 128}, 16384, 1, 30.75),
    ("gpt-oss", {"attention.sliding_window": 128}, 16384, 2, 60.75),
    ("lfm2", {"attention.head_count_kv": [0, 2] * 3, "shortconv.l_cache": 3}, 4096, 1, 6.15),
    ("qwen35", REPORTED_HYBRID, 4096, 1, 11.13),
    ("qwen35", REPORTED_HYBRID, 4096, 2, 11.13),
    # compressed attention kept values as well
    ("deepseek2", REPORTED_LATENT, 4096, 1, 7.5),
    # in llama.cpp's library, whose default keeps the whole context of sliding layers
    ("gemma2", {"attention.sliding_window": 1024}, 16384, 1, 48.0),
]


@pytest.mark.parametrize(("architecture", "keys", "context_tokens", "parallel", "expected_mib"), REPORTED)
def test_caches_as_the_engine_logged_them(
    architecture: str, keys: dict[str, Any], context_tokens: int, parallel: int, expected_mib: float
) -> None:
    said = {**REPORTED_KEYS, **keys}
    metadata = {"general.architecture": architecture, **{f"{architecture}.{key}": value for key, value in said.items()}}
    settings = Settings(context_tokens, parallel=parallel, engine=OLLAMA, engine_version="0.24.0")
    host = predict(ModelFiles(describe(metadata), 2**20), settings).host
    assert host.kv_cache_mib + host.state_mib == pytest.approx(expected_mib, abs=0.01)
    assert (host.prompt_cache_mib, host.checkpoint_mib) == (0, 0)


def test_quantised_caches_were_ignored_without_flash_attention() -> None:
    tried = [
        {"flash_attention": "off", "kv_type_k": "q8_0"},
        {"flash_attention": "off"},
        {"flash_attention": "on", "kv_type_k": "q8_0"},
    ]
    sizes = [
        sum(cache.kv_bytes for cache in old_layer_caches(MEASURED[1][0], resolved(settings, ())))
        for settings in (Settings(4096, engine=OLLAMA, engine_version="0.24.0", **more) for more in tried)
    ]
    assert sizes[0] == sizes[1] > sizes[2]
