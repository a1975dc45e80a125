"""Caches and states, to the byte, against what llama.cpp itself allocates."""

from __future__ import annotations

from dataclasses import replace

import pytest

from plugins.module_utils.memory_kv import checkpoint_bytes, layer_caches
from plugins.module_utils.memory_settings import Settings, resolved
from plugins.module_utils.model_shape import describe
from tests.oracle.models import setting_of
from tests.unit.measured import models, oracle, rows

MIB = 2**20


def asked(setting):
    return resolved(
        Settings(
            context_tokens=setting["context"] // setting["parallel"],
            parallel=setting["parallel"],
            batch_tokens=setting["ubatch"],
            ubatch_tokens=setting["ubatch"],
            flash_attention=setting["flash"],
            kv_type_k=setting["k"],
            kv_type_v=setting["v"],
            kv_unified="unified" in setting["options"],
            swa_full="swa-full" in setting["options"],
        ),
        (),
    )


def test_every_architecture_caches_what_llama_cpp_allocates():
    differing = {}
    for name, item in oracle()["architectures"].items():
        shape = describe(item["metadata"])
        for index, setting in enumerate(oracle()["settings"]):
            found = sum(cache.kv_bytes + cache.state_bytes for cache in layer_caches(shape, asked(setting_of(name, setting))))
            if found != item["context_bytes"][index]:
                differing[name, index] = (found, item["context_bytes"][index])
    assert differing == {}


def measured_settings(said):
    flash = "on" if said["flash_attn"] else "off"
    sizes = (said["num_ctx"], said["num_parallel"], said["batch"], said["ubatch"])
    return resolved(Settings(*sizes, flash, said["kv_type"], said["kv_type"]), ())


def test_caches_of_all_measured_rows_agree_to_the_mib():
    shapes = {name: describe(item["metadata"]) for name, item in models().items()}
    for row in rows():
        caches = layer_caches(shapes[row["model"]], measured_settings(row["settings"]))
        sums = [sum(getattr(cache, part) for cache in caches) / MIB for part in ("full_bytes", "window_bytes", "state_bytes")]
        assert sums == pytest.approx(list(row["context_split_mib"].values()), abs=0.01), row


GEMMA = {
    "general.architecture": "gemma4",
    "gemma4.block_count": 2,
    "gemma4.embedding_length": 64,
    "gemma4.attention.head_count": 4,
    "gemma4.attention.head_count_kv": 1,
    "gemma4.attention.key_length": 64,
    "gemma4.attention.value_length": 64,
    "gemma4.attention.value_length_swa": 32,
    "gemma4.attention.key_length_swa": 32,
    "gemma4.attention.sliding_window": 100,
    "gemma4.attention.sliding_window_pattern": [True, False],
}


@pytest.mark.parametrize(
    ("changes", "window_bytes", "full_bytes"),
    [
        # 100 tokens of window + 50 of the batch are 256 cells; 1,000 tokens are 1,024
        ({}, 256 * 64 * 2, 1024 * 128 * 2),
        # without flash attention V is as wide as in the widest layer
        ({"flash_attention": "off"}, 256 * (32 + 64) * 2, 1024 * 128 * 2),
        # decided only after the cache was made
        ({"flash_attention": "auto"}, 256 * 64 * 2, 1024 * 128 * 2),
        ({"swa_full": True}, 1024 * 64 * 2, 1024 * 128 * 2),
        ({"parallel": 3}, 3 * 256 * 64 * 2, 3 * 1024 * 128 * 2),
        # one cache for three sequences: 300 tokens of window, 3,000 tokens of context
        ({"parallel": 3, "kv_unified": True}, 512 * 64 * 2, 3072 * 128 * 2),
        ({"kv_type_k": "q8_0", "kv_type_v": "q4_0"}, 256 * (34 + 18), 1024 * (68 + 36)),
    ],
)
def test_the_cells_of_a_sliding_and_of_a_full_layer(changes, window_bytes, full_bytes):
    settings = replace(Settings(1000, batch_tokens=50, flash_attention="on"), **changes)
    sliding, full = layer_caches(describe(GEMMA), resolved(settings, ()))
    assert (sliding.window_bytes, full.full_bytes) == (window_bytes, full_bytes)


def test_states_do_not_depend_on_the_context_but_on_the_sequences():
    shape = describe(models()["mamba2-2.7b-f16"]["metadata"])
    sizes = {
        (context, parallel): sum(
            cache.state_bytes for cache in layer_caches(shape, resolved(Settings(context, parallel=parallel), ()))
        )
        for context in (512, 65536)
        for parallel in (1, 4)
    }
    assert sizes[512, 1] == sizes[65536, 1]
    assert sizes[512, 4] == 4 * sizes[512, 1]


@pytest.mark.parametrize(
    ("name", "context_tokens", "changes", "expected_mib"),
    [
        # measured with such servers: a copy per 8,192 tokens and three for the request that is being answered
        ("mamba2-2.7b-f16", 16384, {}, 163.94 * 5),
        ("mamba2-2.7b-f16", 16384, {"parallel": 2}, 163.94 * 5 * 2),
        ("mamba2-2.7b-f16", 1048576, {}, 163.94 * 32),
        ("gemma3-4b-q4_K_M", 8192, {}, 1024 * 29 * 4 * 512 * 2 / MIB * 4),
        ("gemma3-4b-q4_K_M", 8192, {"swa_full": True}, 0),
        ("gemma3-4b-q4_K_M", 8192, {"embedding": True}, 0),
        ("llama3.2-3b-q4_K_M", 8192, {}, 0),
        ("all-minilm-l6-v2-f16", 512, {}, 0),
    ],
)
def test_context_checkpoints_grow_in_the_hosts_memory(name, context_tokens, changes, expected_mib):
    shape = describe(models()[name]["metadata"])
    settings = resolved(replace(Settings(context_tokens), **changes), ())
    assert checkpoint_bytes(shape, settings) / MIB == pytest.approx(expected_mib, rel=1e-3)
