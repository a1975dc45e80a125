"""Gemma 3n and Gemma 4: embeddings for each layer, layers that read another layer's cache, alternating updates.

Source: src/models/gemma3n.cpp and gemma4.cpp of llama.cpp b10488.
"""

from __future__ import annotations

from typing import Sequence

from .attention import Heads, attend
from .builder import Builder
from .decoder import Recipe, finish
from .feed_forward import feed_forward
from .mixture import Experts, experts
from .tensors import GET_ROWS, I32, OTHER, Tensor, concat, made, outside, over, product, rope, sum_rows, view

# models/gemma3n.cpp: the first layers keep only the largest activations (n_layer_sparsity).
SPARSE_LAYERS = 10


def layer_embeddings(b: Builder) -> Tensor:
    """What each layer adds for each token; looked up on the host."""
    width, count = b.shape.per_layer_embedding_length, b.shape.block_count
    tokens = b.input("layer_tokens", (b.tokens, 1, 1, 1), I32)
    table = outside(b.plan.devices)
    rows = made(GET_ROWS, (width * count, b.tokens, 1, 1), (table, tokens))
    result = over(view(rows, (width, count, b.tokens, 1)))
    b.graph.expand(result)
    return result


def projected_embeddings(b: Builder, value: Tensor, looked_up: Tensor) -> Tensor:
    """project_per_layer_inputs: with a share of the embedding itself, one plane per layer."""
    width, count = b.shape.per_layer_embedding_length, b.shape.block_count
    b.home = b.plan.homes[0]
    shares = view(over(b.linear(value, width * count)), (width, count, b.tokens, 1))
    total = over(over(b.norm(shares, layer=False), looked_up))
    return made(OTHER, (width, b.tokens, count, 1), (total,))


def attention(b: Builder, into: Tensor) -> Tensor:
    """Queries always; keys and values only where the layer owns a cache."""
    layer, tokens = b.layer, b.tokens
    q_shape = (layer.key_length, layer.head_count, tokens, 1)
    q = rope(b.norm(view(b.linear(into, q_shape[0] * q_shape[1]), q_shape)), b.positions())
    shape = (layer.key_length, layer.head_count_kv, tokens, 1)
    if not layer.owns_cache:
        return attend(b, Heads(q, view(q, shape), view(q, shape)), stored=False)
    keys = b.linear(into, shape[0] * shape[1])
    values = b.linear(into, shape[0] * shape[1]) if _own_values(b) else keys
    k = rope(b.norm(view(keys, shape)), b.positions())
    v = b.norm(view(values, shape), weight=False)
    return attend(b, Heads(q, k, v))


def _own_values(b: Builder) -> bool:
    """Gemma 4's larger models take the keys for values in layers that see everything."""
    if b.shape.architecture != "gemma4" or b.layer.sliding:
        return True
    return b.has("blk.attn_v.weight", b.shape.per_layer_embedding_length > 0)


def block_4(b: Builder, value: Tensor, planes: Tensor | None) -> Tensor:
    """One layer of Gemma 4."""
    result = b.norm(attention(b, b.norm(value)))
    middle = over(result, value)
    hidden = _experts_4(b, middle) if b.layer.experts else _dense_4(b, b.norm(middle))
    result = over(b.norm(hidden, layer=False), middle)
    if planes is not None:
        width = b.shape.per_layer_embedding_length
        gate = over(b.linear(result, width))
        own = view(planes, (width, b.tokens, 1, 1))
        result = over(result, b.norm(b.linear(over(gate, own), b.width)))
    return over(result, b.weight) if b.has("blk.layer_output_scale.weight", True) else result


def _dense_4(b: Builder, value: Tensor) -> Tensor:
    return feed_forward(b, value, b.layer.feed_forward_length, "gelu")


def _experts_4(b: Builder, value: Tensor) -> Tensor:
    """A dense network and a mixture of experts beside each other, each with norms of its own."""
    facts = b.experts
    dense = b.norm(_dense_4(b, b.norm(value)))
    into = b.norm(value)
    scores = b.linear(over(over(over(value)), b.weight), facts.count)
    fused = b.has("blk.ffn_gate_up_exps.weight", True)
    routed = experts(b, into, Experts(activation="gelu", fused=fused, scaled=False), scores)
    return over(dense, b.norm(routed))


def build_4(b: Builder, layers: Sequence[int]) -> None:
    """Gemma 4."""
    value = over(b.embed())
    planes = None
    if b.shape.per_layer_embedding_length:
        planes = projected_embeddings(b, value, layer_embeddings(b))
    for number in layers:
        b.enter(b.shape.layers[number], False)
        value = b.graph.mark(block_4(b, value, planes))
    recipe = Recipe(late_rows="after", soft_cap=bool(b.fact("final_logit_softcapping")))
    finish(b, recipe, value)


def magnitude(value: Tensor) -> Tensor:
    """The length of each token's embedding, to scale others to it."""
    return over(sum_rows(over(value)))


def build_3n(b: Builder, layers: Sequence[int]) -> None:
    """Gemma 3n: several streams of embeddings, of which each layer updates one."""
    value = over(b.embed())
    planes = projected_embeddings(b, value, layer_embeddings(b))
    streams = int(b.fact("altup.num_inputs") or 4)
    b.leave()
    target = magnitude(value)
    repeated = made(OTHER, (b.width, b.tokens, streams - 1, 1), (value,))
    added = b.linear(repeated, b.width)
    added = over(over(added, target), magnitude(added))
    value = concat(value, added, 2)
    for number in layers:
        b.enter(b.shape.layers[number], False)
        value = b.graph.mark(block_3n(b, value, planes, streams, number))
    b.leave()
    target = magnitude(_stream(value))
    rest = b.linear(view(value, (b.width, b.tokens, streams - 1, 1)), b.width)
    rest = over(over(rest, target), magnitude(rest))
    merged = _stream(value)
    for _index in range(streams - 1):
        merged = over(merged, _stream(rest))
    b.last = True
    (merged,) = b.chosen(over(merged))
    b.output(b.norm(merged, layer=False), soft_cap=True)


def _stream(value: Tensor) -> Tensor:
    return view(value, (value.ne[0], value.ne[1], 1, 1))


def _modalities(b: Builder, value: Tensor, streams: int) -> Tensor:
    return over(b.linear(over(b.norm(value)), streams))


def predicted(b: Builder, value: Tensor, streams: int) -> Tensor:
    """altup_predict: every stream from all streams."""
    weights = b.linear(_modalities(b, _stream(value), streams), streams * streams)
    turned = made(OTHER, (streams, b.width, b.tokens, 1), (value,))
    mixed = product(turned, view(weights, (streams, streams, b.tokens, 1)))
    mixed.ne = (b.width, streams, b.tokens, 1)
    return over(made(OTHER, value.ne, (mixed,)), value)


def corrected(b: Builder, prediction: Tensor, active: Tensor, streams: int) -> Tensor:
    """altup_correct: what the layer changed, for every stream."""
    weights = _modalities(b, active, streams)
    change = over(active, _stream(prediction))
    factors = over(b.linear(weights, streams))
    factors = made(OTHER, (1, b.tokens, streams, 1), (factors,))
    repeated = made(OTHER, (b.width, b.tokens, streams, 1), (change,))
    return over(over(repeated, factors), prediction)


def block_3n(b: Builder, value: Tensor, planes: Tensor, streams: int, number: int) -> Tensor:
    """One layer of Gemma 3n."""
    prediction = predicted(b, value, streams)
    active = _stream(prediction)
    into = b.norm(active)
    side = over(b.norm(b.linear(b.linear(into, int(b.fact("laurel.rank") or 64)), b.width)), into)
    attended = over(b.norm(attention(b, into)), active)
    middle = over(over(attended, side))
    hidden = b.norm(_network_3n(b, b.norm(middle), number < SPARSE_LAYERS), layer=False)
    changed = corrected(b, prediction, over(hidden, middle), streams)
    width = b.shape.per_layer_embedding_length
    first = over(b.linear(over(_stream(changed), b.weight), width))
    first = b.linear(over(first, view(planes, (width, b.tokens, 1, 1))), b.width)
    first = b.norm(first)
    rest = over(view(changed, (b.width, b.tokens, streams - 1, 1)), first)
    return concat(_stream(changed), rest, 2)


def _network_3n(b: Builder, value: Tensor, sparse: bool) -> Tensor:
    width = b.layer.feed_forward_length
    up, gate = b.linear(value, width), b.linear(value, width)
    if sparse:
        mean = made(OTHER, (1, b.tokens, 1, 1), (gate,))
        deviation = over(over(sum_rows(over(over(gate, mean)))))
        gate = over(over(gate, over(mean, over(deviation))))
    return b.linear(over(up, over(gate)), b.width)
