"""Granite with adapters that a router chooses for each token: every matrix has a low-rank addition.

Source: src/models/granite-switch.cpp of llama.cpp b10488.
"""

from __future__ import annotations

from typing import Sequence

from .attention import Heads, attend, over_in_place
from .builder import Builder
from .decoder import Recipe, finish, rotates
from .tensors import GET_ROWS, I32, MUL_MAT_ID, OTHER, Tensor, like, made, outside, over, rope, view

RECIPE = Recipe(rope="finetuned", logit_scaled=True)


def build_switched(b: Builder, layers: Sequence[int]) -> None:
    """The whole graph; a layer of its own behind the others finds the adapter of each token."""
    tokens = b.input("substituted_tokens", (b.tokens, 1, 1, 1), I32)
    value = made(GET_ROWS, (b.width, b.tokens, 1, 1), (outside(b.plan.devices), tokens))
    if b.fact("embedding_scale"):
        value = over(value)
    b.enter(b.shape.layers[b.shape.block_count], False)
    adapters = routed(b)
    for number in layers:
        b.enter(b.shape.layers[number], number == layers[-1])
        result = attention(b, b.norm(value), adapters)
        if b.last:
            result, value, adapters = b.chosen(result, value, view(adapters, (1, b.tokens, 1, 1)))
            adapters = view(adapters, (b.plan.outputs, 1, 1, 1))
        value = b.graph.mark(with_network(b, result, value, adapters))
    finish(b, RECIPE, value)


def routed(b: Builder) -> Tensor:
    """The number of each token's adapter: attention of one head to the tokens that switch."""
    ne = (b.layer.key_length, 1, b.tokens, 1)
    signals = (b.input(name, (b.tokens, 1, 1, 1)) for name in ("router_query", "router_key", "router_value"))
    q, k, v = (made(OTHER, ne, (view(signal, (1, 1, b.tokens, 1)),)) for signal in signals)
    found = like(view(attend(b, Heads(q, k, v), output=False), (1, b.tokens, 1, 1)))
    rounded = over(over_in_place(view(found, (b.tokens, 1, 1, 1))))
    return made(OTHER, rounded.ne, (rounded,), I32)


def switched(b: Builder, value: Tensor, width: int, adapters: Tensor) -> Tensor:
    """The addition of each token's adapter."""
    tokens, rank = value.ne[1], int(b.fact("adapters.lora_rank") or 0)
    numbers = view(adapters, (1, tokens, 1, 1))
    narrow = made(MUL_MAT_ID, (rank, 1, tokens, 1), (b.weight, view(value, (value.ne[0], 1, tokens, 1)), numbers))
    return view(made(MUL_MAT_ID, (width, 1, tokens, 1), (b.weight, narrow, numbers)), (width, tokens, 1, 1))


def switched_linear(b: Builder, value: Tensor, width: int, adapters: Tensor) -> Tensor:
    """A matrix with the adapter's addition."""
    return over(b.linear(value, width), switched(b, value, width, adapters))


def attention(b: Builder, into: Tensor, adapters: Tensor) -> Tensor:
    """Queries, keys and values out of one matrix, each with an addition of its own."""
    length, heads, kv_heads = b.layer.key_length, b.layer.head_count, b.layer.head_count_kv
    whole = b.linear(into, length * (heads + 2 * kv_heads))
    parts = []
    for count in (heads, kv_heads, kv_heads):
        part = like(view(whole, (length * count, b.tokens, 1, 1)))
        part = over(part, switched(b, into, length * count, adapters))
        parts.append(view(part, (length, count, b.tokens, 1)))
    q, k, v = parts
    if rotates(b, RECIPE):
        q, k = rope(q, b.positions()), rope(k, b.positions())
    return switched_linear(b, attend(b, Heads(q, k, v), output=False), b.width, adapters)


def with_network(b: Builder, result: Tensor, value: Tensor, adapters: Tensor) -> Tensor:
    """The feed-forward network, and how both results are added to what came in."""
    scaled = bool(b.fact("residual_scale"))
    middle = over(over(result) if scaled else result, value)
    into, width = b.norm(middle), b.layer.feed_forward_length
    gate, up = (switched_linear(b, into, width, adapters) for _index in range(2))
    hidden = switched_linear(b, over(over(gate), up), b.width, adapters)
    return over(over(hidden) if scaled else hidden, middle)
