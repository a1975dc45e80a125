"""Bytes of a tensor from its shape and type: the block layouts of ggml's types.

Source: ggml/include/ggml.h (enum ggml_type) and ggml/src/ggml-common.h (block structures) of llama.cpp b10488; Ollama's
fs/ggml/ggml.go names the same.
"""

from __future__ import annotations

from typing import NamedTuple, Sequence


class TensorType(NamedTuple):
    """``block_elements`` elements are stored in ``block_bytes`` bytes."""

    name: str
    block_elements: int
    block_bytes: int


# Ids 4, 5, 31-33 and 36-38 were removed from the format. Ollama's first gpt-oss blobs store MXFP4 under the removed id 4
# (fs/ggml/ggml.go of v0.24.0).
TENSOR_TYPES: dict[int, TensorType] = {
    0: TensorType("f32", 1, 4),
    1: TensorType("f16", 1, 2),
    2: TensorType("q4_0", 32, 18),
    3: TensorType("q4_1", 32, 20),
    4: TensorType("mxfp4", 32, 17),
    6: TensorType("q5_0", 32, 22),
    7: TensorType("q5_1", 32, 24),
    8: TensorType("q8_0", 32, 34),
    9: TensorType("q8_1", 32, 36),
    10: TensorType("q2_k", 256, 84),
    11: TensorType("q3_k", 256, 110),
    12: TensorType("q4_k", 256, 144),
    13: TensorType("q5_k", 256, 176),
    14: TensorType("q6_k", 256, 210),
    15: TensorType("q8_k", 256, 292),
    16: TensorType("iq2_xxs", 256, 66),
    17: TensorType("iq2_xs", 256, 74),
    18: TensorType("iq3_xxs", 256, 98),
    19: TensorType("iq1_s", 256, 50),
    20: TensorType("iq4_nl", 32, 18),
    21: TensorType("iq3_s", 256, 110),
    22: TensorType("iq2_s", 256, 82),
    23: TensorType("iq4_xs", 256, 136),
    24: TensorType("i8", 1, 1),
    25: TensorType("i16", 1, 2),
    26: TensorType("i32", 1, 4),
    27: TensorType("i64", 1, 8),
    28: TensorType("f64", 1, 8),
    29: TensorType("iq1_m", 256, 56),
    30: TensorType("bf16", 1, 2),
    34: TensorType("tq1_0", 256, 54),
    35: TensorType("tq2_0", 256, 66),
    39: TensorType("mxfp4", 32, 17),
    40: TensorType("nvfp4", 64, 36),
    41: TensorType("q1_0", 128, 18),
    42: TensorType("q2_0", 64, 18),
}

# Type name -> (elements, bytes) of one block.
BLOCKS: dict[str, tuple[int, int]] = {kind.name: (kind.block_elements, kind.block_bytes) for kind in TENSOR_TYPES.values()}
BYTES_PER_ELEMENT: dict[str, float] = {kind.name: kind.block_bytes / kind.block_elements for kind in TENSOR_TYPES.values()}

# What llama-server takes for --cache-type-k and --cache-type-v (common/arg.cpp, kv_cache_types).
KV_CACHE_TYPES = ("f32", "f16", "bf16", "q8_0", "q4_0", "q4_1", "iq4_nl", "q5_0", "q5_1")


def is_quantised(type_name: str) -> bool:
    """Whether ggml calls a type quantised (blocks of more than one element)."""
    return type_name not in ("f32", "f16", "bf16", "f64", "i8", "i16", "i32", "i64")


def tensor_type_name(type_id: int) -> str:
    """ggml's name of a type id, or ``type 99`` for one that this table does not know."""
    known = TENSOR_TYPES.get(type_id)
    return known.name if known else f"type {type_id}"


def tensor_bytes(shape: Sequence[int], type_id: int) -> int | None:
    """Bytes of one tensor, or None for a type that this table does not know. ``shape`` is innermost first, as in GGUF."""
    kind = TENSOR_TYPES.get(type_id)
    if kind is None:
        return None
    elements = 1
    for dimension in shape:
        elements *= int(dimension)
    return elements * kind.block_bytes // kind.block_elements
