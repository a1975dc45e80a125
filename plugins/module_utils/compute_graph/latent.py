"""Compressed attention (MLA) and the older form of the same models, which caches every head.

Source: src/models/deepseek2.cpp of llama.cpp b10488.
"""

from __future__ import annotations

from dataclasses import replace

from .attention import Heads, attend, attend_latent
from .builder import Builder
from .decoder import Recipe
from .feed_forward import feed_forward
from .mixture import Experts, mixture
from .tensors import OTHER, Tensor, concat, like, made, over, rope, view

# enum llama_expert_gating_func_type of src/llama-hparams.h, and the blocks of DeepSeek-V2 Lite and V2 (models/deepseek2.cpp).
SOFTMAX_GATING = 1
VERSION_2_BLOCKS = (27, 60)
RECIPE = Recipe(experts=Experts(shared="plain"))
# DeepSeek-OCR's decoder: the older form without any compression.
OCR = Recipe(experts=Experts(normed=None, shared="plain"))
MINICPM_3 = Recipe(embedding_scaled=True, residual_scaled=True, early_scaled=True)


def latent_block(b: Builder, recipe: Recipe, value: Tensor) -> Tensor:
    """One layer: attention through the latent row, then experts or a dense network."""
    result, value = b.chosen(latent_attention(b, b.norm(value)), value)
    middle = over(result, value)
    return over(latent_network(b, recipe, b.norm(middle)), middle)


def latent_network(b: Builder, recipe: Recipe, hidden: Tensor) -> Tensor:
    """Experts that the header describes, or a dense network in the first layers."""
    if b.layer.experts and recipe.experts is not None:
        kind = replace(recipe.experts, normed=bool(b.fact("expert_weights_norm")), selection_bias=usually_biased(b))
        return mixture(b, kind, hidden)
    return feed_forward(b, hidden, b.layer.feed_forward_length)


def plm_block(b: Builder, recipe: Recipe, value: Tensor) -> Tensor:
    """Compressed keys and values, a cache of every head; b10488 aborts where flash attention is on."""
    result, value = b.chosen(latent_attention(b, b.norm(value)), value)
    middle = over(result, value)
    return over(feed_forward(b, b.norm(middle), b.layer.feed_forward_length, "relu_sqr", False), middle)


def minicpm3_block(b: Builder, recipe: Recipe, value: Tensor) -> Tensor:
    """Compressed projections, a cache of every head, scaled results."""
    result, value = b.chosen(latent_attention(b, b.norm(value)), value)
    middle = over(over(result), value)
    return over(over(feed_forward(b, b.norm(middle), b.layer.feed_forward_length)), middle)


def usually_biased(b: Builder) -> bool:
    """Whether a learned bias takes part in the choice of experts: since DeepSeek-V3; version 2 chose by softmax alone."""
    return b.fact("expert_gating_func") != SOFTMAX_GATING and b.shape.block_count not in VERSION_2_BLOCKS


def narrowed(b: Builder, into: Tensor) -> Tensor:
    """What the queries' matrix sees: a narrow normed projection where the model has one."""
    rank = int(b.fact("attention.q_lora_rank") or 0)
    return b.norm(b.linear(into, rank)) if rank else into


def latent_attention(
    b: Builder,
    into: Tensor,
    rotate: bool = True,
    output: bool = True,
    narrow: Tensor | None = None,
    seen: Tensor | None = None,
) -> Tensor:
    """The attention of one layer, compressed or not. ``output`` False: without its last matrix.

    ``narrow``: what the queries' matrix sees, where others need it too; ``seen``: a mask of its own.
    """
    mla, tokens, heads = b.shape.mla, b.tokens, b.layer.head_count
    rank, turning = int(b.fact("attention.kv_lora_rank") or 0), int(b.fact("rope.dimension_count") or 0)
    length = mla.key_length if mla else b.layer.key_length
    plain = length - turning
    q = b.linear(narrow if narrow is not None else narrowed(b, into), length * heads)
    q_plain, q_turned = view(q, (plain, heads, tokens, 1)), view(q, (turning, heads, tokens, 1))
    row = b.linear(into, rank + turning)
    latent, k_turned = view(row, (rank, tokens, 1, 1)), view(row, (turning, 1, tokens, 1))
    if rotate:
        q_turned, k_turned = rope(q_turned, b.positions()), rope(k_turned, b.positions())
    latent = b.norm(latent)
    if mla is None:
        query = concat(q_plain, q_turned, 0) if rotate else view(q, (length, heads, tokens, 1))
        return _decompressed(b, latent, query, k_turned, output)
    absorbed = b.linear(view(q_plain, (plain, tokens, heads, 1)), rank)
    query = concat(view(absorbed, (rank, heads, tokens, 1)), q_turned, 0)
    if b.fact("attention.temperature_scale"):
        query = over(query, b.input("scale", (1, 1, tokens, 1)))
    latent = view(latent, (rank, 1, tokens, 1))
    return attend_latent(b, query, concat(latent, k_turned, 0), latent, mla.value_length, output, seen)


def _decompressed(b: Builder, latent: Tensor, query: Tensor, k_turned: Tensor, output: bool) -> Tensor:
    """Keys and values of every head out of the latent row, cached as other models do."""
    heads, tokens, length = b.layer.head_count, b.tokens, b.layer.value_length
    plain = query.ne[0] - k_turned.ne[0]
    both = b.linear(latent, heads * (plain + length))
    k_plain = view(both, (plain, heads, tokens, 1))
    values = like(view(both, (length, heads, tokens, 1)))
    repeated = made(OTHER, (k_turned.ne[0], heads, tokens, 1), (k_turned,))
    return attend(b, Heads(query, concat(k_plain, repeated, 0), values), output=output)
