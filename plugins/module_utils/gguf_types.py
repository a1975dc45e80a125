"""The types a tensor of a GGUF file can have, and how many bytes a tensor takes."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod


@dataclass(frozen=True)
class TensorType:
    """Elements are stored in blocks of one size. ``name`` as llama.cpp prints it."""

    name: str
    block_elements: int
    block_bytes: int


# enum ggml_type in ggml/include/ggml.h, type_traits in ggml/src/ggml.c and the block sizes asserted in
# ggml/src/ggml-common.h, llama.cpp b10488. Missing numbers were never written to GGUF files or are no longer read (31-33, 36-38).
TENSOR_TYPES: dict[int, TensorType] = {
    0: TensorType("f32", 1, 4),
    1: TensorType("f16", 1, 2),
    2: TensorType("q4_0", 32, 18),
    3: TensorType("q4_1", 32, 20),
    # Ollama's first gpt-oss files: MXFP4 under the number of a type that was removed before GGUF (fs/ggml/ggml.go of v0.24.0).
    4: TensorType("mxfp4", 32, 17),
    6: TensorType("q5_0", 32, 22),
    7: TensorType("q5_1", 32, 24),
    8: TensorType("q8_0", 32, 34),
    9: TensorType("q8_1", 32, 36),
    10: TensorType("q2_K", 256, 84),
    11: TensorType("q3_K", 256, 110),
    12: TensorType("q4_K", 256, 144),
    13: TensorType("q5_K", 256, 176),
    14: TensorType("q6_K", 256, 210),
    15: TensorType("q8_K", 256, 292),
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


@dataclass(frozen=True)
class Tensor:
    """A tensor. ``shape`` in elements, the fastest dimension first; ``offset`` in bytes from the file's tensor data."""

    name: str
    shape: tuple[int, ...]
    type_id: int
    offset: int

    @property
    def elements(self) -> int:
        """Number of elements; a tensor without dimensions is a single number."""
        return prod(self.shape)


def tensor_bytes(tensor: Tensor) -> int | None:
    """Bytes of a tensor's data; None where the type is not known here."""
    kind = TENSOR_TYPES.get(tensor.type_id)
    return None if kind is None else tensor.elements // kind.block_elements * kind.block_bytes
