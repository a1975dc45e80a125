"""What a device's kernels can compute, and what memory they want behind a result.

Source: ggml/src/ggml-cuda/fattn.cu (ggml_cuda_get_best_fattn_kernel, ggml_cuda_flash_attn_ext_get_alloc_size) and
ggml_backend_cuda_device_supports_op of ggml/src/ggml-cuda/ggml-cuda.cu, llama.cpp b10488. The HIP build shares them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ..tensor_types import is_quantised
from .tensors import Tensor

if TYPE_CHECKING:
    from .builder import Builder

# Head lengths with a kernel of their own where keys and values are equally long.
EQUAL_LENGTHS = frozenset({40, 64, 72, 80, 96, 112, 128, 256})
# FATTN_KQ_STRIDE: cells that a kernel takes together.
CELL_STRIDE = 256
# Without GGML_CUDA_FA_ALL_QUANTS (off in released builds) only these types have kernels, and only for equal K and V.
KV_TYPES = frozenset({"f32", "f16", "bf16", "q4_0", "q8_0"})
# The graph converts F32 before the kernel sees it (build_attn_mha of src/llama-graph.cpp).
HALVED = {"f32": "f16"}
F16_BYTES = 2
EXTRA_ALIGNMENT = 128
# So few tokens of a sequence take a kernel that reads a quantised cache as it is.
VECTOR_TOKENS = 2


class Cached(NamedTuple):
    """What attention reads: head length, heads, cells, streams; ``rows`` of the cache, or computed just now.

    ``turned``: type of values that lie the wrong way and are copied transposed where there is no flash attention.
    """

    length: int
    heads: int
    cells: int
    streams: int
    rows: Tensor
    computed: bool = False
    turned: str | None = None


def flash_attention_supported(b: Builder, q: Tensor, k: Cached, v: Cached) -> bool:
    """Whether CUDA has a kernel for these heads."""
    plan = b.plan
    type_k, type_v = (HALVED.get(kind, kind) for kind in (plan.kv_type_k, plan.kv_type_v)) if not k.computed else ("f16", "f16")
    if type_k != type_v or type_k not in KV_TYPES:
        return False
    ratio = q.ne[1] // max(k.heads, 1)
    alibi = bool(b.fact("attention.max_alibi_bias"))
    grouped = ratio >= 2 and not alibi and k.cells % CELL_STRIDE == 0
    if k.length in EQUAL_LENGTHS:
        return v.length == k.length
    if k.length == 192:
        return v.length == 128 and grouped and ratio % 8 == 0
    if k.length == 320:
        return v.length == 256 and grouped and ratio % 32 == 0
    if k.length == 512:
        return v.length == 512 and grouped
    return k.length == 576 and v.length == 512 and grouped


def flash_attention_extra(b: Builder, result: Tensor, k: Cached, v: Cached, tokens: int) -> int:
    """Bytes behind the result for copies of quantised (or BF16) keys and values as F16; few tokens need none."""
    plan = b.plan
    if (
        k.computed
        or HALVED.get(plan.kv_type_k, plan.kv_type_k) == "f16"
        or not result.on_device
        or (tokens <= VECTOR_TOKENS and is_quantised(plan.kv_type_k))
    ):
        return 0
    size = result.data_bytes()
    padded = -(-size // EXTRA_ALIGNMENT) * EXTRA_ALIGNMENT
    size = padded + k.length * k.heads * k.cells * k.streams * F16_BYTES
    if not b.shape.mla:
        padded = -(-size // EXTRA_ALIGNMENT) * EXTRA_ALIGNMENT
        size = padded + v.length * v.heads * v.cells * v.streams * F16_BYTES
    return size - result.data_bytes()
