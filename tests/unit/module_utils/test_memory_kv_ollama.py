"""Caches of Ollama before 0.30, as v0.24.0 itself reported them for such models (log lines "kv cache" and "KV buffer size")."""

from __future__ import annotations

import pytest

from plugins.module_utils.memory import ModelFiles, predict
from plugins.module_utils.memory_kv_ollama import old_layer_caches
from plugins.module_utils.memory_settings import Settings, is_before_llama_server, resolved
from plugins.module_utils.model_shape import describe

MIB = 2**20
KEYS = {
    "block_count": 6,
    "embedding_length": 256,
    "context_length": 65536,
    "attention.head_count": 4,
    "attention.head_count_kv": 2,
    "attention.key_length": 64,
    "attention.value_length": 64,
    "vocab_size": 4096,
}
HYBRID = {
    "ssm.conv_kernel": 4,
    "ssm.inner_size": 256,
    "ssm.state_size": 64,
    "ssm.time_step_rank": 4,
    "ssm.group_count": 4,
    "full_attention_interval": 3,
}
LATENT = {
    "attention.key_length": 96,
    "attention.head_count_kv": 1,
    "attention.key_length_mla": 64,
    "attention.value_length_mla": 64,
}
# architecture, its keys, context, sequences, what the engine reported of caches and states together
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
    ("qwen35", HYBRID, 4096, 1, 11.13),
    ("qwen35", HYBRID, 4096, 2, 11.13),
    # compressed attention kept values as well
    ("deepseek2", LATENT, 4096, 1, 7.5),
    # in llama.cpp's library, whose default keeps the whole context of sliding layers
    ("gemma2", {"attention.sliding_window": 1024}, 16384, 1, 48.0),
]


def shape_of(architecture, keys):
    said = {**KEYS, **keys}
    return describe({"general.architecture": architecture, **{f"{architecture}.{key}": value for key, value in said.items()}})


@pytest.mark.parametrize(("architecture", "keys", "context_tokens", "parallel", "expected_mib"), REPORTED)
def test_caches_are_what_the_engine_reported(architecture, keys, context_tokens, parallel, expected_mib):
    settings = Settings(context_tokens, parallel=parallel, engine="ollama", engine_version="0.24.0")
    host = predict(ModelFiles(shape_of(architecture, keys), 2**20), settings).host
    assert host.kv_cache_mib + host.state_mib == pytest.approx(expected_mib, abs=0.01)
    assert (host.prompt_cache_mib, host.checkpoint_mib) == (0, 0)


@pytest.mark.parametrize(
    ("engine", "version", "expected"),
    [
        ("ollama", "0.24.0", True),
        ("ollama", "v0.25.0-rc0", True),
        ("ollama", "0.30.0", False),
        ("ollama", "0.33", False),
        ("ollama", None, False),
        ("ollama", "main", False),
        ("llama_cpp", "0.24.0", False),
    ],
)
def test_versions_are_told_apart(engine, version, expected):
    assert is_before_llama_server(Settings(512, engine=engine, engine_version=version)) is expected


def test_quantised_caches_were_ignored_without_flash_attention():
    shape = shape_of("qwen3", {})
    sizes = [
        sum(cache.kv_bytes for cache in old_layer_caches(shape, resolved(settings, ())))
        for settings in (
            Settings(4096, flash_attention="off", kv_type_k="q8_0", engine="ollama", engine_version="0.24.0"),
            Settings(4096, flash_attention="off", engine="ollama", engine_version="0.24.0"),
            Settings(4096, flash_attention="on", kv_type_k="q8_0", engine="ollama", engine_version="0.24.0"),
        )
    ]
    assert sizes[0] == sizes[1] > sizes[2]
