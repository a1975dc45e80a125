"""The table of tensor types, and the bytes of tensors."""

from __future__ import annotations

import pytest

from plugins.module_utils.gguf_types import TENSOR_TYPES, Tensor, tensor_bytes

# Bits per element as the makers of the types state them.
BITS = {
    "f32": 32, "f16": 16, "bf16": 16, "f64": 64, "q4_0": 4.5, "q4_1": 5, "q5_0": 5.5, "q5_1": 6, "q8_0": 8.5, "q8_1": 9,
    "q2_K": 2.625, "q3_K": 3.4375, "q4_K": 4.5, "q5_K": 5.5, "q6_K": 6.5625, "iq2_xxs": 2.0625, "iq2_xs": 2.3125, "iq2_s": 2.5625,
    "iq3_xxs": 3.0625, "iq3_s": 3.4375, "iq1_s": 1.5625, "iq1_m": 1.75, "iq4_nl": 4.5, "iq4_xs": 4.25, "tq1_0": 1.6875,
    "tq2_0": 2.0625, "mxfp4": 4.25, "nvfp4": 4.5, "q1_0": 1.125, "q2_0": 2.25,
}  # fmt: skip


def test_the_table_agrees_with_the_published_sizes():
    sizes = {kind.name: kind.block_bytes * 8 / kind.block_elements for kind in TENSOR_TYPES.values()}
    assert {name: bits for name, bits in sizes.items() if name in BITS} == BITS


@pytest.mark.parametrize(
    ("shape", "type_id", "expected"),
    [
        ((4096, 4096), 12, 4096 * 4096 // 256 * 144),
        ((2880, 2880, 32), 39, 2880 * 2880 * 32 // 32 * 17),
        ((2880, 2880, 32), 4, 2880 * 2880 * 32 // 32 * 17),  # the same under the number of Ollama's first files
        ((64,), 40, 36),
        ((), 0, 4),
        ((64, 0), 0, 0),
        ((64,), 31, None),
        ((64,), 99, None),
    ],
)
def test_the_bytes_of_a_tensor(shape, type_id, expected):
    assert tensor_bytes(Tensor("t", shape, type_id, 0)) == expected
