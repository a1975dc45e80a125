"""Sparse attention with an indexer: DeepSeek-V3.2 and GLM 5 choose the cells that compressed attention sees.

Source: src/models/deepseek32.cpp, glm-dsa.cpp and build_attn of llm_graph_input_attn_k_dsa (src/llama-graph.cpp) of llama.cpp
b10488. Every layer brings a tensor of zeros that the graph keeps from its start, so the whole model has to be laid out.
"""

from __future__ import annotations

from typing import Sequence

from .attention import FULL, mask
from .builder import LAYER, Builder
from .decoder import finish
from .latent import RECIPE, latent_attention, latent_network, narrowed
from .tensors import F16, F32, I32, I64, NONE, OTHER, Tensor, like, made, over, product, rope, sum_rows, view, written

# ggml_cuda_lightning_indexer_supported of ggml/src/ggml-cuda/lightning-indexer.cu.
KERNEL_LENGTH = 128
KERNEL_HEADS = (32, 64)


def build_indexed(b: Builder, layers: Sequence[int]) -> None:
    """The whole graph; a layer without an indexer sees what the one before it chose."""
    value = b.embed()
    top: Tensor | None = None
    for number in layers:
        b.enter(b.shape.layers[number], number == layers[-1])
        into = b.norm(value)
        narrow = narrowed(b, into)
        if b.layer.indexer or top is None:
            top = best_cells(b, into, narrow)
        result = latent_attention(b, into, narrow=narrow, seen=masked(b, top))
        result, value = b.chosen(result, value)
        middle = over(result, value)
        value = b.graph.mark(over(latent_network(b, RECIPE, b.norm(middle)), middle))
    finish(b, RECIPE, value)


def best_cells(b: Builder, into: Tensor, narrow: Tensor) -> Tensor:
    """The indexer: for each token the numbers of the cells with the highest scores."""
    heads, length = int(b.fact("attention.indexer.head_count") or 0), b.shape.indexer_length
    streams, cells = b.plan.streams, b.plan.context_cells
    rotation = b.input("index_rotation", (length, length, 1, 1))
    q = rope(view(b.linear(narrow, heads * length), (length, heads, b.tokens, 1)), b.positions())
    k = b.norm(b.linear(into, length), LAYER, True)
    k = product(rotation, rope(view(k, (length, 1, b.tokens, 1)), b.positions()))
    q = view(product(rotation, q), (length, heads, b.tokens // streams, streams))
    b.graph.expand(written(b.cache, k, b.input("index_rows", (b.tokens, 1, 1, 1), I64)))
    weights = over(view(b.linear(into, heads), (heads, b.tokens // streams, 1, streams)))
    keys = view(b.cache, (length, cells, 1, streams))
    scores = score_cells(b, q, keys, weights, length, heads)
    count = min(cells, int(b.fact("attention.indexer.top_k") or cells))
    return like(made(OTHER, (count, b.tokens // streams, 1, streams), (scores,), I32))


def score_cells(b: Builder, q: Tensor, keys: Tensor, weights: Tensor, length: int, heads: int) -> Tensor:
    """The score of each cell for each token, in one operation where the device has a kernel for it."""
    cells, each, streams = keys.ne[1], q.ne[2], q.ne[3]
    ne = (cells, each, 1, streams)
    fused = not b.plan.devices or (length == KERNEL_LENGTH and heads in KERNEL_HEADS)
    seen = b.input("index_mask", ne, F16 if fused else F32)
    if fused:
        return made(OTHER, ne, (q, keys, weights, seen))
    by_head = product(keys, view(q, (length, each, heads, streams)))
    turned = made(OTHER, (heads, each, cells, streams), (by_head,))
    return over(made(OTHER, ne, (sum_rows(over(over(turned), weights)),)), seen)


def masked(b: Builder, top: Tensor) -> Tensor:
    """The usual mask with every cell hidden that was not chosen."""
    seen = mask(b, FULL, b.plan.context_cells)
    cells, each, _one, streams = seen.ne
    hidden = over(seen)
    zeros = Tensor()
    zeros.op, zeros.ne, zeros.pinned = NONE, (1, top.ne[0], each, streams), b.home
    chosen = written(view(hidden, (1, cells, each, streams)), over(zeros), view(top, (top.ne[0], each, streams, 1)))
    return over(view(chosen, seen.ne), seen)
