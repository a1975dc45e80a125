"""RWKV 6 and 7, alone and grafted onto Qwen 2: a time mix that keeps a state, shifted tokens, and a channel mix.

Source: src/models/rwkv6-base.cpp, rwkv6.cpp, rwkv6qwen2.cpp, rwkv7-base.cpp, rwkv7.cpp and arwkv7.cpp of llama.cpp b10488.
"""

from __future__ import annotations

from typing import Sequence

from .builder import LAYER, RMS, Builder
from .decoder import Recipe, finish
from .feed_forward import feed_forward
from .recurrent import State, states, stored
from .tensors import MUL_MAT, OTHER, Tensor, concat, like, made, over, sum_rows, view

# The architectures that have Qwen's feed-forward network in place of a channel mix.
GRAFTED = frozenset({"rwkv6qwen2", "arwkv7"})
# What version 6 mixes: decay, keys, values, receptance, gate; version 7 adds the rate of learning.
MIXES_6, MIXES_7 = 5, 6


def build_rwkv(b: Builder, layers: Sequence[int]) -> None:
    """The whole graph of any of them."""
    grafted = b.shape.architecture in GRAFTED
    recipe = Recipe() if grafted else Recipe(norm=LAYER, norm_bias=True)
    value = b.embed()
    b.enter(b.shape.layers[layers[0]], False)
    if not grafted:
        value = b.norm(value, LAYER, True)
    first: list[Tensor] = []
    for number in layers:
        b.enter(b.shape.layers[number], number == layers[-1])
        value = b.graph.mark((grafted_block if grafted else rwkv_block)(b, value, first))
    finish(b, recipe, value)


def _time_mix(b: Builder, s: State, into: Tensor, before: Tensor, first: list[Tensor]) -> Tensor:
    if b.shape.architecture in ("rwkv7", "arwkv7"):
        return time_mix_7(b, s, into, before, first)
    return time_mix_6(b, s, into, before)


def _as_sequences(s: State, value: Tensor) -> Tensor:
    return view(value, (value.ne[0], s.each, s.sequences, 1))


def _before(s: State, shift: Tensor, into: Tensor) -> Tensor:
    """The token before each: the stored one of each sequence, then all but the last of these."""
    width = into.ne[0]
    return concat(view(shift, (width, 1, s.sequences, 1)), view(into, (width, s.each - 1, s.sequences, 1)), 1)


def rwkv_block(b: Builder, value: Tensor, first: list[Tensor]) -> Tensor:
    """A time mix and a channel mix, both of which look at the token before."""
    s, width = State(b), b.width
    shift = view(states(b, s.rolling), (width, 2, s.sequences, 1))
    value = _as_sequences(s, value)
    into = b.norm(value, LAYER, True)
    mixed = _time_mix(b, s, into, _before(s, shift, into), first)
    middle = over(_as_sequences(s, mixed), value)
    inner = b.norm(middle, LAYER, True)
    before = _before(s, shift, inner)
    last, last_inner = (view(item, (width, 1, s.sequences, 1)) for item in (into, inner))
    stored(b, concat(last, last_inner, 1))
    middle, inner, before = b.chosen(*(view(item, (width, b.tokens, 1, 1)) for item in (middle, inner, before)))
    result = over(channel_mix(b, inner, before), middle)
    rescaled = int(b.fact("rescale_every_n_layers") or 0) if b.shape.architecture == "rwkv6" else 0
    return over(result) if rescaled and not (b.layer.index + 1) % rescaled else result


def channel_mix(b: Builder, value: Tensor, before: Tensor) -> Tensor:
    """The feed-forward network of a blend of each token with the one before; version 6 gates it."""
    change = over(before, value)
    width = b.layer.feed_forward_length
    gated = over(b.linear(_blend(b, change, value), b.width)) if b.shape.architecture == "rwkv6" else None
    hidden = over(over(b.linear(_blend(b, change, value), width)))
    result = b.linear(hidden, b.width)
    return over(gated, result) if gated is not None else result


def _blend(b: Builder, change: Tensor, value: Tensor) -> Tensor:
    return over(over(change, b.weight), value)


def grafted_block(b: Builder, value: Tensor, first: list[Tensor]) -> Tensor:
    """A time mix in the place of attention."""
    s, width = State(b), b.width
    shift = states(b, s.rolling)
    value = _as_sequences(s, value)
    into = b.norm(value, RMS)
    mixed = _time_mix(b, s, into, _before(s, shift, into), first)
    stored(b, view(into, (width, 1, s.sequences, 1)))
    middle = over(_as_sequences(s, mixed), value)
    (middle,) = b.chosen(view(middle, (width, b.tokens, 1, 1)))
    return over(feed_forward(b, b.norm(middle), b.layer.feed_forward_length), middle)


def time_mix_6(b: Builder, s: State, into: Tensor, before: Tensor) -> Tensor:
    """Blends of each token with the one before, by numbers computed from the token; then the recurrence."""
    grafted = b.shape.architecture in GRAFTED
    width, tokens = b.width, b.tokens
    change, value = view(over(before, into), (width, tokens, 1, 1)), view(into, (width, tokens, 1, 1))
    decay_in, key_in, value_in, receptance_in, gate_in = _mixes_6(b, change, value)
    heads = (s.head_length, width // max(s.head_length, 1), tokens, 1)
    r = view(_with_bias(b, "receptance", receptance_in, width, grafted), heads)
    k, v = (_key_or_value(b, name, item, heads, grafted) for name, item in (("key", key_in), ("value", value_in)))
    gate = over(b.linear(gate_in, width))
    decay = b.linear(over(b.linear(decay_in, int(b.fact("time_decay_extra_dim") or 0))), width)
    decay = view(over(over(over(over(decay, b.weight)))), heads)
    if grafted:
        k = over(k, over(k, decay))
    more = () if grafted else (b.weight,)
    result = recurrence(b, s, (k, v, r, *more, decay))
    if not grafted:
        result = _group_norm(b, result, heads)
    return b.linear(over(result, gate), width)


def _mixes_6(b: Builder, change: Tensor, value: Tensor) -> list[Tensor]:
    width, tokens, rank = b.width, b.tokens, int(b.fact("time_mix_extra_dim") or 0)
    mixed = over(b.linear(_blend(b, change, value), MIXES_6 * rank))
    turned = like(view(mixed, (rank, 1, tokens, MIXES_6)))
    mixed = made(MUL_MAT, (width, 1, tokens, MIXES_6), (view(b.weight, (rank, width, 1, MIXES_6)), turned))
    if not b.has("blk.time_mix_lerp_fused.weight", True):
        parts = [view(mixed, (width, tokens, 1, 1)) for _index in range(MIXES_6)]
        return [over(over(over(part, b.weight), change), value) for part in parts]
    change, value = (view(item, (width, 1, tokens, 1)) for item in (change, value))
    mixed = over(over(over(mixed, b.weight), change), value)
    return [view(mixed, (width, tokens, 1, 1)) for _index in range(MIXES_6)]


def _with_bias(b: Builder, name: str, value: Tensor, width: int, usual: bool) -> Tensor:
    return b.linear(value, width, b.has(f"blk.time_mix_{name}.bias", usual))


def _key_or_value(b: Builder, name: str, value: Tensor, heads: tuple[int, int, int, int], grafted: bool) -> Tensor:
    """The keys or values; those of fewer heads are repeated."""
    length, count, tokens, _rest = heads
    own = b.layer.head_count_kv if grafted else 0
    if own in (0, count):
        return view(_with_bias(b, name, value, length * count, grafted), heads)
    few = view(_with_bias(b, name, value, length * own, grafted), (length, 1, own, tokens))
    return view(made(OTHER, (length, count // own, own, tokens), (few,)), heads)


def recurrence(b: Builder, s: State, sources: Sequence[Tensor]) -> Tensor:
    """The results of all tokens and, behind them, the new states; returns the results."""
    state = states(b, s.elements)
    ne = (b.width, b.tokens + s.head_length * s.sequences, 1, 1)
    result = made(OTHER, ne, (*sources, state))
    stored(b, view(result, (b.width * s.head_length * s.sequences, 1, 1, 1)))
    return view(result, (b.width, b.tokens, 1, 1))


def _group_norm(b: Builder, value: Tensor, heads: tuple[int, int, int, int]) -> Tensor:
    """A norm of each head, with a weight and a bias of all."""
    normed = view(like(view(value, heads)), value.ne)
    return over(over(normed, b.weight), b.weight)


def time_mix_7(b: Builder, s: State, into: Tensor, before: Tensor, first: list[Tensor]) -> Tensor:
    """As version 6 with a rate of learning; values are blended with those of the first layer, which ``first`` keeps."""
    width, tokens = b.width, b.tokens
    heads = (s.head_length, width // max(s.head_length, 1), tokens, 1)
    gating = bool(b.fact("attention.gate_lora_rank")) and b.has("blk.time_mix_g1.weight", True)
    count = MIXES_7 if gating else MIXES_7 - 1
    repeated = made(OTHER, (width, s.each, s.sequences, count), (over(before, into),))
    mixed = over(over(repeated, b.weight), into)
    parts = [view(mixed, (width, tokens, 1, 1)) for _index in range(count)]
    r, decay = b.linear(parts[0], width), _decay_7(b, parts[1])
    k, v = b.linear(parts[2], width), _values_7(b, parts[3], first)
    gate = b.linear(over(b.linear(parts[5], _rank(b, "gate"))), width) if gating else None
    rate = over(over(b.linear(b.linear(parts[4], _rank(b, "iclr")), width), b.weight))
    unit = like(view(over(k, b.weight), heads))
    share = over(k, b.weight)
    k = over(k, over(over(rate, share), share))
    r, decay, k, v, rate = (view(item, heads) for item in (r, decay, k, v, rate))
    result = recurrence(b, s, (r, decay, k, v, over(unit), over(unit, rate)))
    if b.has("blk.time_mix_ln.weight", b.shape.architecture == "rwkv7"):
        result = _group_norm(b, result, heads)
    own = sum_rows(over(over(k, r), b.weight))
    result = over(result, view(over(v, own), (width, tokens, 1, 1)))
    return b.linear(over(result, gate) if gate is not None else result, width)


def _rank(b: Builder, name: str) -> int:
    return int(b.fact(f"attention.{name}_lora_rank") or 0)


def _decay_7(b: Builder, value: Tensor) -> Tensor:
    decay = over(b.linear(over(b.linear(value, _rank(b, "decay"))), b.width), b.weight)
    return over(over(over(decay)))


def _values_7(b: Builder, value: Tensor, first: list[Tensor]) -> Tensor:
    own = b.linear(value, b.width)
    if not first:
        first.append(own)
        return own
    share = over(over(b.linear(b.linear(value, _rank(b, "value_residual_mix")), b.width), b.weight))
    return over(own, over(over(first[0], own), share))
