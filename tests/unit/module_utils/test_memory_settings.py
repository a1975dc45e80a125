"""Settings: what engines choose by themselves, what they refuse, and how many cells their caches get."""

from __future__ import annotations

from dataclasses import replace

import pytest

from plugins.module_utils.memory_settings import Pool, Settings, SettingsError, cells_of, for_model, resolved
from plugins.module_utils.model_shape import describe

GPU = (Pool("gpu0", "gpu", 1.0),)


@pytest.mark.parametrize(
    ("settings", "pools", "expected"),
    [
        (Settings(8192), (), {"batch_tokens": 2048, "ubatch_tokens": 512, "mmap": True, "cache_ram_mib": 8192}),
        (Settings(8192), (), {"engine_version": "b10488"}),
        (Settings(8192, engine="ollama"), (), {"batch_tokens": 1024, "ubatch_tokens": 1024, "mmap": False}),
        (Settings(8192, engine="ollama"), (), {"engine_version": "0.33.0"}),
        (Settings(8192, engine="ollama"), GPU, {"mmap": True}),
        (Settings(8192, engine="ollama", gpu_layers=0), GPU, {"mmap": False}),
        (Settings(4096, engine="ollama"), (), {"batch_tokens": 512}),
        (Settings(4096, parallel=2, engine="ollama"), (), {"batch_tokens": 1024}),
        (Settings(16384, parallel=3, engine="ollama"), (), {"batch_tokens": 2048}),
        (Settings(512, engine="ollama", embedding=True), (), {"batch_tokens": 512, "ubatch_tokens": 512}),
        (Settings(8192, engine="ollama", embedding=True), (), {"batch_tokens": 2048}),
        (Settings(8192, batch_tokens=256), (), {"batch_tokens": 256, "ubatch_tokens": 256}),
        (Settings(8192, batch_tokens=256, ubatch_tokens=4096), (), {"ubatch_tokens": 256}),
        (Settings(8192, cache_ram_mib=0), (), {"cache_ram_mib": 0}),
    ],
)  # fmt: skip
def test_what_engines_choose_by_themselves(settings, pools, expected):
    found = resolved(settings, pools)
    assert {key: getattr(found, key) for key in expected} == expected


def shape(architecture="llama", **keys):
    said = {"block_count": 1, "embedding_length": 64, "attention.head_count": 2, **keys}
    return describe({"general.architecture": architecture, **{f"{architecture}.{key}": value for key, value in said.items()}})


LATENT = shape("deepseek2", **{"attention.key_length_mla": 64, "attention.value_length_mla": 64})
REFUSED = [
    (Settings(0), shape(), "context_tokens 0, expected 1"),
    (Settings(512, parallel=0), shape(), "parallel 0"),
    (Settings(512, batch_tokens=0), shape(), "batch_tokens 0"),
    (Settings(512, kv_type_k="q3_k"), shape(), "kv_type_k 'q3_k', expected one of f32"),
    (Settings(512, flash_attention="yes"), shape(), "expected on, off or auto"),
    (Settings(512, flash_attention="off", kv_type_v="q8_0"), shape(), "needs flash attention"),
    (Settings(512, kv_type_v="q8_0"), shape("grok"), "needs flash attention"),
    (Settings(512, kv_type_k="q8_0"), LATENT, "Give both the same type"),
    (Settings(512, kv_type_k="q8_0"), shape(**{"attention.key_length": 40}), "heads of 40 elements"),
]


@pytest.mark.parametrize(("settings", "model", "words"), REFUSED)
def test_what_would_not_load_is_refused(settings, model, words):
    with pytest.raises(SettingsError, match=words):
        for_model(settings, model)


def test_settings_follow_the_model():
    trained = shape(context_length=1000)
    assert for_model(Settings(8192, engine="ollama"), trained).context_tokens == 1000
    assert for_model(Settings(8192), trained).context_tokens == 8192
    assert for_model(Settings(512), shape("grok")).flash_attention == "off"
    assert for_model(Settings(512, kv_type_k="q8_0", kv_type_v="q8_0"), shape()).flash_attention == "on"
    assert for_model(Settings(512), shape()).flash_attention == "auto"


@pytest.mark.parametrize(
    ("settings", "causal", "expected"),
    [
        (Settings(1000), True, (1024, 512, 1, 1024, 512)),
        (Settings(1000, parallel=3), True, (1024, 512, 3, 3072, 512)),
        (Settings(1000, parallel=3, kv_unified=True), True, (3072, 1024, 1, 3072, 512)),
        (Settings(100), True, (256, 256, 1, 256, 100)),
        (Settings(100), False, (256, 256, 1, 256, 512)),
    ],
)
def test_cells_are_padded_by_stream(settings, causal, expected):
    found = cells_of(replace(resolved(settings, ())), 200 if settings.parallel > 1 else 0, causal)
    sizes = (found.context_cells, found.streams, found.total_context_tokens, found.ubatch_tokens)
    assert sizes == (expected[0], *expected[2:])
