"""Dense feed-forward networks and their activations.

Source: build_ffn of src/llama-graph.cpp of llama.cpp b10488.
"""

from __future__ import annotations

from ..model_shape import ModelShape
from .attention import over_in_place
from .builder import Builder
from .tensors import OTHER, Tensor, made, over

# Activations of one half of a matrix by the other.
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
    down_bias: bool | None = None,
) -> Tensor:
    """build_ffn: up, an activation (with a gate beside it), down. ``width``: of what is between."""
    if activation in HALVING:
        hidden = halved(b.linear(value, 2 * width, bias))
    elif gate:
        gated, up = b.linear(value, width, bias), b.linear(value, width, bias)
        hidden = gated_by(b, gated, up, activation, "swiglu_clamp_shexp")
    else:
        hidden = activated(b.linear(value, width, bias), activation)
    return b.linear(hidden, b.width, bias if down_bias is None else down_bias)


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
