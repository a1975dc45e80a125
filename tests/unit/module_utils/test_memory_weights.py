"""Where weights go: which layers to which accelerator, what stays on the host, what is held twice, what is not loaded."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plugins.module_utils.memory_settings import Pool, Settings
from plugins.module_utils.memory_weights import HOST, placed_weights, placement_of
from plugins.module_utils.model_shape import describe
from tests.unit.measured import models, oracle, rows, tensors_of

MIB = 2**20
ONE = (Pool("gpu0", "gpu", 100.0),)
TWO = (Pool("gpu0", "gpu", 100.0), Pool("gpu1", "gpu", 300.0))
# What buffers add for alignment, for each tensor.
ALIGNMENT_BYTES = 32


def test_every_architecture_loads_what_llama_cpp_loads():
    differing = {}
    for name, item in oracle()["architectures"].items():
        tensors = list(tensors_of(item["tensors"]))
        found = placed_weights(describe(item["metadata"], tensors), Settings(512, mmap=False), ()).host_bytes
        if not 0 <= item["weights_bytes"] - found <= ALIGNMENT_BYTES * (len(tensors) + 2):
            differing[name] = (found, item["weights_bytes"])
    assert differing == {}


def test_weights_of_all_measured_models_agree_on_cpu_and_gpu():
    shapes = {name: describe(item["metadata"], item["tensors_summary"]) for name, item in models().items()}
    for row in rows():
        shape = shapes[row["model"]]
        alone = placed_weights(shape, Settings(512, mmap=False), ())
        beside = placed_weights(shape, Settings(512, mmap=False), ONE)
        found = [size / MIB for size in (alone.host_bytes, beside.accelerator_bytes[0], beside.host_bytes)]
        truth = [row["truth_mib"], row["gpu_sim_mib"]["device"], row["gpu_sim_mib"]["host"]]
        assert found == pytest.approx([part["weights"] for part in truth], rel=1e-3, abs=0.03), row["model"]


@pytest.mark.parametrize(
    ("layers", "gpu_layers", "pools", "expected", "output"),
    [
        (4, None, (), [HOST] * 4, HOST),
        (4, None, (Pool("ram", "cpu", 9.0),), [HOST] * 4, HOST),
        (4, None, ONE, [0] * 4, 0),
        (4, 0, ONE, [HOST] * 4, HOST),
        # the last layers go first, the output counts as one
        (4, 2, ONE, [HOST, HOST, HOST, 0], 0),
        (4, 99, ONE, [0] * 4, 0),
        # in proportion to free memory: a quarter and three quarters of five
        (4, None, TWO, [0, 0, 1, 1], 1),
        (4, 4, TWO, [HOST, 0, 1, 1], 1),
        (4, None, (Pool("ram", "cpu", 9.0), *ONE), [1] * 4, 1),
        # nobody says what is free
        (3, None, (Pool("gpu0", "gpu", 0.0), Pool("gpu1", "gpu", 0.0)), [1] * 3, 1),
    ],
)
def test_layers_are_placed_as_llama_cpp_does(layers, gpu_layers, pools, expected, output):
    placement = placement_of(layers, Settings(512, gpu_layers=gpu_layers), pools)
    assert (list(placement.layers), placement.output) == (expected, output)


@pytest.mark.parametrize(("split", "expected"), [((1.0, 1.0), [0, 0, 0, 1]), ((0.0, 0.0), [0, 0, 1, 1]), ((1.0,), [0, 0, 0, 0])])
def test_a_tensor_split_wins_over_free_memory(split, expected):
    placement = placement_of(4, Settings(512, tensor_split=split), TWO)
    assert list(placement.layers) == expected


KEYS = {"block_count": 3, "embedding_length": 64, "attention.head_count": 4}
TENSORS = [
    ("token_embd.weight", (64, 256), 0),
    ("output_norm.weight", (64,), 0),
    ("rope_freqs.weight", (32,), 0),
    *((f"blk.{layer}.attn_q.weight", (64, 64), 0) for layer in range(3)),
]
EMBEDDING, LAYER, NORM, ROPE = 64 * 256 * 4, 64 * 64 * 4, 64 * 4, 32 * 4
LAYERS = 3 * LAYER + NORM + ROPE
OF_LAYERS = ("per_layer_token_embd.weight", (64, 256), 0)
OF_OTHERS = [("v.blk.0.x.weight", (64, 64), 0), ("mtp.fc.weight", (64, 64), 0)]


def shape_of(architecture, tensors, **keys):
    said = {**KEYS, **keys}
    return describe({"general.architecture": architecture, **{f"{architecture}.{key}": said[key] for key in said}}, tensors)


@pytest.mark.parametrize(
    ("architecture", "more", "mmap", "pools", "accelerators", "host"),
    [
        # tied: the embedding serves as the output matrix, on an accelerator as a copy
        ("llama", [], False, (), (), EMBEDDING + LAYERS),
        ("llama", [], False, ONE, (EMBEDDING + LAYERS,), EMBEDDING),
        ("llama", [("output.weight", (64, 256), 1)], False, ONE, (EMBEDDING // 2 + LAYERS,), EMBEDDING),
        ("llama", [], False, TWO, (LAYER + ROPE, EMBEDDING + 2 * LAYER + NORM), EMBEDDING),
        # these create the output first, and so twice; with mmap both are the same pages
        ("gemma3n", [], False, (), (), 2 * EMBEDDING + LAYERS),
        ("gemma3n", [], True, (), (), EMBEDDING + LAYERS),
        # no matrix turns these back into tokens
        ("bert", [("position_embd.weight", (64, 8), 0)], False, ONE, (LAYERS,), EMBEDDING + 64 * 8 * 4),
        ("bitnet", [], False, ONE, (LAYERS,), EMBEDDING),
        # embeddings of layers stay on the host
        ("gemma4", [OF_LAYERS], False, ONE, (EMBEDDING + LAYERS,), 2 * EMBEDDING),
        # of a Mac's memory both ask for the same pages of the file
        ("llama", [], True, (Pool("metal", "unified", 9.0),), (LAYERS,), EMBEDDING),
        # images and further tokens are not the text model's
        ("llama", OF_OTHERS, False, (), (), EMBEDDING + LAYERS),
    ],
)  # fmt: skip
def test_what_is_where(architecture, more, mmap, pools, accelerators, host):
    found = placed_weights(shape_of(architecture, [*TENSORS, *more]), Settings(512, mmap=mmap), pools)
    assert (found.accelerator_bytes, found.host_bytes) == (accelerators, host)


@pytest.mark.parametrize(
    ("architecture", "name", "loaded"),
    [
        ("glm4moe", "attn_k.weight", False),
        ("deepseek2", "ffn_gate_exps.weight", False),
        ("deepseek2", "ffn_gate_up_exps.weight", True),
        ("hy_v3", "ffn_gate_exps.weight", True),
        ("step35", "nextn.shared_head_head.weight", True),
        ("step35", "nextn.eh_proj.weight", False),
        ("step35", "ffn_norm.weight", False),
        ("cohere2moe", "nextn.embed_tokens.weight", True),
    ],
)
def test_blocks_for_further_tokens_are_not_loaded_but_for_what_the_loader_forgets(architecture, name, loaded):
    shape = shape_of(architecture, [*TENSORS, (f"blk.2.{name}", (64, 64), 0)], nextn_predict_layers=1)
    found = placed_weights(shape, Settings(512, mmap=False), ()).host_bytes
    assert found == EMBEDDING + 2 * LAYER + NORM + ROPE + LAYER * loaded
    assert shape.tensors.nextn_bytes == LAYER * (2 - loaded)


def test_types_that_nobody_knows_are_bounded_and_named():
    shape = shape_of("llama", [*TENSORS, ("blk.0.ffn_up.weight", (64, 64), 99)])
    assert shape.tensors.unknown_types == ("type 99",)
    assert shape.tensors.layer_bytes == (2 * LAYER, LAYER, LAYER)


sizes = st.floats(1, 1e5)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 100), st.integers(0, 120), st.lists(sizes, min_size=1, max_size=6))
def test_placements_are_whole_and_in_order(layers, gpu_layers, free):
    pools = tuple(Pool(f"gpu{index}", "gpu", size) for index, size in enumerate(free))
    placement = placement_of(layers, Settings(512, gpu_layers=gpu_layers), pools)
    where = [*placement.layers, placement.output]
    assert where == sorted(where)
    assert sum(index != HOST for index in where) == min(gpu_layers, layers + 1)
