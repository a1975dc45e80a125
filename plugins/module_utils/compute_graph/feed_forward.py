"""Feed-forward networks: dense ones, and mixtures of experts.

Source: src/llama-graph.cpp of llama.cpp b10488 (build_ffn, build_moe_ffn).
"""

from __future__ import annotations

from typing import Optional

from ..model_shape import ModelShape
from .attention import over_in_place
from .builder import Builder
from .tensors import I32, MUL_MAT_ID, OTHER, Tensor, made, over, rows_of, sum_rows, view

# Activations that one operation computes from gate and up; the others are functions of one value.
GATED = frozenset({"silu", "gelu", "relu", "swiglu_oai"})
HALVING = frozenset({"swiglu", "geglu", "reglu"})
# A limit below this is none (build_ffn).
SMALLEST_LIMIT = 1e-6


def feed_forward(
    b: Builder,
    value: Tensor,
    width: int,
    activation: str = "silu",
    gate: bool = True,
    bias: bool = False,
    down_bias: Optional[bool] = None,
    output_width: int = 0,
) -> Tensor:
    """build_ffn: up, an activation (with a gate beside it), down. ``width``: of what is between."""
    if activation in HALVING:
        hidden = halved(b.linear(value, 2 * width, bias))
    elif gate:
        gated, up = b.linear(value, width, bias), b.linear(value, width, bias)
        hidden = gated_by(b, gated, up, activation, "swiglu_clamp_shexp")
    else:
        hidden = activated(b.linear(value, width, bias), activation)
    return b.linear(hidden, output_width or b.width, bias if down_bias is None else down_bias)


def halved(value: Tensor) -> Tensor:
    """swiglu and its like: one half gates the other."""
    a, c, d, e = value.ne
    return made(OTHER, (a // 2, c, d, e), (value,))


def gated_by(b: Builder, gate: Tensor, up: Tensor, activation: str, limit: str) -> Tensor:
    """The activation of a gate times what it gates; in the layers where the header limits both, step by step."""
    if activation == "situ":
        return situ(b, gate, up)
    if activation == "silu" and limits(b.shape, b.layer.index, limit):
        up = over_in_place(up)
        return over(over_in_place(over(gate)), up)
    return made(OTHER, up.ne, (gate, up))


def limits(shape: ModelShape, index: int, key: str) -> bool:
    """Whether the header limits the activations of a layer (swiglu_clamp_exp and _shexp of src/llama-hparams.h)."""
    said = shape.fact(key) or 0.0
    if isinstance(said, tuple):
        said = said[index] if index < len(said) else 0.0
    return float(said) > SMALLEST_LIMIT


def situ(b: Builder, gate: Tensor, up: Tensor) -> Tensor:
    """Kimi K3's activation: both sides bounded by a hyperbolic tangent."""
    bounded = over(over(over(over(gate))), over(gate))
    if (b.fact("activation.situ_linear_beta") or 0.0) > 0.0:
        up = over(over(over(up)))
    return over(bounded, up)


def activated(value: Tensor, activation: str) -> Tensor:
    """An activation of one value."""
    result = over(value)
    return over(result) if activation == "relu_sqr" else result


def experts(
    b: Builder,
    value: Tensor,
    width: int,
    count: int,
    used: int,
    gating: str = "softmax",
    activation: str = "silu",
    gate: bool = True,
    fused: bool = False,
    bias: bool = False,
    selection_bias: bool = False,
    normed: bool = True,
    scaled: bool = False,
    before: bool = False,
    logits: Optional[Tensor] = None,
    output_width: int = 0,
    selects: bool = False,
    grouped: bool = False,
) -> Tensor:
    """build_moe_ffn. ``before``: the weights of the experts multiply what goes in (Llama 4), not what comes out.

    ``selects``: a sigmoid of the scores chooses, ``grouped``: what is chosen stands for a group (GroveMoE).
    """
    tokens = value.ne[1]
    scores = b.linear(value, count, bias) if logits is None else logits
    chance = over(scores) if gating in ("softmax", "sigmoid") else scores
    if gating == "sqrt_softplus":
        chance = over(over(scores))
    selection = over(chance, b.weight) if selection_bias else chance
    selection = scores if before else over(scores) if selects else selection
    groups = int(b.fact("expert_group_count") or 0)
    if groups > 1:
        selection = of_best_groups(selection, count, groups, int(b.fact("expert_group_used_count") or 1), tokens)
    ranked = made(OTHER, (count, tokens, 1, 1), (selection,), I32)
    chosen = view(ranked, (used, tokens, 1, 1))
    if grouped:
        scaled_ids = over(made(OTHER, chosen.ne, (chosen,)))
        chosen = made(OTHER, chosen.ne, (scaled_ids,), I32)
    shares = rows_of(view(chance, (1, count, tokens, 1)), chosen)
    shares = weighed(shares, used, tokens, gating, normed, scaled)
    b.graph.expand(shares)
    into = view(value, (value.ne[0], 1, tokens, 1))
    if before:
        into = over(made(OTHER, (value.ne[0], used, tokens, 1), (into,)), shares)
    hidden = _hidden(b, into, chosen, width, used, activation, gate, fused, bias)
    result = _of_each(b, hidden, chosen, output_width or value.ne[0], used, bias)
    if not before:
        result = over(result, shares)
    b.graph.expand(result)
    return summed(b, result, used, tokens)


def weighed(shares: Tensor, used: int, tokens: int, gating: str, normed: bool, scaled: bool) -> Tensor:
    """The weights of the chosen experts: softmax over them, or divided by their sum, or times a number."""
    whole = (1, used, tokens, 1)
    if gating == "softmax_weight":
        shares = view(over(view(shares, (used, tokens, 1, 1))), whole)
    if normed:
        rows = view(shares, (used, tokens, 1, 1))
        shares = view(over(rows, over_in_place(sum_rows(rows))), whole)
    return over(shares) if scaled else shares


def of_best_groups(selection: Tensor, count: int, groups: int, used_groups: int, tokens: int) -> Tensor:
    """Experts outside the best groups can not be chosen (DeepSeek-V3)."""
    each = count // groups
    grouped = view(selection, (each, groups, tokens, 1))
    best_two = view(made(OTHER, (each, groups, tokens, 1), (grouped,), I32), (2, groups, tokens, 1))
    scores = rows_of(view(grouped, (1, each, groups, tokens)), best_two)
    scores = sum_rows(view(scores, (2, groups, tokens, 1)))
    scores = view(scores, (groups, tokens, 1, 1))
    best = view(made(OTHER, (groups, tokens, 1, 1), (scores,), I32), (used_groups, tokens, 1, 1))
    kept = rows_of(grouped, best)
    emptied = over(grouped)
    masked = made(OTHER, emptied.ne, (kept, best, emptied))
    masked.root = emptied
    return view(masked, (count, tokens, 1, 1))


def _of_each(b: Builder, value: Tensor, chosen: Tensor, width: int, used: int, bias: bool) -> Tensor:
    """mul_mat_id: the matrix of each chosen expert."""
    result = made(MUL_MAT_ID, (width, used, value.ne[2], 1), (b.weight, value, chosen))
    return over(result, b.weight, chosen) if bias else result


def _hidden(
    b: Builder, into: Tensor, chosen: Tensor, width: int, used: int, activation: str, gate: bool, fused: bool, bias: bool
) -> Tensor:
    if fused:
        whole = _of_each(b, into, chosen, 2 * width, used, bias)
        parts = [view(whole, (width, used, whole.ne[2], 1)) for _ in range(2)]
        return made(OTHER, parts[0].ne, tuple(parts))
    if not gate:
        return activated(_of_each(b, into, chosen, width, used, bias), activation)
    gated, up = (_of_each(b, into, chosen, width, used, bias) for _index in range(2))
    return gated_by(b, gated, up, activation, "swiglu_clamp_exp")


def summed(b: Builder, value: Tensor, used: int, tokens: int) -> Tensor:
    """The results of the chosen experts added up."""
    parts = [view(value, (value.ne[0], tokens, 1, 1)) for _ in range(used)]
    result = parts[0]
    for part in parts[1:]:
        result = over(result, part)
        b.graph.expand(result)
    return made(OTHER, result.ne, (result,)) if used == 1 else result
