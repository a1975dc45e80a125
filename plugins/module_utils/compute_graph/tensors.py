"""Tensors of a compute graph as far as they decide its memory: shape, type, what they are made of, whose memory they use.

Source: ggml/src/ggml.c of llama.cpp b10488 (shapes of the operations, which are views of a source, the order in which
ggml_build_forward_expand lists what it finds) and ggml_op_can_inplace of ggml/src/ggml-alloc.c.
"""

from __future__ import annotations

from typing import Tuple

Shape = Tuple[int, int, int, int]

# Types of what a graph computes (ids and bytes per element of ggml.h); weights and caches are not part of it.
F32, F16, I32, I64 = 0, 1, 26, 27
ELEMENT_BYTES = {F32: 4, F16: 2, I32: 4, I64: 8}

# Operations that the scheduler treats in its own way; all others are OTHER.
NONE, VIEW, OTHER, ROPE, FLASH_ATTENTION, GET_ROWS, MUL_MAT, MUL_MAT_ID, COPY = range(9)


class Tensor:
    """One value of the graph.

    ``root``: the tensor whose memory this is a view of, None where it has its own. ``home``: the backend that holds it from
    outside (weights, caches), None where the graph allocates it. ``reuse``: it may be written over a source of the same
    layout. ``extra_bytes``: what a device's kernel needs behind the result. ``on_device``: whether a GPU can compute it.
    ``pinned``: the backend that the graph's builder asked for, -1 for none. The rest is state of the scheduler and of
    `lifetimes`: the backend, uses that are still to come, and the slot of memory that is its own to free, -1 for none.
    ``number``: of the node, or the complement of the leaf's; a copy has the node's for which it is made, and in ``copy_of``
    which source of that it copies.
    """

    op: int = OTHER
    dtype: int = F32
    ne: Shape = (1, 1, 1, 1)
    src: tuple[Tensor, ...] = ()
    root: Tensor | None = None
    home: int | None = None
    weight: bool = False
    reuse: bool = False
    graph_input: bool = False
    output: bool = False
    on_device: bool = True
    extra_bytes: int = 0
    bytes_outside: int = 0
    pinned: int = -1
    seen: bool = False
    backend: int = -1
    uses: int = 0
    slot: int = -1
    number: int = 0
    copy_of: int = -1
    strided: bool = False

    @property
    def base(self) -> Tensor:
        """The tensor whose memory this one uses."""
        return self.root or self

    def data_bytes(self) -> int:
        """Bytes of the data, contiguous; of a weight what it has in the file."""
        if self.bytes_outside:
            return self.bytes_outside
        a, b, c, d = self.ne
        return a * b * c * d * ELEMENT_BYTES[self.dtype]


def copied_bytes(tensor: Tensor) -> int:
    """Bytes of a copy on another backend, which keeps the gaps between the rows of a slice (ggml_dup_tensor_layout)."""
    root = tensor.root
    if root is None or tensor.op != VIEW or root.home is not None or root.ne[:2] == tensor.ne[:2]:
        return tensor.data_bytes()
    a, b, c, d = root.ne
    rows = b * c * d
    e, f, g, h = tensor.ne
    width, rest = divmod(e * f * g * h, rows)
    if rest or width >= a:
        return tensor.data_bytes()
    return ((rows - 1) * a + width) * ELEMENT_BYTES[tensor.dtype]


class Graph:
    """The nodes and leaves in the order in which llama.cpp lists them. Views are no nodes: they cost nothing.

    ``marks``: the result of each layer.
    """

    def __init__(self) -> None:
        self.nodes: list[Tensor] = []
        self.leaves: list[Tensor] = []
        self.marks: list[Tensor] = []

    def mark(self, value: Tensor) -> Tensor:
        """Note the result of a layer."""
        self.marks.append(value.root or value)
        return value

    def expand(self, tensor: Tensor) -> None:
        """List the tensor behind everything it is made of that is not listed yet."""
        if tensor.seen:
            return
        tensor.seen = True
        for source in tensor.src:
            while not source.seen and source.op == VIEW:
                source.seen = True
                source = source.src[0]
            if not source.seen:
                self.expand(source)
        if tensor.op == NONE:
            if tensor.home is None:
                tensor.number = ~len(self.leaves)
                self.leaves.append(tensor)
        elif tensor.op != VIEW:
            tensor.number = len(self.nodes)
            self.nodes.append(tensor)


def made(op: int, ne: Shape, src: tuple[Tensor, ...], dtype: int = F32) -> Tensor:
    """A result with memory of its own."""
    result = Tensor()
    result.op, result.ne, result.src = op, ne, src
    if dtype != F32:
        result.dtype = dtype
    return result


def over(like: Tensor, *others: Tensor) -> Tensor:
    """A result of the first source's shape that may be written over a source: add, mul, scale, norms, activations."""
    result = Tensor()
    result.ne, result.src, result.reuse = like.ne, (like, *others), True
    if like.dtype != F32:
        result.dtype = like.dtype
    return result


def like(source: Tensor, *others: Tensor) -> Tensor:
    """A result of the first source's shape in memory of its own: contiguous copies, layer norm, convolutions."""
    return made(OTHER, source.ne, (source, *others), source.dtype)


def view(source: Tensor, ne: Shape) -> Tensor:
    """The source's memory under another shape: reshape, permute, transpose, slice."""
    result = Tensor()
    result.op, result.ne, result.src, result.root = VIEW, ne, (source,), source.root or source
    if source.dtype != F32:
        result.dtype = source.dtype
    return result


def written(target: Tensor, *sources: Tensor) -> Tensor:
    """The target's memory after something was written into it: copies into a cache, in-place operations."""
    result = Tensor()
    result.ne, result.src, result.root = target.ne, (*sources, target), target.root or target
    result.dtype = target.dtype
    return result


def input_tensor(ne: Shape, dtype: int = F32) -> Tensor:
    """A tensor that is filled before the graph runs; it lies on the host."""
    result = Tensor()
    result.op, result.ne, result.dtype, result.graph_input = NONE, ne, dtype, True
    return result


def outside(home: int, ne: Shape = (1, 1, 1, 1), dtype: int = F32, weight: bool = True) -> Tensor:
    """A weight or a cache: memory of a backend that the graph does not allocate."""
    result = Tensor()
    result.op, result.ne, result.dtype, result.home, result.weight = NONE, ne, dtype, home, weight
    return result


def rows_of(table: Tensor, rows: Tensor) -> Tensor:
    """get_rows: one row of the table for each index."""
    return made(GET_ROWS, (table.ne[0], rows.ne[0], rows.ne[1], rows.ne[2]), (table, rows), I32 if table.dtype == I32 else F32)


def product(left: Tensor, right: Tensor) -> Tensor:
    """mul_mat of two tensors: both have their rows in the first dimension."""
    return made(MUL_MAT, (left.ne[1], right.ne[1], right.ne[2], right.ne[3]), (left, right))


def linear(weight: Tensor, value: Tensor, width: int) -> Tensor:
    """mul_mat with a weight of so many rows."""
    return made(MUL_MAT, (width, value.ne[1], value.ne[2], value.ne[3]), (weight, value))


def rope(value: Tensor, positions: Tensor, *factors: Tensor) -> Tensor:
    """Rotary positions, written over the value where nobody else needs it."""
    result = over(value, positions, *factors)
    result.op = ROPE
    return result


def concat(first: Tensor, second: Tensor, dimension: int) -> Tensor:
    """Both values one behind the other in one dimension."""
    ne = list(first.ne)
    ne[dimension] += second.ne[dimension]
    return made(OTHER, (ne[0], ne[1], ne[2], ne[3]), (first, second), first.dtype)


def sum_rows(value: Tensor) -> Tensor:
    """One number for each row."""
    return made(OTHER, (1, value.ne[1], value.ne[2], value.ne[3]), (value,))


def flat(value: Tensor, *ne: int) -> Tensor:
    """reshape to one to four dimensions."""
    padded = (*ne, 1, 1, 1)
    return view(value, (padded[0], padded[1], padded[2], padded[3]))
