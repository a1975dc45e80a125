"""Small models of many architectures, real in everything that decides memory: layers, heads, windows, experts, states.

Names of keys and tensors: llama.cpp b10488, src/llama-arch.cpp; which tensors an architecture needs: its file in src/models.
Each mechanism of memory occurs at least once; the shapes are small, not the mechanisms.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from tests.engines.gguf_file import Tensor, Value
from tests.engines.model_parts import (
    TRAINED_TOKENS,
    Shape,
    SmallModel,
    attention,
    blocks,
    ends,
    experts,
    gated,
    model,
    norm,
    zero,
)  # fmt: skip
from tests.engines.model_tokens import VOCABULARY, byte_pair_tokens, sentence_piece_tokens, word_piece_tokens


def small_shape(trained_tokens: int = TRAINED_TOKENS) -> Shape:
    """The smallest of all, for tests in which only the name matters."""
    return Shape(layers=2, width=128, heads=4, kv_heads=2, head=32, feed_forward=256, trained_tokens=trained_tokens)


def llama(name: str = "llama", shape: Shape | None = None) -> SmallModel:
    shape = shape or Shape(kind="Q4_0")

    def tensors() -> Iterator[Tensor]:
        yield from ends(shape, tied=False)
        for block in blocks(shape):
            yield from attention(shape, block)
            yield from gated(shape, block)

    keys = shape.keys("llama", **{"rope.dimension_count": shape.head})
    return model(name, "llama", "grouped heads, weights that the CPU repacks", keys, sentence_piece_tokens(), tensors())


def qwen2() -> SmallModel:
    shape = Shape(kind="Q8_0")

    def tensors() -> Iterator[Tensor]:
        yield from ends(shape, tied=True)
        for block in blocks(shape):
            yield from attention(shape, block)
            yield from gated(shape, block)
            yield zero(f"{block}attn_q.bias", shape.heads * shape.head)
            yield zero(f"{block}attn_k.bias", shape.kv_heads * shape.head)
            yield zero(f"{block}attn_v.bias", shape.kv_heads * shape.head)

    return model("qwen2", "qwen2", "tied output, biases", shape.keys("qwen2"), byte_pair_tokens(), tensors())


def qwen3() -> SmallModel:
    shape = Shape(heads=8, kv_heads=4, head=128)

    def tensors() -> Iterator[Tensor]:
        yield from ends(shape, tied=True)
        for block in blocks(shape):
            yield from attention(shape, block, head_norms=True)
            yield from gated(shape, block)

    return model(
        "qwen3", "qwen3", "heads longer than width / heads", shape.keys("qwen3", **shape.lengths()), byte_pair_tokens(), tensors()
    )


def qwen3moe() -> SmallModel:
    shape, count, length = Shape(layers=4, head=128), 16, 128

    def tensors() -> Iterator[Tensor]:
        yield from ends(shape, tied=False)
        for block in blocks(shape):
            yield from attention(shape, block, head_norms=True)
            yield norm(f"{block}ffn_norm.weight", shape.width)
            yield from experts(shape, block, count, length)

    more: dict[str, Value] = {"expert_count": count, "expert_used_count": 4, "expert_feed_forward_length": length}
    keys = shape.keys("qwen3moe", **shape.lengths(), **more)
    return model("qwen3moe", "qwen3moe", "experts", keys, byte_pair_tokens(), tensors())


def gemma3() -> SmallModel:
    shape = Shape(layers=12, width=384, heads=4, kv_heads=1, head=256)

    def tensors() -> Iterator[Tensor]:
        yield from ends(shape, tied=True)
        for block in blocks(shape):
            yield from attention(shape, block, head_norms=True)
            yield from gated(shape, block)
            yield norm(f"{block}post_attention_norm.weight", shape.width)
            yield norm(f"{block}post_ffw_norm.weight", shape.width)

    keys = shape.keys("gemma3", **shape.lengths(), **{"attention.sliding_window": 512})
    return model("gemma3", "gemma3", "sliding window on five layers of six", keys, sentence_piece_tokens(), tensors())


def phi3() -> SmallModel:
    shape = Shape(kv_heads=8)

    def tensors() -> Iterator[Tensor]:
        yield from ends(shape, tied=False)
        for block in blocks(shape):
            yield norm(f"{block}attn_norm.weight", shape.width)
            yield Tensor(f"{block}attn_qkv.weight", (shape.width, (shape.heads + 2 * shape.kv_heads) * shape.head))
            yield Tensor(f"{block}attn_output.weight", (shape.heads * shape.head, shape.width))
            yield norm(f"{block}ffn_norm.weight", shape.width)
            yield Tensor(f"{block}ffn_up.weight", (shape.width, 2 * shape.feed_forward))
            yield Tensor(f"{block}ffn_down.weight", (shape.feed_forward, shape.width))

    more: dict[str, Value] = {"rope.dimension_count": shape.head, "attention.sliding_window": 2047}
    return model(
        "phi3", "phi3", "a window in the header that is not used", shape.keys("phi3", **more), sentence_piece_tokens(), tensors()
    )


def gpt_oss() -> SmallModel:
    shape, count = Shape(layers=4, heads=16, kv_heads=4, feed_forward=256), 8

    def tensors() -> Iterator[Tensor]:
        yield from ends(shape, tied=False)
        for block in blocks(shape):
            yield from attention(shape, block)
            yield norm(f"{block}post_attention_norm.weight", shape.width)
            yield from experts(shape, block, count, shape.feed_forward, "MXFP4")
            yield zero(f"{block}attn_sinks.weight", shape.heads)
            yield zero(f"{block}attn_q.bias", shape.heads * shape.head)
            yield zero(f"{block}attn_k.bias", shape.kv_heads * shape.head)
            yield zero(f"{block}attn_v.bias", shape.kv_heads * shape.head)
            yield zero(f"{block}attn_output.bias", shape.width)
            yield zero(f"{block}ffn_gate_inp.bias", count)
            yield zero(f"{block}ffn_gate_exps.bias", shape.feed_forward, count)
            yield zero(f"{block}ffn_up_exps.bias", shape.feed_forward, count)
            yield zero(f"{block}ffn_down_exps.bias", shape.width, count)

    more: dict[str, Value] = {
        "attention.sliding_window": 128,
        "expert_count": count,
        "expert_used_count": 4,
        "expert_feed_forward_length": shape.feed_forward,
    }
    keys = shape.keys("gpt-oss", **shape.lengths(), **more)
    return model("gpt-oss", "gpt-oss", "sliding window on every other layer, sinks, experts", keys, byte_pair_tokens(), tensors())


def deepseek2() -> SmallModel:
    shape, count, length, rank, rope, nope = Shape(layers=5, heads=8, kv_heads=1), 8, 128, 256, 32, 64
    query_rank = 192

    def tensors() -> Iterator[Tensor]:
        yield from ends(shape, tied=False)
        for layer, block in enumerate(blocks(shape)):
            yield norm(f"{block}attn_norm.weight", shape.width)
            yield Tensor(f"{block}attn_q_a.weight", (shape.width, query_rank))
            yield norm(f"{block}attn_q_a_norm.weight", query_rank)
            yield Tensor(f"{block}attn_q_b.weight", (query_rank, shape.heads * (nope + rope)))
            yield Tensor(f"{block}attn_kv_a_mqa.weight", (shape.width, rank + rope))
            yield norm(f"{block}attn_kv_a_norm.weight", rank)
            yield Tensor(f"{block}attn_k_b.weight", (nope, rank, shape.heads))
            yield Tensor(f"{block}attn_v_b.weight", (rank, shape.head, shape.heads))
            yield Tensor(f"{block}attn_output.weight", (shape.heads * shape.head, shape.width))
            if layer == 0:
                yield from gated(shape, block)
                continue
            yield norm(f"{block}ffn_norm.weight", shape.width)
            yield from experts(shape, block, count, length)
            yield Tensor(f"{block}ffn_gate_shexp.weight", (shape.width, length))
            yield Tensor(f"{block}ffn_up_shexp.weight", (shape.width, length))
            yield Tensor(f"{block}ffn_down_shexp.weight", (length, shape.width))

    more: dict[str, Value] = {
        "attention.key_length": rank + rope,
        "attention.value_length": rank,
        "attention.key_length_mla": nope + rope,
        "attention.value_length_mla": shape.head,
        "attention.kv_lora_rank": rank,
        "attention.q_lora_rank": query_rank,
        "rope.dimension_count": rope,
        "leading_dense_block_count": 1,
        "expert_count": count,
        "expert_used_count": 2,
        "expert_shared_count": 1,
        "expert_feed_forward_length": length,
        "expert_weights_scale": 1.0,
    }
    return model("deepseek2", "deepseek2", "compressed K and V", shape.keys("deepseek2", **more), byte_pair_tokens(), tensors())


def qwen35() -> SmallModel:
    shape, state, groups, ranks, kernel = Shape(layers=8, heads=4, kv_heads=2, head=128), 128, 4, 8, 4
    keys_length, values_length = state * groups, state * ranks

    def delta(block: str) -> Iterator[Tensor]:
        yield norm(f"{block}attn_norm.weight", shape.width)
        yield Tensor(f"{block}attn_qkv.weight", (shape.width, 2 * keys_length + values_length))
        yield Tensor(f"{block}attn_gate.weight", (shape.width, values_length))
        yield Tensor(f"{block}ssm_conv1d.weight", (kernel, 2 * keys_length + values_length), "F32")
        yield zero(f"{block}ssm_dt.bias", ranks)
        yield Tensor(f"{block}ssm_a", (ranks,), "F32", -1.0)
        yield Tensor(f"{block}ssm_beta.weight", (shape.width, ranks))
        yield Tensor(f"{block}ssm_alpha.weight", (shape.width, ranks))
        yield norm(f"{block}ssm_norm.weight", state)
        yield Tensor(f"{block}ssm_out.weight", (values_length, shape.width))

    def full(block: str) -> Iterator[Tensor]:
        wide = Shape(layers=1, heads=2 * shape.heads, kv_heads=shape.kv_heads, head=shape.head)
        for tensor in attention(wide, block, head_norms=True):
            yield tensor if "attn_output" not in tensor.name else Tensor(tensor.name, (shape.heads * shape.head, shape.width))

    def tensors() -> Iterator[Tensor]:
        yield from ends(shape, tied=False)
        for layer, block in enumerate(blocks(shape)):
            yield from full(block) if layer % 4 == 3 else delta(block)
            yield from gated(shape, block, named="post_attention_norm")

    more: dict[str, Value] = {
        "ssm.conv_kernel": kernel,
        "ssm.inner_size": values_length,
        "ssm.state_size": state,
        "ssm.time_step_rank": ranks,
        "ssm.group_count": groups,
        "full_attention_interval": 4,
        "rope.dimension_count": 32,
        "rope.dimension_sections": [11, 11, 10, 0],
    }
    keys = shape.keys("qwen35", **shape.lengths(), **more)
    return model("qwen35", "qwen35", "gated delta state on three layers of four", keys, byte_pair_tokens(), tensors())


def falcon_h1() -> SmallModel:
    shape, state, groups, ranks, kernel = Shape(layers=4), 64, 1, 16, 4
    inner = 1024
    convolved = inner + 2 * groups * state

    def tensors() -> Iterator[Tensor]:
        yield from ends(shape, tied=False)
        for block in blocks(shape):
            yield from attention(shape, block)
            # Its norm stands in the file without the word that ends the names of all others.
            yield from (
                replace(tensor, name=tensor.name.replace("ffn_norm.weight", "ffn_norm")) for tensor in gated(shape, block)
            )
            yield Tensor(f"{block}ssm_in.weight", (shape.width, inner + convolved + ranks))
            yield Tensor(f"{block}ssm_conv1d.weight", (kernel, convolved), "F32")
            yield zero(f"{block}ssm_conv1d.bias", convolved)
            yield zero(f"{block}ssm_dt.bias", ranks)
            yield Tensor(f"{block}ssm_a", (1, ranks), "F32", -1.0)
            yield Tensor(f"{block}ssm_d", (1, ranks), "F32", 1.0)
            yield Tensor(f"{block}ssm_out.weight", (inner, shape.width))

    more: dict[str, Value] = {
        "ssm.conv_kernel": kernel,
        "ssm.inner_size": inner,
        "ssm.state_size": state,
        "ssm.time_step_rank": ranks,
        "ssm.group_count": groups,
    }
    keys = shape.keys("falcon-h1", **shape.lengths(), **more)
    return model("falcon-h1", "falcon-h1", "cache and state on every layer", keys, byte_pair_tokens(), tensors())


def mamba2() -> SmallModel:
    shape, state, groups, ranks, kernel, inner = Shape(layers=6), 128, 1, 16, 4, 1024
    convolved = inner + 2 * groups * state

    def tensors() -> Iterator[Tensor]:
        yield from ends(shape, tied=False)
        for block in blocks(shape):
            yield norm(f"{block}attn_norm.weight", shape.width)
            yield Tensor(f"{block}ssm_in.weight", (shape.width, inner + convolved + ranks))
            yield Tensor(f"{block}ssm_conv1d.weight", (kernel, convolved), "F32")
            yield zero(f"{block}ssm_conv1d.bias", convolved)
            yield zero(f"{block}ssm_dt.bias", ranks)
            yield Tensor(f"{block}ssm_a", (1, ranks), "F32", -1.0)
            yield Tensor(f"{block}ssm_d", (1, ranks), "F32", 1.0)
            yield Tensor(f"{block}ssm_norm.weight", (inner // groups, groups), "F32", 1.0)
            yield Tensor(f"{block}ssm_out.weight", (inner, shape.width))

    keys: dict[str, Value] = {
        "mamba2.block_count": shape.layers,
        "mamba2.context_length": TRAINED_TOKENS,
        "mamba2.embedding_length": shape.width,
        "mamba2.feed_forward_length": 0,
        "mamba2.attention.head_count": 0,
        "mamba2.attention.layer_norm_rms_epsilon": 1e-6,
        "mamba2.ssm.conv_kernel": kernel,
        "mamba2.ssm.inner_size": inner,
        "mamba2.ssm.state_size": state,
        "mamba2.ssm.time_step_rank": ranks,
        "mamba2.ssm.group_count": groups,
    }
    return model("mamba2", "mamba2", "state only", keys, byte_pair_tokens(), tensors())


def lfm2() -> SmallModel:
    shape, cached, heads = Shape(layers=6), 3, [0, 0, 2, 0, 0, 2]

    def tensors() -> Iterator[Tensor]:
        yield Tensor("token_embd.weight", (shape.width, VOCABULARY))
        yield norm("token_embd_norm.weight", shape.width)
        for layer, block in enumerate(blocks(shape)):
            yield from gated(shape, block)
            if heads[layer]:
                yield from attention(shape, block, head_norms=True)
                continue
            yield norm(f"{block}attn_norm.weight", shape.width)
            yield Tensor(f"{block}shortconv.conv.weight", (cached, shape.width), "F32")
            yield Tensor(f"{block}shortconv.in_proj.weight", (shape.width, 3 * shape.width))
            yield Tensor(f"{block}shortconv.out_proj.weight", (shape.width, shape.width))

    more: dict[str, Value] = {"attention.head_count_kv": heads, "shortconv.l_cache": cached}
    keys = shape.keys("lfm2", **more)
    return model("lfm2", "lfm2", "short convolutions and a cache on some layers", keys, byte_pair_tokens(), tensors())


def bert() -> SmallModel:
    shape, trained = Shape(layers=4, width=384, heads=12, kv_heads=12, head=32, feed_forward=1536), 512

    def tensors() -> Iterator[Tensor]:
        yield Tensor("token_embd.weight", (shape.width, VOCABULARY))
        yield Tensor("token_types.weight", (shape.width, 2), "F32")
        yield Tensor("position_embd.weight", (shape.width, trained), "F32")
        yield norm("token_embd_norm.weight", shape.width)
        yield zero("token_embd_norm.bias", shape.width)
        for block in blocks(shape):
            for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
                yield Tensor(f"{block}{name}.weight", (shape.width, shape.width))
                yield zero(f"{block}{name}.bias", shape.width)
            for name in ("attn_output_norm", "layer_output_norm"):
                yield norm(f"{block}{name}.weight", shape.width)
                yield zero(f"{block}{name}.bias", shape.width)
            yield Tensor(f"{block}ffn_up.weight", (shape.width, shape.feed_forward))
            yield zero(f"{block}ffn_up.bias", shape.feed_forward)
            yield Tensor(f"{block}ffn_down.weight", (shape.feed_forward, shape.width))
            yield zero(f"{block}ffn_down.bias", shape.width)

    keys: dict[str, Value] = {
        "bert.block_count": shape.layers,
        "bert.context_length": trained,
        "bert.embedding_length": shape.width,
        "bert.feed_forward_length": shape.feed_forward,
        "bert.attention.head_count": shape.heads,
        "bert.attention.layer_norm_epsilon": 1e-12,
        "bert.attention.causal": False,
        "bert.pooling_type": 1,
    }
    return model("bert", "bert", "an encoder without a cache", keys, word_piece_tokens(), tensors())


MAKERS: tuple[Callable[[], SmallModel], ...] = (
    llama, qwen2, qwen3, qwen3moe, gemma3, phi3, gpt_oss, deepseek2, qwen35, falcon_h1, mamba2, lfm2, bert,
)  # fmt: skip


def small_models() -> dict[str, SmallModel]:
    return {made.name: made for made in (maker() for maker in MAKERS)}
