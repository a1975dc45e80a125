"""The graph of a usual decoder, driven by a recipe: what differs between architectures and changes what is in memory.

Source: src/models/*.cpp of llama.cpp b10488. Architectures that a recipe cannot describe have builders of their own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Sequence

from .attention import Heads, attend, attend_uncached, project
from .builder import RMS, Builder
from .feed_forward import feed_forward
from .mixture import Experts, mixture
from .tensors import Tensor, outside, over, rope, rows_of, view

# Every fourth layer knows no positions (n_no_rope_layer_step of src/llama-hparams.h).
UNROTATED_STEP = 4
# models/baichuan.cpp: the larger model has biases of attention instead of rotations.
BAICHUAN_7B_BLOCKS = 32
# StableLM 2 12B and larger have no norm before the feed-forward network.
STABLE_12B_BLOCKS = 40


@dataclass(frozen=True)
class Recipe:
    """A decoder of alternating attention and feed-forward networks. The defaults are LLaMA's.

    ``qk_norm``: none, head (each head before the rotation), after (each head after it), full (all heads together, before they
    are split), optional (as head where the file has its weights). ``rope``: all, none, sliding (only layers that slide),
    sliding_or_dense (those, and layers without experts), sliding_or_none (those, or all where nothing slides), three_of_four,
    finetuned (unless the header says no), small (Baichuan's smaller model). ``residual``: serial, parallel, same, same_last
    (one norm for both networks, results added in different order), neox (two norms, parallel where the header says so),
    stablelm. ``attention_gate``: wide (a number per element), head (per head). ``late_rows``: where all tokens pass the last
    layer too, the rows for output are chosen before or after the last norm.
    """

    norm: str = RMS
    norm_bias: bool = False
    norm_weight: bool = True
    pre_norm: bool = True
    fused_qkv: bool = False
    qkv_bias: bool = False
    clamp: bool = False
    qk_norm: str = "none"
    qk_norm_kind: str = RMS
    rope: str = "all"
    q_scaled: bool = False
    sinks: bool = False
    attention_soft_cap: bool = False
    attention_bias: bool = False
    post_attention_norm: bool = False
    ffn_norm: bool = True
    post_ffn_norm: bool = False
    residual: str = "serial"
    residual_scaled: bool = False
    activation: str = "silu"
    gate: bool = True
    ffn_bias: bool = False
    experts: Experts | None = None
    embedding_scaled: bool = False
    embedding_norm: str = ""
    learned_positions: bool = False
    logit_scaled: bool = False
    soft_cap: bool = False
    output_bias: bool = False
    late_rows: str = ""
    cached: bool = True
    logits: bool = True
    attention_gate: str = ""
    value_scaled: bool = False
    first_pre_norm: bool = True
    norm_before_rows: bool = False
    rows: bool = True
    early_scaled: bool = False
    deep_stack: bool = False
    value_first: bool = False
    half_width: bool = False
    second_norm: bool = False


Block = Callable[[Builder, Recipe, Tensor], Tensor]


def build_decoder(b: Builder, recipe: Recipe, layers: Sequence[int], block_of: Block | None = None) -> None:
    """The whole graph, of the blocks whose numbers are given."""
    stack = int(b.fact("n_deepstack_layers") or 0) if recipe.deep_stack else 0
    value = b.embed((1 + stack) * b.width)
    if recipe.embedding_scaled:
        value = over(value)
    if recipe.learned_positions:
        value = over(value, rows_of(_position_table(b), b.positions()))
    if recipe.embedding_norm:
        b.enter(b.shape.layers[layers[0]], False)
        value = b.norm(value, recipe.norm, recipe.norm_bias, recipe.embedding_norm != "plain")
    for number in layers:
        b.enter(b.shape.layers[number], number == layers[-1] and recipe.rows and not recipe.late_rows)
        before = value
        value = (block_of or block)(b, recipe, before)
        if number < stack and b.embedded is not None:
            value = over(value, view(b.embedded, (b.width, value.ne[1], 1, 1)))
        b.graph.mark(value if value is not before else b.graph.nodes[-1])
    finish(b, recipe, value)


def finish(b: Builder, recipe: Recipe, value: Tensor) -> None:
    """The last norm, the rows that are output where no layer chose them, and the logits."""
    b.leave()
    b.last = bool(recipe.late_rows)
    if recipe.late_rows == "before":
        value.output = True
        (value,) = b.chosen(value)
    value = b.norm(value, recipe.norm, recipe.norm_bias, recipe.norm_weight, layer=False)
    if recipe.late_rows == "after":
        value.output = True
        (value,) = b.chosen(value)
    scaled = recipe.logit_scaled and b.fact("logit_scale") != 0.0
    b.output(value, scaled, recipe.soft_cap, recipe.output_bias, recipe.logits, recipe.early_scaled)


def _position_table(b: Builder) -> Tensor:
    return outside(b.plan.devices, (b.width, 1, 1, 1))


def normed(b: Builder, recipe: Recipe, value: Tensor) -> Tensor:
    """The recipe's norm."""
    return b.norm(value, recipe.norm, recipe.norm_bias, recipe.norm_weight)


def block(b: Builder, recipe: Recipe, value: Tensor) -> Tensor:
    """One layer: attention, feed-forward network, and how both are added to what came in."""
    first = b.layer.index == 0 and not recipe.first_pre_norm
    into = normed(b, recipe, value) if recipe.pre_norm and not first else value
    second = recipe.second_norm and b.has("blk.attn_norm_2.weight", b.layer.head_count_kv > 1)
    result = attention(b, recipe, normed(b, recipe, value) if second else into)
    if recipe.residual in ("same", "same_last", "parallel"):
        return _parallel(b, recipe, value, into, result)
    if recipe.norm_before_rows and recipe.post_attention_norm:
        result = normed(b, recipe, result)
    result, value = b.chosen(result, value)
    if recipe.residual == "stablelm" and not b.has("blk.ffn_norm.weight", b.shape.block_count < STABLE_12B_BLOCKS):
        return _from_norm(b, recipe, value, into, result)
    if recipe.residual == "neox" and b.fact("use_parallel_residual", True):
        hidden = network(b, recipe, normed(b, recipe, value))
        return over(over(hidden, value), result)
    if recipe.post_attention_norm and not recipe.norm_before_rows:
        result = normed(b, recipe, result)
    if recipe.residual_scaled:
        result = over(result)
    middle = over(value, result) if recipe.value_first else over(result, value)
    hidden = normed(b, recipe, middle) if recipe.ffn_norm else middle
    hidden = network(b, recipe, hidden)
    if recipe.post_ffn_norm:
        hidden = normed(b, recipe, hidden)
    if recipe.residual_scaled:
        hidden = over(hidden)
    return over(hidden, middle)


def _from_norm(b: Builder, recipe: Recipe, value: Tensor, into: Tensor, result: Tensor) -> Tensor:
    """The feed-forward network sees attention's norm, its result is added to attention's (StableLM 12B)."""
    (into,) = b.chosen(into)
    middle = over(result, value)
    return over(network(b, recipe, into), middle)


def _parallel(b: Builder, recipe: Recipe, value: Tensor, into: Tensor, result: Tensor) -> Tensor:
    """Both networks see the same norm of what came in (Falcon, Command R, Phi-2)."""
    result, value, into = b.chosen(result, value, into)
    hidden = network(b, recipe, into)
    if recipe.residual == "same":
        return over(over(result, hidden), value)
    if recipe.residual == "same_last":
        return over(over(hidden, result), value)
    return over(over(hidden, value), result)


def attention(b: Builder, recipe: Recipe, into: Tensor) -> Tensor:
    """Projections, norms and rotations of queries and keys, attention, its output matrix."""
    fused = b.has("blk.attn_qkv.weight", recipe.fused_qkv)
    bias = b.has("blk.attn_qkv.bias" if fused else "blk.attn_q.bias", recipe.qkv_bias)
    heads = project(b, into, fused, bias, recipe.clamp)
    heads = positioned(b, recipe, heads)
    bias = b.has("blk.attn_output.bias", recipe.attention_bias)
    if not recipe.cached:
        return attend_uncached(b, heads, bias=bias, window=b.layer.sliding)
    result = attend(b, heads, bias=bias, output=not recipe.attention_gate, sinks=recipe.sinks, soft_cap=recipe.attention_soft_cap)
    if recipe.attention_gate:
        result = b.linear(gated(b, recipe.attention_gate, into, result), b.width)
    return over(result) if recipe.value_scaled else result


def gated(b: Builder, kind: str, into: Tensor, result: Tensor) -> Tensor:
    """The result of attention times a gate of its own, before the output matrix."""
    heads, length = b.layer.head_count, b.layer.value_length
    if kind == "wide":
        return over(result, over(b.linear(into, length * heads)))
    gate = view(over(b.linear(into, heads)), (1, heads, b.tokens, 1))
    by_head = over(view(result, (length, heads, b.tokens, 1)), gate)
    return view(by_head, (length * heads, b.tokens, 1, 1))


def positioned(b: Builder, recipe: Recipe, heads: Heads) -> Heads:
    """Queries and keys with their norms and rotations."""
    q, k, v = heads
    if recipe.qk_norm == "full":
        q, k = (whole_norm(b, item, recipe.qk_norm_kind) for item in (q, k))
    if recipe.qk_norm == "head" or (recipe.qk_norm == "optional" and b.has("blk.attn_q_norm.weight", optional_norm(b))):
        q, k = (_head_norm(b, recipe, item) for item in (q, k))
    if rotates(b, recipe):
        q, k = (rope(item, b.positions(), *b.rope_factors()) for item in (q, k))
    if recipe.qk_norm == "after":
        q, k = (_head_norm(b, recipe, item) for item in (q, k))
    if recipe.q_scaled:
        q = over(q)
    if b.fact("attention.temperature_scale"):
        q = over(q, b.input("scale", (1, 1, b.tokens, 1)))
    return Heads(q, k, v)


def optional_norm(b: Builder) -> bool:
    """Architectures of which only the larger models norm queries and keys: GLM 4.5 but not its Air, Command R+."""
    least = {"glm4moe": 92, "command-r": 64, "stablelm": 40}.get(b.shape.architecture, 0)
    return bool(least) and b.shape.block_count >= least


def _head_norm(b: Builder, recipe: Recipe, value: Tensor) -> Tensor:
    return b.norm(value, recipe.qk_norm_kind)


def whole_norm(b: Builder, value: Tensor, kind: str, bias: bool = False) -> Tensor:
    """A norm of all heads together."""
    whole = value.src[0] if not value.strided else view(value, (value.ne[0] * value.ne[1], value.ne[2], 1, 1))
    return view(b.norm(whole, kind, bias), value.ne)


def rotates(b: Builder, recipe: Recipe) -> bool:
    """Whether this layer rotates queries and keys."""
    if recipe.rope == "sliding":
        return b.layer.sliding
    if recipe.rope == "sliding_or_dense":
        return b.layer.sliding or not b.layer.experts
    if recipe.rope == "three_of_four":
        return bool((b.layer.index + 1) % UNROTATED_STEP)
    if recipe.rope == "sliding_or_none":
        return b.layer.sliding or not b.shape.window_tokens
    if recipe.rope == "small":
        return b.shape.block_count == BAICHUAN_7B_BLOCKS
    if recipe.rope == "finetuned":
        return b.fact("rope.scaling.finetuned") is not False
    return recipe.rope != "none"


def network(b: Builder, recipe: Recipe, value: Tensor) -> Tensor:
    """The dense network or the mixture of experts of this layer."""
    if recipe.experts is None or not b.layer.experts:
        return feed_forward(
            b,
            value,
            b.layer.feed_forward_length // (2 if recipe.half_width else 1),
            recipe.activation,
            recipe.gate,
            b.has("blk.ffn_up.bias", recipe.ffn_bias),
        )
    return mixture(b, recipe.experts, value)
