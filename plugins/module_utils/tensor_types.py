"""What ggml's types mean for memory: bytes of a tensor, types of a cache.

Source: ggml/src/ggml.c (ggml_is_quantized) and common/arg.cpp (kv_cache_types) of llama.cpp b10488.
"""

from __future__ import annotations

from typing import Sequence

from .gguf_types import TENSOR_TYPES

# Type name as llama.cpp's flags spell it -> (elements, bytes) of one block.
BLOCKS: dict[str, tuple[int, int]] = {
    kind.name.lower(): (kind.block_elements, kind.block_bytes) for kind in TENSOR_TYPES.values()
}
BYTES_PER_ELEMENT: dict[str, float] = {name: size / elements for name, (elements, size) in BLOCKS.items()}

# What llama-server takes for --cache-type-k and --cache-type-v.
KV_CACHE_TYPES = ("f32", "f16", "bf16", "q8_0", "q4_0", "q4_1", "iq4_nl", "q5_0", "q5_1")

PLAIN_TYPES = frozenset({"f32", "f16", "bf16", "f64", "i8", "i16", "i32", "i64"})


def is_quantised(type_name: str) -> bool:
    """Whether ggml calls a type quantised (blocks of more than one element)."""
    return type_name not in PLAIN_TYPES


def tensor_type_name(type_id: int) -> str:
    """ggml's name of a type id in small letters, or ``type 99`` for one that is not known here."""
    known = TENSOR_TYPES.get(type_id)
    return known.name.lower() if known else f"type {type_id}"


def tensor_bytes(shape: Sequence[int], type_id: int) -> int | None:
    """Bytes of one tensor, or None for a type that is not known here. ``shape`` is innermost first, as in GGUF."""
    kind = TENSOR_TYPES.get(type_id)
    if kind is None:
        return None
    elements = 1
    for dimension in shape:
        elements *= int(dimension)
    return elements * kind.block_bytes // kind.block_elements
