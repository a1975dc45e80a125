"""Bytes of the weights that a device copies from the host, for a large batch of a layer whose weights stay there.

Source: ggml_backend_sched_split_graph of ggml/src/ggml-backend.cpp, and ggml_backend_cuda_buffer_type_get_alloc_size of
ggml/src/ggml-cuda/ggml-cuda.cu (rows of quantised matrices are padded), llama.cpp b10488.
"""

from __future__ import annotations

from ..model_shape import ModelShape
from ..tensor_types import BYTES_PER_ELEMENT
from .tensors import MUL_MAT, MUL_MAT_ID, Tensor

# MATRIX_ROW_PADDING of ggml-cuda: elements.
ROW_PADDING = 512
F32_BYTES = 4
# Where no list of tensors is known, blocks are taken to be stored in this type, or in that of the embeddings or the output if
# that is larger: quantised files keep those finer than most of their matrices.
USUAL_TYPE = "q6_k"


class WeightBytes:
    """The bytes of what a node multiplies with: of the largest such matrix where a list is known, else an upper bound."""

    def __init__(self, shape: ModelShape) -> None:
        tensors = shape.tensors
        self.experts = shape.experts.count if shape.experts else 1
        self.heads = max((layer.head_count for layer in shape.layers), default=1) if shape.mla else 1
        matrices = (tensors.matrix_bytes if tensors else None) or ()
        self.known = {(columns, elements): size for columns, elements, size in matrices}
        types = (USUAL_TYPE, tensors.token_embedding_type, tensors.output_type) if tensors else (USUAL_TYPE,)
        self.rate = max(BYTES_PER_ELEMENT.get((name or USUAL_TYPE).lower(), F32_BYTES) for name in types)

    def __call__(self, node: Tensor) -> int:
        """Bytes of the weights of a node, as a device allocates them."""
        if node.op not in (MUL_MAT, MUL_MAT_ID):
            return node.ne[0] * F32_BYTES * self._vectors(node)
        columns = node.src[1].ne[0]
        elements = node.ne[0] * columns
        if node.op == MUL_MAT_ID:
            elements *= self.experts
        elif self.heads > 1 and node.ne[2] == self.heads:
            elements *= self.heads
        size = self.known.get((columns, elements)) or int(elements * self.rate)
        return size + -columns % ROW_PADDING * size // max(elements, 1)

    def _vectors(self, node: Tensor) -> int:
        """How many vectors of weights a node takes: one, a bias of each expert, or the taps of a convolution."""
        if len(node.src) > 2:
            return self.experts
        value = node.src[0].ne
        taps = value[0] - node.ne[1] + 1
        return taps if value[1] == node.ne[0] and value[0] != node.ne[0] and taps > 1 else 1
