"""Ollama's own prediction and what it is made of: contexts, parallel, batches. Each sum is done in the case's comment."""

from __future__ import annotations

from dataclasses import replace

import pytest

from plugins.plugin_utils.admission import (
    Candidate,
    EngineHost,
    EngineShape,
    Footprint,
    Request,
    RunnerOptions,
    ServerSettings,
    engine_prediction,
    shape_from_header,
)
from plugins.plugin_utils.admission_options import Setup, asked, reload_reason
from plugins.plugin_utils.admission_prediction import Seen, automatic_batch, server_prediction, surcharge_bytes
from plugins.plugin_utils.admission_rules import rules_for
from tests.unit.admissions import ENCODER, GIB, LATENT, LLAMA, NEW, OLD, SLIDING, gpu, gpus, model

MIB = 2**20

# Shape, tokens, MiB of the cache that the engine predicts.
CACHES = [
    # 2 x 32 layers x 8 heads x 4096/32 wide x 4,096 tokens x 2 bytes
    (LLAMA, 4096, 512),
    (LLAMA, 32768, 4096),
    # latent attention, one head: 2 x 27 x 1 x 2048/16 x 32,768 x 2; llama.cpp allocates 972
    (LATENT, 32768, 432),
    # sliding window, key_length 256 and the window are not looked at: 2 x 34 x 4 x 2560/8 x 32,768 x 2; real 814
    (SLIDING, 32768, 5440),
    # an encoder has no cache and no head_count_kv, the engine counts one head: 2 x 12 x 1 x 64 x 512 x 2 = 1.5 MiB
    (ENCODER, 512, 1.5),
    # a hybrid's list of heads: the smallest, 0, becomes 1: 2 x 4 x 1 x 1024/8 x 1,024 x 2 = 2 MiB
    (EngineShape("qwen35", 4, 1024, 8, (0, 0, 0, 2)), 1024, 2),
    # heads that differ by layer: the fewest KV heads, the most heads: 2 x 3 x 2 x 1024/16 x 1,024 x 2 = 1.5 MiB
    (EngineShape("openelm", 3, 1024, (8, 12, 16), (2, 3, 4)), 1024, 1.5),
    # no head_count: one head as wide as the model: 2 x 2 x 1 x 512 x 1,024 x 2 = 4 MiB
    (EngineShape("mamba", 2, 512), 1024, 4),
    # head_count 0, as pure recurrent models have it: no width, no cache
    (EngineShape("mamba", 2, 512, 0), 1024, 0),
]


@pytest.mark.parametrize(("shape", "tokens", "cache_mib"), CACHES)
def test_the_prediction_repeats_the_engines_arithmetic(shape, tokens, cache_mib):
    prediction = server_prediction(Candidate("m", 3 * GIB, shape), tokens)
    assert prediction.kv_bytes == cache_mib * MIB
    assert prediction.total_bytes == 3 * GIB + cache_mib * MIB
    assert prediction.basis == "engine rule"


def test_a_header_gives_the_shape_with_what_it_lacks_left_open():
    header = {
        "general.architecture": "gemma3",
        "gemma3.block_count": 34,
        "gemma3.embedding_length": 2560,
        "gemma3.attention.head_count": 8,
        "gemma3.attention.head_count_kv": [4, 4],
        "gemma3.context_length": 131072,
    }
    shape = shape_from_header(header)
    assert shape == EngineShape("gemma3", 34, 2560, 8, (4, 4), context_length=131072)


def test_without_a_header_the_declared_size_stands_in_and_says_so():
    declared = server_prediction(Candidate("m", real=Footprint(7680)), 4096)
    assert (declared.total_bytes, declared.basis) == (7680 * MIB, "declared size")
    assert server_prediction(Candidate("m", file_bytes=GIB), 4096).basis == "file size"
    assert server_prediction(Candidate("m"), 4096).basis == "unknown"


# Host, server, Modelfile, request -> tokens per sequence, were they chosen by the engine.
CONTEXTS = [
    # one card of 24 GiB: from 23 GiB on 32,768
    (gpus(24), {}, {}, {}, 32768, True),
    # ECC takes 1/16: 22.5 GiB are below 23
    (gpus(22.5), {}, {}, {}, 4096, True),
    # two such cards: 45 GiB; without ECC 48 are above 47, and every cache is eight times as large
    (gpus(22.5, 22.5), {}, {}, {}, 32768, True),
    (gpus(24, 24), {}, {}, {}, 131072, True),
    # no device: no memory
    (EngineHost(), {}, {}, {}, 4096, True),
    # 24 GiB less 2 of OLLAMA_GPU_OVERHEAD
    (gpus(24), {"gpu_overhead_mib": 2048}, {}, {}, 4096, True),
    # more overhead than memory wraps around in unsigned arithmetic: the largest tier, clamped to the training context
    (gpus(2), {"gpu_overhead_mib": 4096}, {}, {}, 131072, True),
    (gpus(24), {"context_length": 8192}, {}, {}, 8192, False),
    (gpus(24), {"context_length": 0}, {}, {}, 32768, True),
    (gpus(24), {"context_length": 8192}, {"num_ctx": 16384}, {}, 16384, False),
    (gpus(24), {"context_length": 8192}, {"num_ctx": 16384}, {"num_ctx": 2048}, 2048, False),
    # never above the training context, never below 4
    (gpus(24), {}, {"num_ctx": 999999}, {}, 131072, False),
    (gpus(24), {}, {}, {"num_ctx": 1}, 4, False),
]


@pytest.mark.parametrize(("host", "server", "modelfile", "request_options", "tokens", "automatic"), CONTEXTS)
def test_context_request_over_modelfile_over_server_over_tier(host, server, modelfile, request_options, tokens, automatic):
    candidate = model("m", 4, **modelfile)
    wish = asked(setup(host, server), candidate, Request("m", RunnerOptions(**request_options)))
    assert (wish.context_tokens, wish.context_auto) == (tokens, automatic)


def setup(host=None, server=None, version=NEW):
    rules, _ = rules_for(version)
    return Setup(host or gpus(24), ServerSettings(**(server or {})), rules)


def test_multimodal_models_get_2048_tokens_at_least():
    candidate = model("m", 4, num_ctx=512, is_multimodal=True)
    assert asked(setup(), candidate, Request("m")).context_tokens == 2048


@pytest.mark.parametrize(
    ("family", "version", "embedding", "sequences"),
    [
        ("llama", NEW, False, 4),
        ("qwen35", NEW, False, 1),
        ("nemotron_h_omni", NEW, False, 1),
        ("llama", NEW, True, 1),
        ("qwen3vl", "0.15.5", False, 1),
        # qwen35 came to the list between 0.15.5 and 0.20.0
        ("qwen35", "0.15.5", False, 4),
        ("qwen35", "0.20.0", False, 1),
        ("nemotron_h_omni", "0.20.0", False, 4),
        ("nemotron_h_omni", OLD, False, 1),
    ],
)
def test_families_that_serve_one_request_at_a_time(family, version, embedding, sequences):
    candidate = model("m", 4, family=family, is_embedding=embedding)
    assert asked(setup(server={"num_parallel": 4}, version=version), candidate, Request("m")).parallel == sequences


def test_the_public_prediction_multiplies_the_clamped_context_by_the_sequences():
    # 4 x 32,768 tokens x 128 KiB = 16 GiB, file 4 GiB
    settings = ServerSettings(num_parallel=4, context_length=32768)
    assert engine_prediction(model("m", 4), gpus(24), settings, NEW).total_bytes == 20 * GIB
    # one sequence for this family: 4 GiB
    assert engine_prediction(model("m", 4, family="qwen35"), gpus(24), settings, NEW).total_bytes == 8 * GIB
    short = engine_prediction(model("m", 4), gpus(24), settings, NEW, RunnerOptions(num_ctx=8192))
    assert short.kv_bytes == 4 * GIB
    with pytest.raises(ValueError, match=r"0\.15\.5"):
        engine_prediction(model("m", 4), gpus(24), settings, "0.9.0")


# Tokens of all sequences, predicted GiB, available GiB, flash attention -> batch.
BATCHES = [
    (4096, 10, 20, True, 512),
    # wanted 1,024 above 4,096 tokens, if the prediction takes at most 75 % and with 0.75 GiB more at most 80 %
    (4097, 10, 20, True, 1024),
    # 15 of 20 is 75 %; 15 + 0.75 = 15.75 of 16
    (8192, 15, 20, True, 1024),
    # 15.1 of 20 is more than 75 %
    (8192, 15.1, 20, True, 512),
    # of 10 GiB 7.4 are within 75 %, but 7.4 + 0.75 = 8.15 is over 8
    (8192, 7.4, 10, True, 512),
    # 2,048 above 32,768 tokens, if it takes at most 60 % and with 2 GiB more at most 80 %
    (32769, 12, 20, True, 2048),
    (32769, 12.1, 20, True, 1024),
    # of 8 GiB 4.8 are 60 %, but 4.8 + 2 is over 6.4; 4.8 + 0.75 is not
    (65536, 4.8, 8, True, 1024),
    # without any device the wanted batch
    (65536, 4.8, 0, True, 2048),
    # CUDA without flash attention: 512; a device with at most 8 GiB free and more than 4,096 tokens: 256
    (65536, 4, 20, False, 512),
    (65536, 4, 8, False, 256),
    (4096, 4, 8, False, 512),
]


@pytest.mark.parametrize(("tokens", "predicted", "free", "flash", "batch"), BATCHES)
def test_the_automatic_batch(tokens, predicted, free, flash, batch):
    devices = [Seen(gpu(24), round(free * GIB))] if free else []
    assert automatic_batch(tokens, round(predicted * GIB), round(free * GIB), flash, devices) == batch


@pytest.mark.parametrize(
    ("batch", "embedding", "mib"), [(512, False, 0), (1023, False, 0), (1024, False, 768), (2048, False, 2048), (2048, True, 0)]
)
def test_the_surcharge_of_a_batch(batch, embedding, mib):
    assert surcharge_bytes(model("m", 4, is_embedding=embedding), batch) == mib * MIB


@pytest.mark.parametrize(
    ("version", "embedding", "said", "batch", "automatic"),
    [
        (NEW, False, None, 512, True),
        (NEW, False, 1024, 1024, False),
        # min(2048, 4,096 tokens)
        (NEW, True, None, 2048, False),
        (OLD, False, None, 512, False),
        (OLD, True, None, 512, False),
    ],
)
def test_the_batch_that_a_request_starts_with(version, embedding, said, batch, automatic):
    candidate = model("m", 4, num_batch=said, num_ctx=4096, is_embedding=embedding)
    wish = asked(setup(version=version), candidate, Request("m"))
    assert (wish.num_batch, wish.batch_auto) == (batch, automatic)


# Version, options of the load, options of the request -> what differs (None: the loaded runner serves).
RELOADS = [
    (NEW, {"num_ctx": 32768}, {"num_ctx": 8192}, "num_ctx 8192 is asked, 32768 is loaded"),
    (NEW, {"num_ctx": 8192}, {"num_ctx": 8192}, None),
    (NEW, {}, {}, None),
    # what was automatic may be named, if it is the same
    (NEW, {}, {"num_ctx": 32768}, None),
    (NEW, {}, {"num_ctx": 4096}, "num_ctx 4096 is asked, 32768 is loaded"),
    # both are clamped to the training context
    (NEW, {"num_ctx": 500000}, {"num_ctx": 131072}, None),
    # before 0.30 the numbers are compared as they were said
    (OLD, {"num_ctx": 500000}, {"num_ctx": 131072}, "num_ctx 131072 is asked, 500000 is loaded"),
    (NEW, {}, {"num_batch": 1024}, "num_batch 1024 is asked, 512 is loaded"),
    (NEW, {"num_gpu": 99}, {"num_gpu": -1}, None),
    (NEW, {}, {"num_gpu": 99}, "num_gpu 99 is asked, -1 is loaded"),
    (NEW, {}, {"main_gpu": 1}, "main_gpu 1 is asked, unset is loaded"),
    (OLD, {}, {"main_gpu": 0}, None),
    (NEW, {}, {"use_mmap": False}, "use_mmap false is asked, unset is loaded"),
    (NEW, {}, {"num_thread": 2}, "num_thread 2 is asked, 0 is loaded"),
]


@pytest.mark.parametrize(("version", "loaded", "wanted", "reason"), RELOADS)
def test_what_makes_the_engine_restart_a_loaded_model(version, loaded, wanted, reason):
    where, candidate = setup(version=version), model("m", 4)
    runner = asked(where, candidate, Request("m", RunnerOptions(**loaded)))
    kept = {"num_ctx": runner.context_tokens} if version == NEW else {"main_gpu": runner.main_gpu or 0}
    runner = replace(runner, **kept)
    assert reload_reason(where, candidate, runner, asked(where, candidate, Request("m", RunnerOptions(**wanted)))) == reason


@pytest.mark.parametrize(
    ("version", "tokens", "shift", "reloads"),
    [
        (NEW, 4096, None, False),
        (NEW, 4096, True, False),
        (NEW, 4096, False, True),
        # 0.30 shifts below 8,192 tokens only
        ("0.30.0", 8192, True, True),
        ("0.30.0", 4096, True, False),
        (OLD, 4096, False, False),
    ],
)
def test_a_request_may_disagree_about_shifting_the_context(version, tokens, shift, reloads):
    where, candidate = setup(version=version), model("m", 4, num_ctx=tokens)
    runner = replace(asked(where, candidate, Request("m")), main_gpu=0 if version == OLD else None)
    wish = asked(where, candidate, Request("m", context_shift=shift))
    assert (reload_reason(where, candidate, runner, wish) is not None) is reloads
