"""Tensors and the order of a graph."""

from __future__ import annotations

import pytest

from plugins.module_utils.compute_graph.tensors import (
    F16,
    F32,
    I32,
    MUL_MAT,
    OTHER,
    Graph,
    concat,
    copied_bytes,
    flat,
    input_tensor,
    like,
    linear,
    made,
    outside,
    over,
    product,
    rope,
    rows_of,
    sum_rows,
    view,
    written,
)  # fmt: skip

VALUE = made(OTHER, (64, 8, 2, 1), ())
TABLE = made(OTHER, (64, 100, 1, 1), (), I32)
ROWS = input_tensor((5, 1, 1, 1), I32)


@pytest.mark.parametrize(
    ("tensor", "ne", "dtype", "reuse"),
    [
        (over(VALUE, outside(0)), (64, 8, 2, 1), F32, True),
        (like(VALUE), (64, 8, 2, 1), F32, False),
        (rope(VALUE, ROWS), (64, 8, 2, 1), F32, True),
        (linear(outside(0), VALUE, 32), (32, 8, 2, 1), F32, False),
        (product(made(OTHER, (64, 3, 1, 1), ()), VALUE), (3, 8, 2, 1), F32, False),
        (rows_of(VALUE, ROWS), (64, 5, 1, 1), F32, False),
        (rows_of(TABLE, ROWS), (64, 5, 1, 1), I32, False),
        (concat(VALUE, VALUE, 1), (64, 16, 2, 1), F32, False),
        (sum_rows(VALUE), (1, 8, 2, 1), F32, False),
        (flat(VALUE, 512, 2), (512, 2, 1, 1), F32, False),
    ],
)
def test_shapes_of_results(tensor, ne, dtype, reuse):
    assert (tensor.ne, tensor.dtype, tensor.reuse) == (ne, dtype, reuse)


def test_a_view_of_a_view_uses_the_same_memory():
    inner = view(view(VALUE, (512, 2, 1, 1)), (1024, 1, 1, 1))
    assert (inner.root, inner.base, written(inner).root) == (VALUE, VALUE, VALUE)


@pytest.mark.parametrize(
    ("tensor", "size"),
    [
        (VALUE, 4096),
        (view(VALUE, (512, 2, 1, 1)), 4096),
        # half of each row: from the first element to the last, with what lies between
        (view(VALUE, (32, 8, 2, 1)), (15 * 64 + 32) * 4),
        # whole rows lie side by side
        (view(VALUE, (64, 8, 1, 1)), 2048),
        (made(OTHER, (64, 8, 1, 1), (), F16), 1024),
    ],
)
def test_bytes_of_a_copy(tensor, size):
    assert copied_bytes(tensor) == size


def test_a_graph_lists_sources_first_and_views_never():
    graph, start = Graph(), input_tensor((64, 8, 1, 1))
    first = linear(outside(0), start, 32)
    second = over(view(first, (32, 8, 1, 1)), outside(0))
    graph.expand(second)
    graph.expand(first)
    assert (graph.leaves, graph.nodes) == ([start], [first, second])
    assert [node.number for node in graph.nodes] == [0, 1]
    assert start.number == ~0
    assert (graph.mark(view(second, (256, 1, 1, 1))).op, graph.marks) == (view(second, second.ne).op, [second])
    assert first.op == MUL_MAT
