"""What a header says about layers: which attend, slide, recur and own a cache; what is missing or absurd is said."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plugins.module_utils.architectures import ARCHITECTURES
from plugins.module_utils.gguf import LongArray
from plugins.module_utils.gguf_types import Tensor
from plugins.module_utils.metadata_sizes import SIZES, SIZES_BY_LAYER
from plugins.module_utils.model_shape import LARGEST_VOCABULARY, MemoryShapeError, describe
from tests.unit.any_text import any_text
from tests.unit.measured import models, oracle

PLAIN = {"block_count": 6, "embedding_length": 64, "attention.head_count": 4, "vocab_size": 100}


def model(architecture, **keys):
    said = {**PLAIN, **{key.replace("__", "."): value for key, value in keys.items()}}
    return {"general.architecture": architecture, **{f"{architecture}.{key}": value for key, value in said.items()}}


def marks(shape, fact):
    return "".join("x" if getattr(layer, fact) else "." for layer in shape.layers)


# architecture and keys -> layers that slide, that own a cache, that recur
LAYERS = [
    ("llama", {}, "......", "xxxxxx", "......"),
    ("llama", {"attention__sliding_window": 16}, "......", "xxxxxx", "......"),
    ("gemma2", {}, "x.x.x.", "xxxxxx", "......"),
    ("gemma3", {"attention__sliding_window": 16}, "xxxxx.", "xxxxxx", "......"),
    ("gemma3", {}, "......", "xxxxxx", "......"),
    # a list where the loader wants a number is ignored there
    ("gemma3", {"attention__sliding_window": 16, "attention__sliding_window_pattern": [1, 0] * 3}, "xxxxx.", "xxxxxx", "......"),
    ("gemma3", {"attention__sliding_window": 16, "attention__sliding_window_pattern": 3}, "xx.xx.", "xxxxxx", "......"),
    ("gemma4", {"attention__sliding_window": 16, "attention__sliding_window_pattern": [1, 0] * 3}, "x.x.x.", "xxxxxx", "......"),
    ("gemma4", {"attention__shared_kv_layers": 2}, "......", "xxxx..", "......"),
    ("llama4", {}, "xxx.xx", "xxxxxx", "......"),
    ("llama4", {"attention__sliding_window": 0}, "......", "xxxxxx", "......"),
    ("smallthinker", {"attention__sliding_window": 1}, ".xxx.x", "xxxxxx", "......"),
    ("phi3", {"attention__sliding_window": 16}, "......", "xxxxxx", "......"),
    ("exaone4", {"attention__sliding_window": 16}, "......", "xxxxxx", "......"),
    ("exaone-moe", {"attention__sliding_window": 16, "nextn_predict_layers": 1}, "xxx.xx", "xxxxxx", "......"),
    ("cohere2moe", {"attention__sliding_window": 16, "nextn_predict_layers": 1}, ".xxx..", "xxxxxx", "......"),
    ("glm4moe", {"nextn_predict_layers": 1}, "......", "xxxxxx", "......"),
    ("hy_v3", {"nextn_predict_layers": 1}, "......", "xxxxx.", "......"),
    ("qwen35", {"nextn_predict_layers": 1}, "......", "...x..", "xxx.x."),
    ("qwen3next", {"attention__recurrent_layers": [1, 0] * 3}, "......", ".x.x.x", "x.x.x."),
    ("jamba", {"attention__head_count_kv": [0, 4] * 3}, "......", ".x.x.x", "x.x.x."),
    ("lfm2", {"attention__head_count_kv": [0, 4] * 3, "attention__sliding_window": 8}, ".x.x.x", ".x.x.x", "x.x.x."),
    (
        "nemotron_h",
        {"attention__head_count_kv": [0, 0, 4] * 2, "feed_forward_length": [0, 9, 0] * 2},
        "......",
        "..x..x",
        "x..x..",
    ),
    ("falcon-h1", {}, "......", "xxxxxx", "xxxxxx"),
    ("mamba2", {"attention__head_count": 0}, "......", "......", "xxxxxx"),
    ("rwkv7", {"attention__head_count": 0}, "......", "......", "xxxxxx"),
    ("bert", {}, "......", "......", "......"),
    ("gemma-embedding", {"attention__sliding_window": 16}, "xxxxx.", "......", "......"),
    ("some-new-thing", {}, "......", "xxxxxx", "......"),
    ("some-new-thing", {"ssm__inner_size": 32}, "......", "xxxxxx", "xxxxxx"),
]


@pytest.mark.parametrize(("architecture", "keys", "sliding", "cached", "recurrent"), LAYERS)
def test_layers_are_told_apart(architecture, keys, sliding, cached, recurrent):
    shape = describe(model(architecture, **keys))
    found = (marks(shape, "sliding"), marks(shape, "owns_cache"), marks(shape, "recurrent"))
    assert found == (sliding, cached, recurrent)


def test_an_unknown_architecture_is_said_to_be_one():
    assert not describe(model("some-new-thing")).known
    assert all(describe(model(name)).known for name in ("llama", "gemma3", "jamba"))


def test_every_architecture_of_the_oracle_is_in_the_table():
    assert set(oracle()["architectures"]) <= set(ARCHITECTURES)


def test_the_measured_models_are_described():
    shapes = {name: describe(item["metadata"], item["tensors_summary"]) for name, item in models().items()}
    assert all(shape.known and not shape.assumptions for shape in shapes.values())
    deepseek, glm = shapes["deepseek-v2-lite-16b-q4_K_M"], shapes["glm-4.7-flash-30b-q4_K_M"]
    assert (deepseek.mla.kv_lora_rank, deepseek.experts.count, marks(deepseek, "experts").count("x")) == (512, 64, 26)
    assert (glm.nextn_layers, glm.block_count, len(glm.layers)) == (1, 47, 48)
    assert shapes["qwen3.5-9b-q4_K_M"].state.kind == "gated_delta"
    assert shapes["gemma4-e4b-q4_K_M"].per_layer_embedding_length == 256
    assert shapes["command-r7b-q4_K_M"].fact("logit_scale") == 0.0625
    assert shapes["all-minilm-l6-v2-f16"].encoder


# Ollama's spellings -> architecture, and a fact that the translation decides
SPELLINGS = [
    ("gptoss", {"attention__sliding_window": 8}, "gpt-oss", "sliding", "x.x.x."),
    ("olmo3", {"attention__sliding_window": 8}, "olmo2", "sliding", "xxx.xx"),
    ("qwen25vl", {}, "qwen2vl", "owns_cache", "xxxxxx"),
    ("deepseekocr", {}, "deepseek2-ocr", "owns_cache", "xxxxxx"),
    ("qwen35", {"attention__head_count_kv": [0, 0, 0, 2, 0, 0]}, "qwen35", "owns_cache", "...x.."),
    ("nemotron_h_omni", {"expert_count": 8}, "nemotron_h_moe", "owns_cache", "xxxxxx"),
    ("nemotron_h_omni", {}, "nemotron_h", "owns_cache", "xxxxxx"),
    ("gemma3", {"pooling_type": 1, "attention__sliding_window": 8}, "gemma-embedding", "owns_cache", "......"),
]


@pytest.mark.parametrize(("written", "keys", "architecture", "fact", "expected"), SPELLINGS)
def test_both_spellings_are_understood(written, keys, architecture, fact, expected):
    shape = describe(model(written, **keys))
    assert (shape.architecture, shape.known, marks(shape, fact)) == (architecture, True, expected)


def test_the_compressed_attention_of_a_blob_is_translated():
    keys = {"attention__kv_lora_rank": 512, "rope__dimension_count": 64, "attention__key_length": 256}
    shape = describe(model("glm4moelite", **keys))
    assert (shape.architecture, shape.mla.key_length, shape.layers[0].key_length) == ("deepseek2", 256, 576)
    assert shape.layers[0].head_count_kv == 1


def test_an_embedding_gemma_is_known_by_its_tensors():
    tensors = [("token_embd.weight", (64, 100), 1), ("dense.0.weight", (64, 64), 1)]
    assert describe(model("gemma3"), tensors).architecture == "gemma-embedding"
    assert describe(model("gemma3", pooling_type=1), tensors[:1]).architecture == "gemma3"


@pytest.mark.parametrize(
    ("keys", "tensors", "expected"),
    [
        ({}, None, 100),
        ({"vocab_size": None}, None, LARGEST_VOCABULARY),
        ({}, [Tensor("token_embd.weight", (64, 300), 0, 0)], 300),
    ],
)
def test_the_vocabulary_is_that_of_the_embedding(keys, tensors, expected):
    shape = describe(model("llama", **keys), tensors)
    assert shape.vocabulary_size == expected
    assert bool(shape.assumptions) == (expected == LARGEST_VOCABULARY)


def test_a_long_list_of_tokens_tells_its_length():
    metadata = {**model("llama", vocab_size=None), "tokenizer.ggml.tokens": LongArray(32000, "string")}
    assert describe(metadata).vocabulary_size == 32000


REFUSED = [
    ({}, "general.architecture"),
    ({"general.architecture": 7}, "general.architecture"),
    ({"general.architecture": "llama"}, "lacks block_count, embedding_length, attention.head_count"),
    (model("llama", block_count=0), "block_count 0, expected 1 to 512"),
    (model("llama", block_count=10**9), "expected 1 to 512"),
    (model("llama", block_count="two"), "block_count 'two'"),
    (model("llama", expert_count=8, expert_used_count=9), "expert_used_count 9, expected at most the expert_count 8"),
    (model("llama", expert_used_count=2**31), "expert_used_count 2147483648"),
    (model("llama", expert_count=2**20, expert_used_count=1), "expert_count 1048576, expected at most 1024"),
    (model("llama", embedding_length=-1), "embedding_length -1"),
    (model("llama", embedding_length=[64]), "a list as embedding_length"),
    (model("llama", attention__head_count=2**60), "attention.head_count"),
    (model("llama", attention__head_count_kv=LongArray(9999, "u32")), "attention.head_count_kv LongArray"),
    (model("llama", attention__key_length=1.5), "attention.key_length 1.5"),
]


@pytest.mark.parametrize(("metadata", "words"), REFUSED)
def test_what_is_no_model_is_refused(metadata, words):
    with pytest.raises(MemoryShapeError, match=words):
        describe(metadata)


def test_lists_that_are_too_short_are_an_assumption():
    shape = describe(model("jamba", attention__head_count_kv=[0, 4]))
    assert shape.assumptions[0] == "attention.head_count_kv (it has 2 entries for 6 layers)"
    assert [layer.head_count_kv for layer in shape.layers] == [0, 4, 4, 4, 4, 4]


odd_values = st.one_of(
    st.none(), st.booleans(), st.integers(-5, 2**65), st.floats(), any_text(3), st.lists(st.integers(-1, 600), max_size=8)
)


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(sorted(ARCHITECTURES)), st.dictionaries(st.sampled_from(sorted(SIZES | SIZES_BY_LAYER)), odd_values))
def test_whatever_a_header_says_is_understood_or_refused(name, keys):
    metadata = model(name, **keys)
    try:
        shape = describe(metadata)
    except MemoryShapeError:
        return
    assert len(shape.layers) >= 1
    assert min(layer.head_count_kv * layer.key_length for layer in shape.layers) >= 0


@pytest.mark.property
def test_many_odd_headers():
    source = random.Random(4)
    values = [None, -1, 0, 1, 7, 10**12, 2**70, 1.5, "x", [], [1, 2], [0] * 600, True]
    for _number in range(3000):
        name = source.choice(sorted(ARCHITECTURES))
        keys = {key: source.choice(values) for key in source.sample(sorted(SIZES | SIZES_BY_LAYER), 6)}
        try:
            describe(model(name, **keys))
        except MemoryShapeError:
            continue


def test_experts_of_which_nobody_says_how_many_are_used_are_all_counted():
    shape = describe(model("llama", expert_count=8))
    assert (shape.experts.used_count, shape.assumptions) == (8, ("how many experts are used at once",))


@pytest.mark.parametrize(("architecture", "said"), [("mamba", True), ("qwen35", True), ("llama", False)])
def test_a_state_of_unknown_size_is_told(architecture, said):
    keys = {"block_count": 8, "embedding_length": 512, "context_length": 4096, "vocab_size": 1000, "attention.head_count": 8}
    metadata = {"general.architecture": architecture, **{f"{architecture}.{key}": value for key, value in keys.items()}}
    assert ("how large the state of recurrent layers is" in describe(metadata).assumptions) is said
