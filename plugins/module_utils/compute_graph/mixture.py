"""Mixtures of experts: which ones a token uses, what they compute, and the shared ones beside them.

Source: build_moe_ffn of src/llama-graph.cpp of llama.cpp b10488.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from .attention import over_in_place
from .builder import Builder
from .feed_forward import activated, feed_forward, gated_by
from .tensors import I32, MUL_MAT_ID, OTHER, Tensor, made, over, rows_of, sum_rows, view


@dataclass(frozen=True)
class Experts:
    """How a mixture of experts differs. None: as the header or the file's tensors say, or what is usual.

    ``gating``: softmax, sigmoid (of the scores), softmax_weight (of the chosen ones), sqrt_softplus. ``before``: the weights of
    the experts multiply what goes in (Llama 4), not what comes out. ``selects``: a sigmoid of the scores chooses, ``grouped``:
    what is chosen stands for a group (GroveMoE). ``shared``: plain, sigmoid or silu (what gates it) or None where no expert is
    shared; ``halved``: the sum with it is scaled. ``width`` and ``used`` stand in for the header's.
    """

    gating: str = "softmax"
    activation: str = "silu"
    gate: bool = True
    bias: bool = False
    selection_bias: bool = False
    normed: bool | None = True
    scaled: bool | None = None
    before: bool = False
    fused: bool = False
    selects: bool = False
    grouped: bool = False
    shared: str | None = None
    halved: bool = False
    width: int = 0
    used: int = 0


def mixture(b: Builder, kind: Experts, value: Tensor) -> Tensor:
    """Experts, and the shared ones beside them."""
    kind = replace(
        kind,
        fused=b.has("blk.ffn_gate_up_exps.weight", kind.fused),
        selection_bias=selection_biased(b, kind.selection_bias),
    )
    result = experts(b, value, kind)
    # Granite's smaller mixtures have no shared expert, and their headers no length of it.
    usual = not b.shape.architecture.startswith("granite") or bool(b.fact("expert_shared_feed_forward_length"))
    if kind.shared is None or not b.has("blk.ffn_up_shexp.weight", usual):
        return result
    total = over(result, shared(b, kind, value))
    return over(total) if kind.halved else total


def selection_biased(b: Builder, usual: bool) -> bool:
    """Whether the file has a bias for the choice of experts, under either name (hy-v3.cpp knows no suffix)."""
    return b.has("blk.exp_probs_b.bias", usual) or b.has("blk.exp_probs_b", usual)


def shared(b: Builder, kind: Experts, value: Tensor) -> Tensor:
    """The network that every token passes; a number per token may gate it."""
    facts = b.experts
    width = facts.shared_feed_forward_length or expert_width(b, kind) * max(facts.shared_count, 1)
    result = feed_forward(b, value, width, gate=kind.gate)
    if kind.shared == "sigmoid":
        return over(result, over(b.linear(value, 1)))
    if kind.shared == "silu":
        number = b.linear(value, 1)
        return over(result, over(over(number), number))
    return result


def expert_width(b: Builder, kind: Experts) -> int:
    """Elements between the matrices of one expert."""
    facts = b.experts
    return kind.width or facts.feed_forward_length or b.layer.feed_forward_length


def experts(b: Builder, value: Tensor, kind: Experts, scores: Tensor | None = None) -> Tensor:
    """The experts that are not shared. ``scores``: of each expert, where they come from elsewhere."""
    facts = b.experts
    used, tokens = kind.used or facts.used_count, value.ne[1]
    if scores is None:
        scores = b.linear(value, facts.count, kind.bias)
    chance = _chance(scores, kind)
    chosen = view(_ranked(b, scores, chance, kind), (used, tokens, 1, 1))
    if kind.grouped:
        chosen = made(OTHER, chosen.ne, (over(made(OTHER, chosen.ne, (chosen,))),), I32)
    shares = _weighed(b, rows_of(view(chance, (1, facts.count, tokens, 1)), chosen), kind)
    b.graph.expand(shares)
    into = view(value, (value.ne[0], 1, tokens, 1))
    if kind.before:
        into = over(made(OTHER, (value.ne[0], used, tokens, 1), (into,)), shares)
    result = _of_each(b, kind, _hidden(b, kind, into, chosen), chosen, value.ne[0])
    if not kind.before:
        result = over(result, shares)
    b.graph.expand(result)
    return _summed(b, result)


def _chance(scores: Tensor, kind: Experts) -> Tensor:
    if kind.gating == "sqrt_softplus":
        return over(over(scores))
    return over(scores) if kind.gating in ("softmax", "sigmoid") else scores


def _ranked(b: Builder, scores: Tensor, chance: Tensor, kind: Experts) -> Tensor:
    """The experts of each token, the best first."""
    selection = over(chance, b.weight) if kind.selection_bias else chance
    selection = scores if kind.before else over(scores) if kind.selects else selection
    groups = int(b.fact("expert_group_count") or 0)
    if groups > 1:
        selection = _of_best_groups(selection, groups, int(b.fact("expert_group_used_count") or 1))
    return made(OTHER, (selection.ne[0], selection.ne[1], 1, 1), (selection,), I32)


def _weighed(b: Builder, shares: Tensor, kind: Experts) -> Tensor:
    """The weights of the chosen experts: softmax over them, or divided by their sum, or times a number."""
    whole = shares.ne
    flat = (whole[1], whole[2], 1, 1)
    if kind.gating == "softmax_weight":
        shares = view(over(view(shares, flat)), whole)
    if bool(b.fact("expert_weights_norm")) if kind.normed is None else kind.normed:
        rows = view(shares, flat)
        shares = view(over(rows, over_in_place(sum_rows(rows))), whole)
    scaled = (b.fact("expert_weights_scale") or 0.0) not in (0.0, 1.0) if kind.scaled is None else kind.scaled
    return over(shares) if scaled else shares


def _of_best_groups(selection: Tensor, groups: int, used_groups: int) -> Tensor:
    """Experts outside the best groups can not be chosen (DeepSeek-V3)."""
    count, tokens = selection.ne[0], selection.ne[1]
    each = count // groups
    grouped = view(selection, (each, groups, tokens, 1))
    best_two = view(made(OTHER, grouped.ne, (grouped,), I32), (2, groups, tokens, 1))
    scores = rows_of(view(grouped, (1, each, groups, tokens)), best_two)
    scores = view(sum_rows(view(scores, (2, groups, tokens, 1))), (groups, tokens, 1, 1))
    best = view(made(OTHER, (groups, tokens, 1, 1), (scores,), I32), (used_groups, tokens, 1, 1))
    kept = rows_of(grouped, best)
    emptied = over(grouped)
    masked = made(OTHER, emptied.ne, (kept, best, emptied))
    masked.root = emptied
    return view(masked, (count, tokens, 1, 1))


def _of_each(b: Builder, kind: Experts, value: Tensor, chosen: Tensor, width: int) -> Tensor:
    """mul_mat_id: the matrix of each chosen expert."""
    result = made(MUL_MAT_ID, (width, chosen.ne[0], chosen.ne[1], 1), (b.weight, value, chosen))
    return over(result, b.weight, chosen) if kind.bias else result


def _hidden(b: Builder, kind: Experts, into: Tensor, chosen: Tensor) -> Tensor:
    """What is between the matrices of each chosen expert."""
    width = expert_width(b, kind)
    if kind.fused:
        whole = _of_each(b, kind, into, chosen, 2 * width)
        halves = tuple(view(whole, (width, *whole.ne[1:])) for _index in range(2))
        return made(OTHER, halves[0].ne, halves)
    if not kind.gate:
        return activated(_of_each(b, kind, into, chosen, width), kind.activation)
    gate, up = (_of_each(b, kind, into, chosen, width) for _index in range(2))
    return gated_by(b, gate, up, kind.activation, "swiglu_clamp_exp")


def _summed(b: Builder, value: Tensor) -> Tensor:
    """The results of the chosen experts added up."""
    width, used, tokens = value.ne[0], value.ne[1], value.ne[2]
    parts = [view(value, (width, tokens, 1, 1)) for _index in range(used)]
    result = parts[0]
    for part in parts[1:]:
        result = over(result, part)
        b.graph.expand(result)
    return made(OTHER, result.ne, (result,)) if used == 1 else result
