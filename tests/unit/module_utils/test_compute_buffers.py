"""Compute buffers: measured rows, what is exact and what a bound, and why."""

from __future__ import annotations

from dataclasses import replace

import pytest

from plugins.module_utils.compute_buffers import compute_buffers, laid_out, plan_of
from plugins.module_utils.memory import EXACT, UPPER, ModelFiles, predict
from plugins.module_utils.memory_settings import Pool, Settings, for_model, resolved
from plugins.module_utils.model_shape import describe
from tests.unit.measured import models, rows

MIB = 2**20
GPU = Pool("gpu0", "gpu", 80000.0)
TWO = (GPU, Pool("gpu1", "gpu", 80000.0))
LLAMA, GEMMA = "llama3.2-3b-q4_K_M", "gemma3-4b-q4_K_M"
SHAPES = {}


def shape_of(name):
    if name not in SHAPES:
        SHAPES[name] = describe(models()[name]["metadata"], models()[name]["tensors_summary"])
    return SHAPES[name]


def buffers(shape, pools, **changes):
    return compute_buffers(shape, resolved(for_model(Settings(**{"context_tokens": 4096, **changes}), shape), pools), pools)


def differing(measured):
    """Rows whose buffers or parts are not those of llama.cpp's own allocator, to the hundredth of a MiB."""
    found = {}
    for row in measured:
        said = row["settings"]
        changes = {
            "context_tokens": said["num_ctx"], "parallel": said["num_parallel"], "batch_tokens": said["batch"],
            "ubatch_tokens": said["ubatch"], "flash_attention": "on" if said["flash_attn"] else "off",
            "kv_type_k": said["kv_type"], "kv_type_v": said["kv_type"], "embedding": said["embedding"],
        }  # fmt: skip
        alone, beside = (buffers(shape_of(row["model"]), pools, **changes) for pools in ((), (GPU,)))
        gpu = row["gpu_sim_mib"]
        sizes = [alone.host_bytes / MIB, beside.accelerator_bytes[0] / MIB, beside.host_bytes / MIB, beside.graph_splits]
        truth = [row["truth_mib"]["compute"], gpu["device"]["compute"], gpu["host"]["compute"], gpu["graph_splits"]]
        if sizes != pytest.approx(truth, abs=0.011) or not (alone.exact and beside.exact):
            found[row["model"], str(said)] = (sizes, truth)
    return found


def test_every_seventh_measured_row_is_exact():
    assert differing(rows()[::7]) == {}


@pytest.mark.property
def test_all_measured_rows_are_exact():
    assert differing(rows()) == {}


# Bytes that llama.cpp b10488 allocated on two simulated CUDA devices and on the host, with all layers on the devices.
LLAMA_8B = {
    "general.architecture": "llama", "llama.block_count": 32, "llama.context_length": 131072, "llama.embedding_length": 4096,
    "llama.vocab_size": 128256, "llama.attention.head_count": 32, "llama.attention.head_count_kv": 8,
    "llama.feed_forward_length": 14336, "llama.rope.dimension_count": 128,
}  # fmt: skip
PIPELINES = [
    ({"context_tokens": 8192, "ubatch_tokens": 512}, (172.04, 172.04, 48.05)),
    (
        {"parallel": 4, "ubatch_tokens": 1024, "flash_attention": "on", "kv_type_k": "q8_0", "kv_type_v": "q8_0"},
        (312.39, 312.39, 64.41),
    ),
    ({"parallel": 2, "ubatch_tokens": 512, "flash_attention": "off"}, (368.02, 368.02, 64.03)),
]


@pytest.mark.parametrize(("changes", "expected"), PIPELINES)
def test_two_devices_have_four_copies_of_what_passes(changes, expected):
    """To the byte on the first and on the host; the second is counted with a margin, because it is not so for every model."""
    found = buffers(describe(LLAMA_8B), TWO, batch_tokens=2048, **changes)
    first, second, host = (size / MIB for size in (*found.accelerator_bytes, found.host_bytes))
    assert (found.exact, found.graph_splits) == (False, 3)
    assert (first, second / 1.5, host) == pytest.approx(expected, abs=0.011)


# The cache is kept in F32; flash attention reads F16, so one layer's K and V are converted as a whole.
SINGLE = [
    ({"context_tokens": 65536, "ubatch_tokens": 100}, (276.31, 274.75, 15.63)),
    ({"parallel": 2, "context_tokens": 8192, "ubatch_tokens": 512}, (124.01, 116.01, 24.01)),
]


@pytest.mark.parametrize(("changes", "expected"), SINGLE)
def test_an_f32_cache_is_converted_for_flash_attention(changes, expected):
    asked = {"batch_tokens": changes["ubatch_tokens"], "flash_attention": "on", "kv_type_k": "f32", "kv_type_v": "f32", **changes}
    cpu, device = (buffers(describe(LLAMA_8B), pools, **asked) for pools in ((), (GPU,)))
    sizes = [size / MIB for size in (cpu.host_bytes, device.accelerator_bytes[0], device.host_bytes)]
    assert sizes == pytest.approx(expected, abs=0.011)


# pools, settings, words of each reason
BOUNDS = [
    ((), {}, []),
    ((GPU,), {}, []),
    (TWO, {}, ["several"]),
    ((GPU,), {"gpu_layers": 10}, ["layers on the host"]),
    ((GPU,), {"gpu_layers": 0}, ["layers on the host"]),
    ((GPU,), {"kv_offload": False}, ["cache stays on the host"]),
    ((Pool("m", "unified", 9000.0, "metal"),), {}, ["metal"]),
    ((Pool("v", "gpu", 9000.0, "vulkan"),), {"gpu_layers": 10, "kv_offload": False}, ["vulkan", "layers", "cache"]),
    ((replace(GPU, backend="rocm"), GPU), {}, ["rocm", "several"]),
]


@pytest.mark.parametrize(("pools", "changes", "words"), BOUNDS)
def test_what_is_not_exact_is_a_bound_and_says_why(pools, changes, words):
    found = buffers(shape_of(LLAMA), pools, **changes)
    assert found.exact == (not words)
    assert len(words) == len(found.reasons)
    assert all(word in reason for word, reason in zip(words, found.reasons, strict=True))


RWKV_7 = {
    "general.architecture": "rwkv7", "rwkv7.block_count": 32, "rwkv7.context_length": 1048576, "rwkv7.embedding_length": 2560,
    "rwkv7.vocab_size": 65536, "rwkv7.feed_forward_length": 10240, "rwkv7.wkv.head_size": 64, "rwkv7.token_shift_count": 2,
}  # fmt: skip


def test_rwkv_is_exact_on_one_device_only():
    one, two = (buffers(describe(RWKV_7), pools, ubatch_tokens=512) for pools in ((GPU,), TWO))
    assert (one.exact, two.exact) == (True, False)
    # what llama.cpp b10488 allocated on two simulated CUDA devices and on the host
    assert all(size / MIB > truth for size, truth in zip((*two.accelerator_bytes, two.host_bytes), (452, 447, 631), strict=True))


@pytest.mark.parametrize(
    ("pools", "changes", "more"), [((GPU,), {}, [1.0]), (TWO, {}, [1.0, 1.5]), ((GPU,), {"gpu_layers": 10}, [1.5])]
)
def test_a_bound_has_a_margin_over_the_replay(pools, changes, more):
    shape = shape_of(LLAMA)
    chosen = resolved(Settings(4096, **changes), pools)
    walk, _graph = laid_out(shape, plan_of(shape, chosen, pools), pools)
    found = compute_buffers(shape, chosen, pools)
    assert found.accelerator_bytes == tuple(int(arena.bytes * share) for arena, share in zip(walk.arenas, more, strict=False))
    assert found.host_bytes == walk.arenas[-1].bytes


@pytest.mark.parametrize("backend", ["rocm", "metal", "vulkan", "sycl"])
def test_other_devices_are_taken_to_need_more(backend):
    cuda, other = (buffers(shape_of(GEMMA), (Pool("a", "gpu", 9000.0, name),)) for name in ("cuda", backend))
    assert other.accelerator_bytes > cuda.accelerator_bytes
    assert other.host_bytes == cuda.host_bytes


def test_buffers_lie_in_the_order_of_the_pools():
    ram = Pool("ram", "cpu", 9000.0)
    alone = buffers(shape_of(LLAMA), (GPU,))
    assert buffers(shape_of(LLAMA), (ram, GPU)).accelerator_bytes == (0, *alone.accelerator_bytes)
    assert buffers(shape_of(LLAMA), (ram,)).accelerator_bytes == (0,)
    assert buffers(shape_of(LLAMA), (ram,)).host_bytes == buffers(shape_of(LLAMA), ()).host_bytes


def test_an_unknown_architecture_is_a_bound():
    shape = describe({key.replace("llama", "novel"): "novel" if value == "llama" else value for key, value in LLAMA_8B.items()})
    found = buffers(shape, (GPU,))
    assert (found.exact, found.graph_splits) == (False, None)
    assert found.reasons


# Heads of 192 and 128 elements, all of them cached: CUDA's flash attention takes them in groups only.
ODD_HEADS = {
    **LLAMA_8B,
    "llama.attention.head_count_kv": 32,
    "llama.attention.key_length": 192,
    "llama.attention.value_length": 128,
}


@pytest.mark.parametrize(("flash", "notes"), [("on", 1), ("auto", 0), ("off", 0)])
def test_attention_without_a_kernel_is_told(flash, notes):
    found = buffers(describe(ODD_HEADS), (GPU,), flash_attention=flash)
    assert (len(found.notes), found.exact) == (notes, True)
    assert found.graph_splits == (66 if notes else 2)


# DeepSeek-V2 Lite as it was first converted. Bytes that llama.cpp b10488 allocated on a simulated CUDA device and on the host.
DEEPSEEK = {
    "general.architecture": "deepseek2", "deepseek2.block_count": 27, "deepseek2.context_length": 163840,
    "deepseek2.embedding_length": 2048, "deepseek2.vocab_size": 102400, "deepseek2.attention.head_count": 16,
    "deepseek2.attention.head_count_kv": 16, "deepseek2.feed_forward_length": 10944, "deepseek2.rope.dimension_count": 64,
    "deepseek2.attention.key_length": 192, "deepseek2.attention.value_length": 128, "deepseek2.attention.kv_lora_rank": 512,
    "deepseek2.expert_count": 64, "deepseek2.expert_used_count": 6, "deepseek2.expert_feed_forward_length": 1408,
    "deepseek2.expert_shared_count": 2, "deepseek2.leading_dense_block_count": 1, "deepseek2.expert_weights_scale": 1.0,
}  # fmt: skip


def test_a_cache_made_for_flash_attention_stays_as_it_is_without():
    asked = {"parallel": 3, "batch_tokens": 600, "ubatch_tokens": 600, "flash_attention": "auto"}
    found = buffers(describe(DEEPSEEK), (GPU,), **asked)
    assert [found.accelerator_bytes[0] / MIB, found.host_bytes / MIB] == pytest.approx([249.88, 18.76], abs=0.011)


def test_a_note_leaves_a_prediction_exact():
    files = ModelFiles(describe(ODD_HEADS, models()[LLAMA]["tensors_summary"]), 10**9)
    found = predict(files, Settings(4096, flash_attention="on"), (GPU,))
    assert found.bound == EXACT
    assert "runs on the CPU" in found.reasons[0]
    assert predict(files, Settings(4096, gpu_layers=3), (GPU,)).bound == UPPER


NARROW = {**LLAMA_8B, "llama.feed_forward_length": 1024, "llama.vocab_size": 1000}


def named(names, metadata=None):
    return describe(metadata or NARROW, [("token_embd.weight", (4096, 1000), 12), *((name, (4096, 4096), 12) for name in names)])


@pytest.mark.parametrize(
    ("names", "same"), [(["blk.0.attn_q.weight", "blk.1.attn_q.weight"], True), (["blk.0.attn_qkv.weight"], False)]
)
def test_names_of_tensors_decide_where_they_are_known(names, same):
    asked = {"flash_attention": "on", "kv_type_k": "q8_0", "kv_type_v": "q8_0", "ubatch_tokens": 512}
    listed, usual = (buffers(shape, (), **asked) for shape in (named(names), describe(NARROW)))
    assert (listed == usual) is same


def test_a_width_that_the_header_does_not_say_takes_no_memory():
    unsaid = {key: value for key, value in NARROW.items() if "feed_forward" not in key}
    assert buffers(describe(unsaid), (GPU,), gpu_layers=9).graph_splits is not None
    assert buffers(describe(unsaid), ()).host_bytes <= buffers(describe(NARROW), ()).host_bytes


def test_the_largest_matrix_counts_where_a_device_copies_weights():
    shape, small = describe(LLAMA_8B), named(["blk.0.ffn_up.weight"])
    listed = replace(shape, tensors=small.tensors and replace(small.tensors, matrix_bytes=((4096, 4096 * 14336, 2**28),)))
    usual, larger = (buffers(item, (GPU,), gpu_layers=2, ubatch_tokens=512).accelerator_bytes[0] for item in (shape, listed))
    assert larger >= usual + 2**27


def test_all_sizes_of_a_graph_share_its_structure():
    shape = shape_of(LLAMA)
    first = buffers(shape, (GPU,), parallel=1)
    asked = [{"parallel": 3, "context_tokens": 9000}, {"parallel": 1, "ubatch_tokens": 64}, {"parallel": 1}]
    found = [buffers(shape, (GPU,), **changes) for changes in asked]
    assert found[-1] == first
    assert len({item.accelerator_bytes for item in found}) == 3
