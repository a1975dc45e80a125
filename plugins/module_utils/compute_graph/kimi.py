"""Kimi's delta attention beside compressed attention: Kimi Linear, Kimi K3 and Ling 3 (bailingmoe3).

Source: src/models/kimi-linear.cpp, kimi-k3.cpp, bailingmoe3.cpp and delta-net-base.cpp of llama.cpp b10488.
"""

from __future__ import annotations

from typing import Sequence

from .builder import Builder
from .decoder import Recipe, network
from .feed_forward import situ
from .latent import latent_attention
from .mixture import Experts, experts, selection_biased
from .recurrent import State, convolution, recurrence, states, stored
from .tensors import OTHER, Tensor, concat, like, made, outside, over, sum_rows, view

KIMI = Recipe(experts=Experts(selection_bias=True, shared="plain"))
LING = Recipe(late_rows="after", experts=Experts(normed=None, selection_bias=True, shared="plain"))


def kimi_block(b: Builder, recipe: Recipe, value: Tensor) -> Tensor:
    """Kimi Linear: three of four layers are delta attention, the others attend without positions."""
    into = b.norm(value)
    b.graph.expand(into)
    result = delta_attention(b, into) if b.layer.recurrent else latent_attention(b, into, rotate=False)
    result, value = b.chosen(result, value)
    middle = over(result, value)
    return over(network(b, recipe, b.norm(middle)), middle)


def ling_block(b: Builder, recipe: Recipe, value: Tensor) -> Tensor:
    """Ling 3: as Kimi Linear with positions and a gate of one number per head."""
    into = b.norm(value)
    result = delta_attention(b, into) if b.layer.recurrent else _head_gated(b, into)
    middle = over(result, value)
    return over(network(b, recipe, b.norm(middle)), middle)


def _head_gated(b: Builder, into: Tensor) -> Tensor:
    result = latent_attention(b, into, output=False)
    heads = b.layer.head_count
    ne = (result.ne[0] // heads, heads, b.tokens, 1)
    gate = over(view(b.linear(into, heads), (1, heads, b.tokens, 1)))
    gated = made(OTHER, result.ne, (over(view(result, ne), gate),))
    return b.linear(gated, b.width)


def delta_attention(b: Builder, into: Tensor) -> Tensor:
    """A gated delta net whose every element forgets at its own pace; queries, keys and values roll apart."""
    s = State(b)
    heads, length = b.shape.layers[0].head_count, s.head_length
    rolling = states(b, s.rolling)
    q, k, v = (_rolled(b, s, rolling, into, length, heads) for _index in range(3))
    decay = view(_decay(b, into, length, heads), (length, heads, s.each, s.sequences))
    beta = over(view(b.linear(into, heads), (1, heads, s.each, s.sequences)))
    state = view(states(b, s.elements), (length, length, heads, s.sequences))
    output = like(recurrence(b, s, like(q), like(k), v, decay, beta, state))
    gate = b.linear(into if _one_gate_matrix(b) else b.linear(into, length), heads * length)
    ne = (length, heads, b.tokens, 1)
    gated = over(b.norm(view(output, ne)), over(view(gate, ne)))
    return b.linear(made(OTHER, (heads * length, b.tokens, 1, 1), (gated,)), b.width)


def _rolled(b: Builder, s: State, rolling: Tensor, into: Tensor, length: int, heads: int) -> Tensor:
    """The projection of queries, keys or values and its rolling convolution."""
    channels, kernel = length * heads, max(s.kernel, 1)
    before = view(rolling, (kernel - 1, channels, s.sequences, 1))
    extended = concat(before, view(b.linear(into, channels), (s.each, channels, s.sequences, 1)), 0)
    stored(b, view(extended, (kernel - 1, channels, s.sequences, 1)))
    result = view(convolution(b, s, extended, channels), (channels, b.tokens, 1, 1))
    return view(over(result), (length, heads, s.each, s.sequences))


def _one_gate_matrix(b: Builder) -> bool:
    return b.shape.architecture != "kimi-linear"


def _decay(b: Builder, into: Tensor, length: int, heads: int) -> Tensor:
    """How fast each element forgets: a softplus, or a sigmoid where the pace has a bound."""
    name = b.shape.architecture
    narrow = into if name == "bailingmoe3" else b.linear(into, length)
    decay = over(b.linear(narrow, heads * length), b.weight)
    ne = (length, heads, b.tokens, 1)
    if name == "kimi-linear" or (name == "kimi-k3" and b.fact("kda.gate_lower_bound") is None):
        return over(view(over(decay), ne), _pace(b, heads))
    bounded = over(view(decay, ne), _pace(b, heads))
    return over(over(over(bounded) if name == "kimi-k3" else bounded))


def _pace(b: Builder, heads: int) -> Tensor:
    """A number per head. It stays on the host: no device can scan with a state of one element, which is what it is taken for."""
    ne = (1, heads, 1, 1)
    return view(outside(b.plan.devices, ne), ne)


class Checkpoints:
    """Kimi K3's residuals: inputs of some layers are kept, and every network sees a learned mixture of them."""

    def __init__(self, b: Builder) -> None:
        self.b = b
        self.count = int(b.fact("attn_res.block_size") or 0)
        self.stack: Tensor | None = None

    def keeps(self) -> bool:
        """Whether the input of the current layer is kept."""
        return bool(self.count) and self.b.layer.index % self.count == 0

    def push(self, value: Tensor) -> None:
        """Keep a value."""
        kept = view(value, (value.ne[0], 1, value.ne[1], 1))
        self.stack = kept if self.stack is None else concat(self.stack, kept, 1)

    def mixed(self, value: Tensor) -> Tensor:
        """The value and the kept ones, weighed by a score of each."""
        stack, weight = self.stack, self.b.weight
        if stack is None:
            return value
        count, tokens = stack.ne[1], stack.ne[2]
        kept_scores = view(sum_rows(over(over(stack), weight)), (count, tokens, 1, 1))
        shares = over(concat(kept_scores, sum_rows(over(over(value), weight)), 0))
        of_kept, own = (like(view(shares, (rows, tokens, 1, 1))) for rows in (count, 1))
        return over(made(OTHER, value.ne, (stack, of_kept)), over(value, own))


def build_k3(b: Builder, layers: Sequence[int]) -> None:
    """Kimi K3."""
    value = b.embed()
    kept = Checkpoints(b)
    for number in layers:
        b.enter(b.shape.layers[number], False)
        value = b.graph.mark(k3_block(b, kept, value))
    b.leave()
    value = kept.mixed(value)
    b.last = True
    (value,) = b.chosen(value)
    b.finish(value)


def k3_block(b: Builder, kept: Checkpoints, value: Tensor) -> Tensor:
    """One layer: where the input is kept, the sum begins anew with what attention adds."""
    into, fresh = kept.mixed(value) if kept.count else value, kept.keeps()
    if fresh:
        kept.push(value)
    into = b.norm(into)
    b.graph.expand(into)
    result = delta_attention(b, into) if b.layer.recurrent else _gated_latent(b, into)
    total = result if fresh else over(value, result)
    inner = b.norm(kept.mixed(total) if kept.count else total)
    hidden = _latent_mixture(b, inner) if b.layer.experts else _situ_network(b, inner, b.layer.feed_forward_length)
    return over(total, hidden)


def _gated_latent(b: Builder, into: Tensor) -> Tensor:
    result = latent_attention(b, into, rotate=False, output=False)
    if b.has("blk.attn_gate.weight", True):
        result = over(result, over(b.linear(into, result.ne[0])))
    return b.linear(result, b.width)


def _situ_network(b: Builder, into: Tensor, width: int) -> Tensor:
    return b.linear(situ(b, b.linear(into, width), b.linear(into, width)), b.width)


def _latent_mixture(b: Builder, into: Tensor) -> Tensor:
    """Experts of a narrower width, and shared ones of the full width."""
    facts = b.experts
    latent, narrow = _latent_input(b, into)
    kind = Experts(activation="situ", selection_bias=selection_biased(b, True), normed=None)
    routed = experts(b, narrow, kind, b.linear(into, facts.count))
    if b.has("blk.ffn_routed_norm.weight", latent):
        routed = b.norm(routed)
    if b.has("blk.ffn_routed_up.weight", latent):
        routed = b.linear(routed, b.width)
    shared = facts.shared_feed_forward_length or facts.feed_forward_length * facts.shared_count
    return over(routed, _situ_network(b, into, shared)) if facts.shared_count else routed


def _latent_input(b: Builder, into: Tensor) -> tuple[bool, Tensor]:
    width = int(b.fact("expert_latent_length") or 0)
    return bool(width), b.linear(into, width) if width else into
