"""Decoders with a step that no recipe describes.

Source: src/models/{llama4,bitnet,deci,arctic,grok,grovemoe,smallthinker,chameleon,talkie,plamo2}.cpp of llama.cpp b10488.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Sequence

from .attention import Heads, attend, project
from .builder import Builder
from .decoder import Recipe, block, build_decoder, network
from .feed_forward import feed_forward
from .mixture import Experts, experts
from .recurrent import State, convolved, scan, states
from .tensors import NONE, OTHER, Tensor, like, made, over, rope, view

# models/llama4.cpp: every fourth layer does not rotate (n_no_rope_layer_step); Scout norms queries and keys.
UNROTATED_STEP = 4
LLAMA_4 = Recipe(experts=Experts(gating="sigmoid", normed=False, before=True, shared="plain"))


def llama4_block(b: Builder, recipe: Recipe, value: Tensor) -> Tensor:
    """Rotated queries may be normed, others are scaled by their position."""
    into = b.norm(value)
    q, k, v = project(b, into)
    if (b.layer.index + 1) % UNROTATED_STEP:
        q, k = rope(q, b.positions()), rope(k, b.positions())
        if b.fact("expert_count") and _scout(b):
            q, k = over(q), over(k)
    else:
        q = over(q, b.input("scale", (1, 1, b.tokens, 1)))
    result, value = b.chosen(attend(b, Heads(q, k, v)), value)
    middle = over(result, value)
    return over(network(b, recipe, b.norm(middle)), middle)


def _scout(b: Builder) -> bool:
    facts = b.shape.experts
    return facts is not None and facts.count != 128


def bitnet_block(b: Builder, recipe: Recipe, value: Tensor) -> Tensor:
    """Norms before both output matrices."""
    q, k, v = project(b, b.norm(value))
    q, k = rope(q, b.positions()), rope(k, b.positions())
    result = b.linear(b.norm(attend(b, Heads(q, k, v), output=False)), b.width)
    result, value = b.chosen(result, value)
    middle = over(result, value)
    into, width = b.norm(middle), b.layer.feed_forward_length
    gate, up = b.linear(into, width), b.linear(into, width)
    hidden = b.norm(made(OTHER, up.ne, (gate, up)))
    return over(b.linear(hidden, b.width), middle)


def deci_block(b: Builder, recipe: Recipe, value: Tensor) -> Tensor:
    """Layers without attention, with a matrix in its place, or without a feed-forward network."""
    heads = b.layer.head_count
    result = value
    if heads:
        result = b.norm(value)
        if not b.layer.head_count_kv:
            result = b.linear(result, b.width)
        else:
            q, k, v = project(b, result)
            result = attend(b, Heads(rope(q, b.positions()), rope(k, b.positions()), v))
    if not b.layer.feed_forward_length:
        return value
    result, value = b.chosen(result, value)
    middle = over(result, value) if heads else result
    return over(feed_forward(b, b.norm(middle), b.layer.feed_forward_length), middle)


def arctic_block(b: Builder, recipe: Recipe, value: Tensor) -> Tensor:
    """A dense network, and experts that see the layer's input."""
    q, k, v = project(b, b.norm(value))
    result = attend(b, Heads(rope(q, b.positions()), rope(k, b.positions()), v))
    result, value = b.chosen(result, value)
    middle = over(result, value)
    dense = over(feed_forward(b, b.norm(middle), b.layer.feed_forward_length), middle)
    return over(experts(b, b.norm(value), Experts(scaled=False)), dense)


def grok_block(b: Builder, recipe: Recipe, value: Tensor) -> Tensor:
    """Soft-capped attention, norms behind it and behind the experts, beside which a dense network may stand."""
    facts = b.experts
    q, k, v = project(b, b.norm(value))
    result = attend(b, Heads(rope(q, b.positions()), rope(k, b.positions()), v), grok=True)
    result, value = b.chosen(result, value)
    middle = over(b.norm(result), value)
    into = b.norm(middle)
    gate = b.has("blk.ffn_gate_exps.weight", True)
    hidden = experts(b, into, Experts(activation="gelu", gate=gate, scaled=False))
    if b.has("blk.ffn_up.weight", bool(facts.feed_forward_length)):
        dense = feed_forward(b, into, b.layer.feed_forward_length, "gelu")
        hidden = over(over(dense, hidden))
    return over(b.norm(hidden), middle)


def build_grok(b: Builder, layers: Sequence[int]) -> None:
    """Scaled embeddings and logits, whether the header says so or not."""
    soft_cap = bool(b.fact("final_logit_softcapping"))
    recipe = Recipe(embedding_scaled=not b.fact("embedding_scale"), logit_scaled=True, soft_cap=soft_cap)
    build_decoder(b, recipe, layers, grok_block)


def small_thinker_block(b: Builder, recipe: Recipe, value: Tensor) -> Tensor:
    """The experts are chosen before attention."""
    facts = b.experts
    chances = b.linear(value, facts.count)
    q, k, v = project(b, b.norm(value))
    if b.layer.index % UNROTATED_STEP:
        q, k = rope(q, b.positions()), rope(k, b.positions())
    result = attend(b, Heads(q, k, v))
    result, value, chances = b.chosen(result, value, chances)
    middle = over(result, value)
    hidden = experts(b, b.norm(middle), Experts("sigmoid", "relu", scaled=False), chances)
    return over(hidden, middle)


def grove_block(b: Builder, recipe: Recipe, value: Tensor) -> Tensor:
    """Experts, and smaller ones of which each belongs to a group of them."""
    facts = b.experts
    q, k, v = project(b, b.norm(value))
    q, k = rope(b.norm(q), b.positions()), rope(b.norm(k), b.positions())
    result, value = b.chosen(attend(b, Heads(q, k, v)), value)
    middle = over(result, value)
    into = b.norm(middle)
    chances = b.linear(into, facts.count)
    kind = Experts(selects=True, scaled=False)
    first = experts(b, into, kind, chances)
    groups = facts.count // max(int(b.fact("experts_per_group") or 1), 1)
    width = int(b.fact("expert_chunk_feed_forward_length") or facts.feed_forward_length)
    chunks = replace(kind, width=width, used=min(facts.used_count, groups), grouped=groups != facts.count)
    second = experts(b, first, chunks, chances)
    return over(over(first, over(second)), middle)


def build_chameleon(b: Builder, layers: Sequence[int]) -> None:
    """A plain decoder whose logits of image tokens are overwritten."""
    build_decoder(b, Recipe(qk_norm="optional_layer"), layers, chameleon_block)
    logits = b.graph.nodes[-1]
    logits.output = False
    image = Tensor()
    image.op, image.ne, image.pinned = NONE, (IMAGE_TOKENS, 1, 1, 1), b.home
    blocked = view(image, image.ne)
    blocked.op = OTHER
    result = like(logits, blocked)
    result.output = True
    b.graph.expand(result)


# models/chameleon.cpp: the ids of image tokens.
IMAGE_TOKENS = 8196 - 4


def chameleon_block(b: Builder, recipe: Recipe, value: Tensor) -> Tensor:
    """The larger model norms results, the smaller one inputs."""
    swapped = bool(b.fact("swin_norm"))
    changed = replace(recipe, pre_norm=not swapped, ffn_norm=not swapped)
    return block(b, replace(changed, post_attention_norm=swapped, post_ffn_norm=swapped), value)


def build_talkie(b: Builder, layers: Sequence[int]) -> None:
    """Norms without weights; every layer adds a share of the embeddings."""
    value = skip = b.norm(b.embed(), weight=False)
    for number in layers:
        b.enter(b.shape.layers[number], number == layers[-1])
        q, k, v = project(b, b.norm(value, weight=False))
        q, k = rope(q, b.positions()), rope(k, b.positions())
        heads = Heads(b.norm(q), b.norm(k, weight=False), v)
        result, value, skip = b.chosen(attend(b, heads), value, skip)
        middle = over(result, value)
        hidden = feed_forward(b, b.norm(middle, weight=False), b.layer.feed_forward_length)
        value = b.graph.mark(over(over(hidden, middle), over(skip, b.weight)))
    b.leave()
    b.output(b.norm(value, weight=False), scale=True)


# models/plamo2.cpp: the width of the time step's matrix is at least this.
STEP_WIDTH = 64


def plamo2_block(b: Builder, recipe: Recipe, value: Tensor) -> Tensor:
    """Mamba 2 with a convolution of its own, or attention; norms around both networks."""
    into = b.norm(value)
    if b.layer.recurrent:
        result = plamo2_state(b, into)
    else:
        q, k, v = project(b, into, fused=True)
        result = attend(b, Heads(rope(b.norm(q), b.positions()), rope(b.norm(k), b.positions()), v))
    middle = over(b.norm(result), value)
    hidden = b.norm(feed_forward(b, b.norm(middle), b.layer.feed_forward_length, "swiglu"))
    hidden, middle = b.chosen(hidden, middle)
    return over(hidden, middle)


def plamo2_state(b: Builder, into: Tensor) -> Tensor:
    """PLaMo 2's recurrent network: everything of a head beside each other, norms of what the scan takes."""
    s = State(b)
    length = s.inner // s.ranks
    rolling = states(b, s.rolling)
    both = b.linear(view(into, (b.width, s.each, s.sequences, 1)), 2 * s.inner)
    turned = like(view(both, (2 * length, s.ranks, s.each, s.sequences)))
    x = like(view(turned, (s.inner, s.each, s.sequences, 1)))
    z = view(turned, (length, s.ranks, s.each, s.sequences))
    x = convolved(b, s, x, s.inner, False, rolling=rolling)
    step_width = max(STEP_WIDTH, b.width // 16)
    mixed = b.linear(x, step_width + 2 * s.size)
    first, second = (b.norm(view(mixed, (s.size, s.each, s.sequences, 1))) for _index in range(2))
    step = b.norm(view(mixed, (step_width, s.each, s.sequences, 1)))
    step = b.linear(step, s.ranks, True)
    heads = view(x, (length, s.ranks, s.each, s.sequences))
    result = scan(b, s, heads, step, b.weight, view(first, first.ne), view(second, second.ne))
    result.on_device = s.size in (128, 256) and length % 16 == 0
    y = over(view(result, heads.ne), over(heads, b.weight))
    y = made(OTHER, y.ne, (like(z), y))
    return view(b.linear(view(y, (s.inner, s.each, s.sequences, 1)), b.width), (b.width, b.tokens, 1, 1))
