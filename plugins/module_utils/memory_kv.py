"""The caches of a loaded model in bytes, layer by layer: keys and values, and the states of recurrent layers.

Source: src/llama-kv-cache*.cpp, src/llama-memory-*.cpp, src/llama-hparams.cpp and create_memory of src/llama-model.cpp,
llama.cpp b10488.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import lru_cache

from .memory_settings import Cells, Settings, cells_of, padded
from .model_shape import LayerShape, ModelShape
from .tensor_types import BLOCKS

F32_BYTES = 4
# src/llama-kv-cache-dsv4.cpp: tokens per compressed row of the two kinds of layers.
SPARSE_RATIO = 4
HEAVY_RATIO = 128


@dataclass(frozen=True)
class LayerCache:
    """Bytes of one layer's caches."""

    full_bytes: int
    window_bytes: int
    state_bytes: int

    @property
    def kv_bytes(self) -> int:
        return self.full_bytes + self.window_bytes


NOTHING = LayerCache(0, 0, 0)


@lru_cache(maxsize=512)
def layer_caches(shape: ModelShape, settings: Settings) -> tuple[LayerCache, ...]:
    """The caches of each layer, in order. ``settings`` resolved (``memory_settings.resolved``)."""
    cells = cells_of(settings, shape.window_tokens, shape.causal)
    if shape.rules.memory == "none":
        return (NOTHING,) * len(shape.layers)
    if shape.rules.memory == "dsv4":
        return tuple(_compressing_cache(shape, layer, settings, cells) for layer in shape.layers)
    alike: dict[tuple[object, ...], LayerCache] = {}
    found = []
    for layer in shape.layers:
        kind = _kind(layer)
        if kind not in alike:
            alike[kind] = _layer_cache(shape, layer, settings, cells)
        found.append(alike[kind])
    return tuple(found)


def _kind(layer: LayerShape) -> tuple[object, ...]:
    """What a layer's caches depend on."""
    heads = (layer.head_count_kv, layer.key_length, layer.value_length)
    return (*heads, layer.owns_cache, layer.sliding, layer.indexer, layer.recurrent)


def row_bytes(elements: int, type_name: str) -> int:
    """Bytes of so many elements of a ggml type, in whole blocks."""
    block_elements, block_bytes = BLOCKS[type_name]
    return -(-elements // block_elements) * block_bytes


def _layer_cache(shape: ModelShape, layer: LayerShape, settings: Settings, cells: Cells) -> LayerCache:
    count = (cells.window_cells if layer.sliding else cells.context_cells) * cells.streams
    kv_bytes = 0
    if layer.owns_cache:
        kv_bytes += count * _key_row(layer.key_length * layer.head_count_kv, settings)
        kv_bytes += count * _value_row(shape, layer.value_length * layer.head_count_kv, settings, value_width_max(shape))
    if layer.indexer:
        # An indexer has one key head; its cache is built like the main one, values included where that has them.
        kv_bytes += count * _key_row(shape.indexer_length, settings)
        kv_bytes += count * _value_row(shape, layer.value_length, settings, max(item.value_length for item in shape.layers))
    state = state_bytes(shape, settings) if layer.recurrent else 0
    return LayerCache(0 if layer.sliding else kv_bytes, kv_bytes if layer.sliding else 0, state)


def _key_row(elements: int, settings: Settings) -> int:
    return row_bytes(elements, settings.kv_type_k)


def _value_row(shape: ModelShape, elements: int, settings: Settings, widest: int) -> int:
    """Without flash attention V is stored transposed, as wide as the widest layer; compressed attention has no V."""
    if shape.mla is not None:
        return 0
    return row_bytes(widest if settings.flash_attention == "off" else elements, settings.kv_type_v)


@lru_cache(maxsize=512)
def value_width_max(shape: ModelShape) -> int:
    """Elements of V of the widest layer (n_embd_v_gqa_max of src/llama-hparams.cpp: of all layers, cached or not)."""
    return max(layer.value_length * layer.head_count_kv for layer in shape.layers)


def state_bytes(shape: ModelShape, settings: Settings) -> int:
    """Bytes that one recurrent layer keeps: F32, for each sequence, whatever the context."""
    if shape.state is None:
        return 0
    return F32_BYTES * (shape.state.rolling_elements + shape.state.state_elements) * settings.parallel


def _compressing_cache(shape: ModelShape, layer: LayerShape, settings: Settings, cells: Cells) -> LayerCache:
    """DeepSeek-V4: a sliding window of keys, and for layers that compress, rows for each 4 or 128 tokens and their state.

    Its streams stay separate even where the cache is unified.
    """
    streams = settings.parallel
    total = cells.total_context_tokens
    per_stream = total if settings.kv_unified else cells.context_cells
    window = per_stream if settings.swa_full else padded(min(per_stream, shape.window_tokens + cells.ubatch_tokens))
    width = layer.key_length * layer.head_count_kv
    window_bytes = window * streams * _key_row(width, settings)
    full_bytes, state = 0, 0
    if layer.compress_ratio in (SPARSE_RATIO, HEAVY_RATIO):
        sparse = layer.compress_ratio == SPARSE_RATIO
        rows = padded(max(1, -(-per_stream // layer.compress_ratio)))
        full_bytes = rows * streams * _key_row(width, settings)
        state = _compressor_state(layer.key_length, 2 if sparse else 1, layer.compress_ratio)
        if sparse:
            full_bytes += rows * streams * _key_row(shape.indexer_length, settings)
            state += _compressor_state(shape.indexer_length, 2, layer.compress_ratio)
    state = 0 if layer.nextn else state * streams
    return LayerCache(full_bytes, window_bytes, state)


def _compressor_state(width: int, factor: int, ratio: int) -> int:
    """Two F32 planes (values and scores) of ``factor`` windows, each ``factor`` rows wide."""
    return 2 * F32_BYTES * (factor * width) * (factor * ratio)


# tools/server/server-context.cpp and common/common.h of llama.cpp b10488: at most so many checkpoints of a sequence, one for
# each so many tokens, and besides up to three of the request that is being answered.
CHECKPOINTS = 32
CHECKPOINT_SPACING_TOKENS = 8192
CHECKPOINTS_OF_A_REQUEST = 3


@lru_cache(maxsize=512)
def sliding_widths(shape: ModelShape) -> tuple[tuple[tuple[int, int], int], ...]:
    """Elements of K and V of the layers that slide, and how many layers there are of each."""
    sliding = [layer for layer in shape.layers if layer.owns_cache and layer.sliding]
    widths = ((layer.key_length * layer.head_count_kv, layer.value_length * layer.head_count_kv) for layer in sliding)
    return tuple(Counter(widths).items())


def checkpoint_bytes(shape: ModelShape, settings: Settings) -> int:
    """Bytes of host memory that a server's context checkpoints grow to: copies of what cannot be rolled back, which is the
    state of recurrent layers and the window of sliding ones. ``settings`` resolved.
    """
    if settings.embedding or settings.swa_full or shape.encoder:
        return 0
    one_sequence = sum(cache.state_bytes for cache in layer_caches(shape, settings)) // settings.parallel
    for (keys, values), layers in sliding_widths(shape):
        width = _key_row(keys, settings) + _value_row(shape, values, settings, value_width_max(shape))
        one_sequence += layers * width * min(shape.window_tokens, settings.context_tokens)
    count = min(CHECKPOINTS, settings.context_tokens // CHECKPOINT_SPACING_TOKENS + CHECKPOINTS_OF_A_REQUEST)
    return one_sequence * count * settings.parallel
