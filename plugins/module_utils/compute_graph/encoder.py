"""Encoders of the BERT kind: norms behind the networks, every token of the batch sees every other.

Source: src/models/bert.cpp (which builds nomic-bert and jina-bert too) of llama.cpp b10488.
"""

from __future__ import annotations

from typing import Sequence

from .attention import Heads, attend_uncached, project
from .builder import LAYER, Builder
from .decoder import whole_norm
from .feed_forward import feed_forward
from .mixture import Experts, experts
from .tensors import Tensor, outside, over, rope, rows_of, view

ROTATING = frozenset({"nomic-bert", "nomic-bert-moe", "jina-bert-v3"})
FUSED = frozenset({"nomic-bert", "nomic-bert-moe", "jina-bert-v3"})
# The published Nomic models of the first version have no biases.
UNBIASED = frozenset({"nomic-bert"})


def build_bert(b: Builder, layers: Sequence[int]) -> None:
    """The whole graph; its result are the embeddings."""
    table = outside(b.plan.devices, (b.width, 1, 1, 1))
    value = b.embed()
    if b.has("token_types.weight", True):
        value = over(value, view(table, (b.width, 1, 1, 1)))
    if b.shape.architecture == "bert":
        positions = rows_of(table, b.positions())
        value = over(positions, value)
    b.enter(b.shape.layers[layers[0]], False)
    value = b.norm(value, LAYER, True)
    for number in layers:
        b.enter(b.shape.layers[number], number == layers[-1])
        value = b.graph.mark(bert_block(b, value))
    b.leave()
    b.output(value, logits=False)


def bert_block(b: Builder, value: Tensor) -> Tensor:
    """One layer: each network's result is added and then normed."""
    result, value = b.chosen(_attention(b, value), value)
    middle = b.norm(over(result, value), LAYER, True)
    if b.has("blk.attn_norm_2.weight"):
        middle = b.norm(over(middle, value), LAYER, True)
    return b.norm(over(_network(b, middle), middle), LAYER, True)


def _attention(b: Builder, value: Tensor) -> Tensor:
    name = b.shape.architecture
    fused = b.has("blk.attn_qkv.weight", name in FUSED)
    bias = b.has("blk.attn_qkv.bias" if fused else "blk.attn_q.bias", name not in UNBIASED)
    q, k, v = project(b, value, fused, bias)
    if b.has("blk.attn_q_norm.weight"):
        q, k = (whole_norm(b, item, LAYER, True) for item in (q, k))
    if name in ROTATING:
        q, k = rope(q, b.positions()), rope(k, b.positions())
    return attend_uncached(b, Heads(q, k, v), bias=b.has("blk.attn_output.bias", name not in UNBIASED))


def _network(b: Builder, value: Tensor) -> Tensor:
    name, width = b.shape.architecture, b.layer.feed_forward_length
    every = int(b.fact("moe_every_n_layers") or 0)
    facts = b.shape.experts
    if facts is not None and every and b.layer.index % every == 1:
        return experts(b, value, Experts(activation="gelu", gate=False, normed=False, scaled=False, width=width))
    if name in ("bert", "nomic-bert-moe", "jina-bert-v3"):
        return feed_forward(b, value, width, "gelu", False, b.has("blk.ffn_up.bias", True))
    if name == "jina-bert-v2":
        halved = not b.has("blk.ffn_gate.weight", True)
        activation = "geglu" if halved else "gelu"
        return feed_forward(b, value, width, activation, True, b.has("blk.ffn_up.bias"), True)
    return feed_forward(b, value, width)
