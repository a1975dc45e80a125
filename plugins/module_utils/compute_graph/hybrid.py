"""Architectures that mix attention with layers that keep a state, and those of such layers alone.

Source: src/models/qwen35.cpp, qwen35moe.cpp, granite-hybrid.cpp, falcon-h1.cpp, nemotron-h.cpp, lfm2.cpp, jamba.cpp, mamba.cpp
of llama.cpp b10488.
"""

from __future__ import annotations

from typing import Callable

from .attention import Heads, attend
from .builder import Builder
from .decoder import Recipe, attention, network
from .feed_forward import feed_forward
from .mixture import Experts, experts
from .recurrent import delta_net, delta_net_joint, mamba1, mamba2, short_convolution
from .tensors import Tensor, like, over, rope, view

DELTA = Recipe(qk_norm="head", late_rows="after", experts=Experts(shared="sigmoid"))
GRANITE = Recipe(rope="finetuned", residual_scaled=True, logit_scaled=True, experts=Experts(shared="plain"))
FALCON = Recipe()
NEMOTRON = Recipe(rope="none", late_rows="after", activation="relu_sqr", gate=False)
NEMOTRON_EXPERTS = Experts("sigmoid", "relu_sqr", gate=False, selection_bias=True, normed=None)
LFM = Recipe(qk_norm="head", experts=Experts(selection_bias=True))
JAMBA = Recipe(rope="none", experts=Experts(normed=False))
MAMBA = Recipe()


def gated_attention(b: Builder, recipe: Recipe, into: Tensor) -> Tensor:
    """Attention whose result is gated by a second half of the queries' matrix (Qwen 3.5, Qwen3-Next)."""
    layer, tokens = b.layer, b.tokens
    length, heads = layer.key_length, layer.head_count
    both = b.linear(into, 2 * length * heads)
    q = b.norm(view(both, (length, heads, tokens, 1)))
    k = b.norm(view(b.linear(into, length * layer.head_count_kv), (length, layer.head_count_kv, tokens, 1)))
    v = view(b.linear(into, layer.value_length * layer.head_count_kv), (layer.value_length, layer.head_count_kv, tokens, 1))
    gate = like(view(both, (length * heads, tokens, 1, 1)))
    q, k = rope(q, b.positions()), rope(k, b.positions())
    result = attend(b, Heads(q, k, v), output=False)
    return b.linear(over(result, over(gate)), b.width)


def delta_block(b: Builder, recipe: Recipe, value: Tensor) -> Tensor:
    """Qwen 3.5 and Qwen3-Next: three delta nets, one attention."""
    into = b.norm(value)
    b.graph.expand(into)
    net = delta_net_joint if b.shape.architecture == "qwen3next" else delta_net
    result = net(b, into) if b.layer.recurrent else gated_attention(b, recipe, into)
    middle = over(result, value)
    return over(network(b, recipe, b.norm(middle)), middle)


def state_block(b: Builder, recipe: Recipe, value: Tensor) -> Tensor:
    """Granite 4: Mamba 2 or attention, then experts or a dense network."""
    into = b.norm(value)
    result = mamba2(b, into) if b.layer.recurrent else attention(b, recipe, into)
    result, value = b.chosen(result, value)
    scaled = bool(b.fact("residual_scale"))
    middle = over(over(result) if scaled else result, value)
    hidden = network(b, recipe, b.norm(middle))
    return over(over(hidden) if scaled else hidden, middle)


def both_block(b: Builder, recipe: Recipe, value: Tensor) -> Tensor:
    """Falcon H1: attention and Mamba 2 side by side in every layer."""
    attended = attention(b, recipe, b.norm(value))
    result = over(attended, mamba2(b, b.norm(value)))
    (middle,) = b.chosen(over(result, value))
    return over(network(b, recipe, b.norm(middle)), middle)


def one_block(b: Builder, recipe: Recipe, value: Tensor) -> Tensor:
    """Nemotron H: each layer is a Mamba 2, an attention or a feed-forward network."""
    into = b.norm(value)
    if b.layer.recurrent:
        result = mamba2(b, into)
    elif b.layer.attention:
        result = attention(b, recipe, into)
    else:
        result = _network_alone(b, recipe, into)
    return over(result, value)


def _network_alone(b: Builder, recipe: Recipe, into: Tensor) -> Tensor:
    facts = b.shape.experts
    if facts is None or not b.layer.experts:
        return network(b, recipe, into)
    latent = int(b.fact("moe_latent_size") or 0)
    narrow = b.linear(into, latent) if latent else into
    routed = experts(b, narrow, NEMOTRON_EXPERTS, b.linear(into, facts.count))
    if latent:
        routed = b.linear(routed, b.width)
    shared = feed_forward(b, into, facts.shared_feed_forward_length, "relu_sqr", gate=False)
    return over(routed, shared)


def short_block(b: Builder, recipe: Recipe, value: Tensor) -> Tensor:
    """LFM2: short convolutions, some attention."""
    return _recurrent_or_attention(b, recipe, value, short_convolution)


def first_state_block(b: Builder, recipe: Recipe, value: Tensor) -> Tensor:
    """Jamba: Mamba 1 or attention, then experts or a dense network."""
    return _recurrent_or_attention(b, recipe, value, mamba1)


def _recurrent_or_attention(b: Builder, recipe: Recipe, value: Tensor, recur: Callable[[Builder, Tensor], Tensor]) -> Tensor:
    into = b.norm(value)
    result = recur(b, into) if b.layer.recurrent else attention(b, recipe, into)
    result, value = b.chosen(result, value)
    middle = over(value, result)
    return over(middle, network(b, recipe, b.norm(middle)))


def mamba_block(b: Builder, recipe: Recipe, value: Tensor) -> Tensor:
    """Mamba: nothing but states."""
    into = b.norm(value)
    result = mamba2(b, into) if b.shape.architecture == "mamba2" else mamba1(b, into)
    result, value = b.chosen(result, value)
    return over(result, value)
