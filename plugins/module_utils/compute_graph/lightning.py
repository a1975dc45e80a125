"""MiniMax-01: lightning attention, which keeps a state, in seven of eight layers.

Source: src/models/minimax-01.cpp of llama.cpp b10488.
"""

from __future__ import annotations

from .attention import Heads, attend, project
from .builder import Builder
from .decoder import Recipe
from .mixture import Experts, mixture
from .recurrent import State, states, stored
from .tensors import MUL_MAT, Tensor, like, made, over, rope, view

MINIMAX = Recipe(experts=Experts())


def minimax_block(b: Builder, recipe: Recipe, value: Tensor) -> Tensor:
    """Each network's result is added to its normed input, which is scaled."""
    into = b.norm(value)
    result = lightning_attention(b, into) if b.layer.recurrent else full_attention(b, into)
    result, into = b.chosen(result, into)
    inner = b.norm(over(result, over(into)))
    return over(mixture(b, recipe.experts or Experts(), inner), over(inner))


def full_attention(b: Builder, into: Tensor) -> Tensor:
    """Usual attention. Its matrices are apart; those that are fused in the file belong to the other layers."""
    q, k, v = project(b, into)
    return attend(b, Heads(rope(q, b.positions()), rope(k, b.positions()), v))


def lightning_attention(b: Builder, into: Tensor) -> Tensor:
    """Attention within the micro-batch, fading with the distance, and to the state of what came before."""
    s = State(b)
    states(b, s.rolling)
    heads, length, each, sequences = b.layer.head_count, b.layer.key_length, s.each, s.sequences
    tokens = view(into, (b.width, each, 1, sequences))
    whole = over(b.linear(tokens, 3 * heads * length))
    q, k, v = (view(whole, (length, heads, each, sequences)) for _index in range(3))
    old = view(states(b, s.elements), (length, length, heads, sequences))
    turned = like(view(v, (each, length, heads, sequences)))
    result = _attended(b, s, q, k, old, turned)
    b.graph.expand(result)
    fading = over(view(k, k.ne), _decay(b, s, "k_decay", (1, heads, each, sequences)))
    added = made(MUL_MAT, old.ne, (like(view(fading, turned.ne)), turned))
    slopes = over(over(over(b.input("slopes", (heads, 1, 1, 1)))))
    stored(b, over(over(old, view(slopes, (1, 1, heads, 1))), added))
    flat = view(like(view(result, q.ne)), (length * heads, each, 1, sequences))
    gated = over(over(b.linear(tokens, length * heads)), b.norm(flat))
    return view(b.linear(gated, b.width), (b.width, b.tokens, 1, 1))


def _attended(b: Builder, s: State, q: Tensor, k: Tensor, old: Tensor, turned: Tensor) -> Tensor:
    """What queries find in the state, and in the tokens before them."""
    length, heads, each, sequences = q.ne
    ne = (length, each, heads, sequences)
    faded = over(q, _decay(b, s, "q_decay", (1, heads, each, sequences)))
    before = made(MUL_MAT, ne, (old, view(faded, ne)))
    scores = made(MUL_MAT, (each, each, heads, sequences), (view(k, ne), view(q, ne)))
    scores = over(scores, _decay(b, s, "diagonal_decay", scores.ne))
    return over(before, made(MUL_MAT, ne, (turned, scores)))


def _decay(b: Builder, s: State, name: str, ne: tuple[int, int, int, int]) -> Tensor:
    """An input that is filled once and sharpened for each layer."""
    return over(over(b.input(name, ne)))
