"""T5 and its kin: biases of attention by relative position, and a decoder that attends to what an encoder made.

Source: src/models/t5.cpp, t5encoder.cpp and build_attn_inp_cross of src/llama-graph.cpp of llama.cpp b10488. A context
reserves the decoder's graph; the encoder's needs no more.
"""

from __future__ import annotations

from typing import Sequence

from .attention import Heads, attend, attend_uncached, mixed, project
from .builder import Builder
from .feed_forward import feed_forward
from .kernels import Cached
from .tensors import F16, F32, I32, Tensor, like, outside, over, rows_of, view


def build_t5(b: Builder, layers: Sequence[int]) -> None:
    """The decoder."""
    value = b.embed()
    encoded = b.input("encoded", (b.width, b.shape.context_length or b.tokens, 1, 1))
    for number in layers:
        b.enter(b.shape.layers[number], number == layers[-1])
        value = b.graph.mark(decoder_block(b, value, encoded))
    b.finish(value)


def build_t5_encoder(b: Builder, layers: Sequence[int]) -> None:
    """An encoder alone."""
    value = b.embed()
    for number in layers:
        b.enter(b.shape.layers[number], number == layers[-1])
        bias = position_bias(b, b.tokens)
        result = attend_uncached(b, project(b, b.norm(value)), position_bias=bias)
        result, value = b.chosen(result, value)
        value = b.graph.mark(_with_network(b, over(result, value), "enc."))
    b.finish(value, logits=False)


def decoder_block(b: Builder, value: Tensor, encoded: Tensor) -> Tensor:
    """Attention to the tokens before, to the encoder's result, and a feed-forward network."""
    bias = position_bias(b, b.plan.context_cells)
    value = over(attend(b, project(b, b.norm(value)), position_bias=bias), value)
    result, value = b.chosen(cross_attention(b, b.norm(value), encoded), value)
    return _with_network(b, over(result, value), "dec.")


def _with_network(b: Builder, value: Tensor, part: str) -> Tensor:
    """The first T5 has no gate, all later ones do."""
    gate = b.has(f"{part}blk.ffn_gate.weight", True)
    hidden = feed_forward(b, b.norm(value), b.layer.feed_forward_length, "gelu" if gate else "relu", gate)
    return over(hidden, value)


def position_bias(b: Builder, cells: int) -> Tensor:
    """build_pos_bias: a number per head for each token and cell, looked up by their distance."""
    buckets = b.input("buckets", (cells, b.tokens, 1, 1), I32)
    heads = b.layer.head_count
    table = outside(b.plan.homes[0], (heads, 1, 1, 1))
    found = rows_of(table, view(buckets, (cells * b.tokens, 1, 1, 1)))
    return like(view(found, (cells, b.tokens, heads, 1)))


def cross_attention(b: Builder, into: Tensor, encoded: Tensor) -> Tensor:
    """Queries of the tokens, keys and values of what the encoder made, which may be as long as the training context."""
    layer, cells = b.layer, encoded.ne[1]
    q = view(b.linear(into, layer.key_length * layer.head_count), (layer.key_length, layer.head_count, b.tokens, 1))
    shape = (layer.key_length, layer.head_count_kv, cells, 1)
    k, v = (view(b.linear(encoded, shape[0] * shape[1]), shape) for _index in range(2))
    for item in Heads(q, k, v):
        b.graph.expand(item)
    seen = b.input("cross_mask", (cells, b.tokens, 1, 1), F16 if b.plan.flash else F32)
    keys, values = Cached(k.ne[0], k.ne[1], cells, 1, k, True), Cached(v.ne[0], v.ne[1], cells, 1, v, True, "f32")
    return b.linear(mixed(b, q, keys, values, seen), b.width)
