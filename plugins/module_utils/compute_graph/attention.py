"""Attention: projections, caches, the attention itself with flash attention or without.

Source: src/llama-graph.cpp (build_qkv, build_attn, build_attn_mha, build_attn_inp_*), src/llama-kv-cache.cpp (cpy_k, cpy_v,
get_k, get_v, build_input_k_rot) and ggml/src/ggml-cuda/fattn.cu of llama.cpp b10488.
"""

from __future__ import annotations

from typing import NamedTuple

from ..memory_kv import row_bytes, value_width_max
from ..tensor_types import is_quantised
from .builder import Builder
from .kernels import Cached, flash_attention_extra, flash_attention_supported
from .tensors import F16, F32, FLASH_ATTENTION, I64, OTHER, Tensor, like, made, over, product, view, written

FULL, WINDOW = "", "_window"


class Heads(NamedTuple):
    """Queries, keys and values of all tokens, heads in the second dimension."""

    q: Tensor
    k: Tensor
    v: Tensor


def project(b: Builder, value: Tensor, fused: bool = False, bias: bool = False, clamp: bool = False, head: int = 0) -> Heads:
    """build_qkv: from separate matrices, or slices of one."""
    layer, tokens = b.layer, b.tokens
    key, length = layer.key_length, layer.value_length
    if head:
        key = length = head
    shapes = ((key, layer.head_count), (key, layer.head_count_kv), (length, layer.head_count_kv))
    if fused:
        whole = b.linear(value, sum(a * c for a, c in shapes), bias)
        if clamp:
            whole = over_in_place(whole)
        parts = [view(whole, (a, c, tokens, 1)) for a, c in shapes]
        for part in parts:
            part.strided = True
        return Heads(*parts)
    values = [b.linear(value, a * c, bias) for a, c in shapes]
    if clamp:
        values = [over_in_place(item) for item in values]
    return Heads(*(view(item, (a, c, tokens, 1)) for item, (a, c) in zip(values, shapes)))


def over_in_place(value: Tensor) -> Tensor:
    """An operation whose result is the source's memory: clamp, scale_inplace."""
    result = view(value, value.ne)
    result.op = OTHER
    return result


def rotated(b: Builder, value: Tensor, length: int, name: str) -> Tensor:
    """A Hadamard rotation of each head, which a quantised cache gets (llama_mul_mat_hadamard)."""
    rotation = b.input(f"{name}_rotation{b.layer.sliding}", (length, length, 1, 1))
    elements = value.ne[0] * value.ne[1] * value.ne[2] * value.ne[3]
    value_rows = like(value) if value.strided else value
    result = product(rotation, view(value_rows, (length, elements // length, 1, 1)))
    return view(result, value.ne)


def key_rotation(b: Builder) -> int:
    """Length of the keys' rotation, 0 where there is none (build_input_k_rot)."""
    lengths = cached_lengths(b, "key_length")
    if not is_quantised(b.plan.kv_type_k) or len(lengths) != 1 or 0 in lengths or b.shape.layers[0].key_length % 64:
        return 0
    rotation = 64
    while next(iter(lengths)) % (2 * rotation) == 0:
        rotation *= 2
    return rotation


def value_rotation(b: Builder) -> int:
    """Length of the values' rotation, 0 where there is none (build_input_v_rot)."""
    if not is_quantised(b.plan.kv_type_v) or len(cached_lengths(b, "value_length")) != 1:
        return 0
    return 0 if b.shape.layers[0].value_length % 64 else 64


def cached_lengths(b: Builder, name: str) -> set[int]:
    """The head lengths that occur in the cache of the current layer."""
    return {getattr(layer, name) for layer in b.shape.layers if layer.owns_cache and layer.sliding == b.layer.sliding}


def attend(
    b: Builder,
    heads: Heads,
    width: int = 0,
    bias: bool = False,
    output: bool = True,
    sinks: bool = False,
    soft_cap: bool = False,
    grok: bool = False,
    stored: bool = True,
    window: bool = True,
    position_bias: Tensor | None = None,
) -> Tensor:
    """build_attn with a cache of keys and values. ``stored`` False: the layer reads another layer's cache.

    ``window``: the architecture has one of two caches per layer; then keys are listed before values.
    """
    q, k, v = heads
    key_turn, value_turn = key_rotation(b), value_rotation(b)
    if key_turn:
        q, k = rotated(b, q, key_turn, "key"), rotated(b, k, key_turn, "key") if stored else k
    if value_turn and stored:
        v = rotated(b, v, value_turn, "value")
    windowed = bool(b.shape.window_tokens) and window
    for value in (q, k, v) if windowed else (q, v, k):
        if stored or value is q:
            b.graph.expand(value)
    kind = WINDOW if windowed and b.layer.sliding else FULL
    if stored:
        store_keys(b, k, kind)
        store_values(b, v, kind)
    cells = b.plan.window_cells if kind == WINDOW else b.plan.context_cells
    keys, values = cached(b, k, cells, b.plan.kv_type_k), cached(b, v, cells, b.plan.kv_type_v)
    if b.plan.values_by_row or (position_bias is not None and b.plan.flash):
        values = values._replace(turned=b.plan.kv_type_v)
    result = mixed(b, q, keys, values, mask(b, kind, cells), sinks, soft_cap, grok, position_bias)
    if value_turn:
        result = rotated(b, result, value_turn, "value")
    return b.linear(result, width or b.width, bias) if output else result


def store_keys(b: Builder, keys: Tensor, kind: str = FULL) -> None:
    """cpy_k."""
    rows = b.input(f"key_rows{kind}", (b.tokens, 1, 1, 1), I64)
    b.graph.expand(written(b.cache, keys, rows))


def store_values(b: Builder, values: Tensor, kind: str = FULL) -> None:
    """cpy_v: without flash attention the cache is transposed, one row per element, padded to the widest layer."""
    if b.plan.flash or b.plan.values_by_row:
        b.graph.expand(written(b.cache, values, b.input(f"value_rows{kind}", (b.tokens, 1, 1, 1), I64)))
        return
    widest = value_width_max(b.shape)
    elements = values.ne[0] * values.ne[1]
    if values.strided:
        values = like(values)
    if elements < widest:
        values = made(OTHER, (widest, b.tokens, 1, 1), (values,))
    rows = b.input(f"value_rows{kind}", (b.tokens * widest, 1, 1, 1), I64)
    b.graph.expand(written(b.cache, values, rows))


def cached(b: Builder, value: Tensor, cells: int, kind: str) -> Cached:
    """get_k, get_v: a view of the cache; its bytes matter where it has to be copied to another backend."""
    length, heads = value.ne[0], value.ne[1]
    rows = view(b.cache, (length, cells, heads, b.plan.streams))
    rows.bytes_outside = row_bytes(length * heads, kind) * cells * b.plan.streams
    return Cached(length, heads, cells, b.plan.streams, rows)


def mask(b: Builder, kind: str, cells: int) -> Tensor:
    """Which cells each token sees."""
    plan = b.plan
    return b.input(f"mask{kind}", (cells, b.tokens // plan.streams, 1, plan.streams), F16 if plan.flash else F32)


def mixed(
    b: Builder,
    q: Tensor,
    k: Cached,
    v: Cached,
    seen: Tensor,
    sinks: bool = False,
    soft_cap: bool = False,
    grok: bool = False,
    position_bias: Tensor | None = None,
    decompressed: int = 0,
) -> Tensor:
    """build_attn_mha: the attention of all heads, their results side by side."""
    tokens = q.ne[2] // k.streams
    if b.plan.flash and position_bias is None:
        result = _flash(b, q, k, v, seen, tokens)
        if decompressed:
            result = linear_heads(b, view(result, (v.length, tokens, q.ne[1], k.streams)), decompressed)
            result = like(view(result, (decompressed, q.ne[1], tokens, k.streams)))
        result = view(result, (result.ne[0] * result.ne[1], q.ne[2], 1, 1))
    else:
        result = _explicit(b, q, k, v, seen, sinks, soft_cap, grok, position_bias, decompressed)
        if b.plan.devices and not b.plan.kv_offload:
            result.pinned = b.plan.devices
    b.graph.expand(result)
    return result


def linear_heads(b: Builder, value: Tensor, width: int) -> Tensor:
    """A matrix of weights for each head."""
    return b.linear(value, width)


def _flash(b: Builder, q: Tensor, k: Cached, v: Cached, seen: Tensor, tokens: int) -> Tensor:
    keys, values = _halved(k, b.plan.kv_type_k), _halved(v, b.plan.kv_type_v)
    result = made(FLASH_ATTENTION, (v.length, q.ne[1], tokens, k.streams), (q, keys, values, seen))
    if b.plan.devices:
        result.on_device = flash_attention_supported(b, q, k, v)
        result.extra_bytes = flash_attention_extra(b, result, k, v, tokens)
    return result


def _halved(item: Cached, kind: str) -> Tensor:
    """Flash attention reads F16: what is F32, computed just now or kept so, is converted as a whole (build_attn_mha)."""
    if item.computed:
        return made(OTHER, item.rows.ne, (item.rows,), F16) if item.rows.dtype == F32 else item.rows
    if kind != "f32":
        return item.rows
    return made(OTHER, (item.length, item.cells, item.heads, item.streams), (item.rows,), F16)


def _explicit(
    b: Builder,
    q: Tensor,
    k: Cached,
    v: Cached,
    seen: Tensor,
    sinks: bool,
    soft_cap: bool,
    grok: bool,
    position_bias: Tensor | None,
    decompressed: int,
) -> Tensor:
    tokens = q.ne[2] // k.streams
    values = v.rows
    weights = product(k.rows, q)
    weights.ne = (k.cells, tokens, q.ne[1], k.streams)
    for _index in range(3 * (soft_cap or grok)):
        weights = over(weights)
    if position_bias is not None:
        weights = over(weights, position_bias)
    weights = over(weights, seen, *((b.weight,) if sinks else ()))
    if v.turned is not None:
        values = made(OTHER, (v.cells, v.length, v.heads, v.streams), (values,), F16)
        values.bytes_outside = row_bytes(v.cells, v.turned) * v.length * v.heads * v.streams
    result = product(values, weights)
    result.ne = (v.length, tokens, q.ne[1], k.streams)
    if decompressed:
        result = linear_heads(b, result, decompressed)
    length = result.ne[0]
    return made(OTHER, (length * q.ne[1], q.ne[2], 1, 1), (result,))


def attend_uncached(
    b: Builder,
    heads: Heads,
    output: bool = True,
    bias: bool = False,
    window: bool = False,
    position_bias: Tensor | None = None,
) -> Tensor:
    """build_attn without a cache: encoders see the tokens of their batch, and nothing else."""
    for value in heads:
        b.graph.expand(value)
    q, k, v = heads
    kind = WINDOW if window else FULL
    seen = b.input(f"mask{kind}", (b.tokens, b.tokens, 1, 1), F16 if b.plan.flash else F32)
    keys = Cached(k.ne[0], k.ne[1], b.tokens, 1, k, True)
    values = Cached(v.ne[0], v.ne[1], b.tokens, 1, v, True, "f32")
    result = mixed(b, q, keys, values, seen, position_bias=position_bias)
    return b.linear(result, b.width, bias) if output else result


def attend_latent(
    b: Builder, q: Tensor, k: Tensor, v: Tensor, decompressed: int, output: bool = True, seen: Tensor | None = None
) -> Tensor:
    """build_attn of compressed attention: the cache holds one row per token, which is key and value alike."""
    for value in (q, v, k):
        b.graph.expand(value)
    store_keys(b, k)
    cells = b.plan.context_cells
    keys = cached(b, k, cells, b.plan.kv_type_k)
    rows = view(keys.rows, (v.ne[0], cells, 1, b.plan.streams))
    rows.bytes_outside = keys.rows.bytes_outside - row_bytes(k.ne[0] - v.ne[0], b.plan.kv_type_k)
    values = Cached(v.ne[0], 1, cells, b.plan.streams, rows, turned=b.plan.kv_type_k)
    result = mixed(b, q, keys, values, mask(b, FULL, cells) if seen is None else seen, decompressed=decompressed)
    return b.linear(result, b.width) if output else result
