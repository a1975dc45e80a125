"""Buffers as ggml fills them: best fit, blocks that join, chunks where a buffer has a limit."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugins.module_utils.compute_graph.allocator import ENDLESS, MAX_CHUNKS, Arena, ChunkedArena
from plugins.module_utils.compute_graph.tensors import F16, MUL_MAT, made, outside

# events (a slot, or its complement where it is freed), sizes by slot, offsets by slot, peak
REPLAYED = [
    ([0, 1, 2], [64, 32, 96], [0, 64, 96], 192),
    ([0, 1, ~0, 2], [64, 32, 64], [0, 64, 0], 96),
    ([0, 1, ~0, 2], [64, 32, 96], [0, 64, 96], 192),
    # the smallest block that is large enough, the last of equals
    ([0, 1, 2, 3, ~0, ~2, 4], [64, 32, 32, 32, 32], [0, 64, 96, 128, 96], 160),
    ([0, 1, 2, 3, ~0, ~2, 4], [64, 32, 64, 32, 64], [0, 64, 96, 160, 96], 192),
    # free neighbours join: before, behind, both
    ([0, 1, 2, ~0, ~1, 3], [32, 32, 32, 64], [0, 32, 64, 0], 96),
    ([0, 1, 2, ~1, ~0, 3], [32, 32, 32, 64], [0, 32, 64, 0], 96),
    ([0, 1, 2, 3, ~0, ~2, ~1, 4], [32, 32, 32, 32, 96], [0, 32, 64, 96, 0], 128),
    ([0, 1, ~1, ~0, 2], [32, 32, 128], [0, 32, 0], 128),
]


@pytest.mark.parametrize(("events", "sizes", "offsets", "peak"), REPLAYED)
@pytest.mark.parametrize("arena", [Arena(32), ChunkedArena(32, 2**20)], ids=["endless", "chunked"])
def test_where_slots_lie(arena, events, sizes, offsets, peak):
    arena = type(arena)(32, arena.limit) if isinstance(arena, ChunkedArena) else Arena(32)
    found = [0] * len(sizes)
    arena.replay(events, sizes, found)
    assert (found, arena.bytes) == (offsets, peak)


@pytest.mark.parametrize(
    ("sizes", "peaks"),
    [
        ([64, 64], [128]),
        ([64, 96], [64, 96]),
        ([200], [200]),
        ([64, 200, 64], [128, 200]),
        ([100] * 20, [100] * (MAX_CHUNKS - 1) + [500]),
    ],
)
def test_a_buffer_with_a_limit_has_chunks(sizes, peaks):
    arena = ChunkedArena(32, 128)
    arena.replay(list(range(len(sizes))), sizes, [0] * len(sizes))
    assert [chunk.peak for chunk in arena.chunks] == peaks
    assert arena.bytes == sum(peaks)


@pytest.mark.parametrize("arena", [Arena(32), ChunkedArena(32, 128)])
def test_a_state_comes_back_but_the_peak_stays(arena):
    offsets = [0, 0, 0]
    arena.replay([0], [64, 96, 96], offsets)
    state = arena.state()
    arena.replay([1], [64, 96, 96], offsets)
    first, peak = offsets[1], arena.bytes
    arena.restore(state)
    arena.replay([2], [64, 96, 96], offsets)
    assert (offsets[2], arena.bytes) == (first, peak)


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 40)), max_size=60))
def test_slots_never_overlap_and_everything_comes_back(steps):
    arena, alive, sizes, offsets = Arena(32), [], [], []
    for frees, units in steps:
        if frees and alive:
            slot = alive.pop(units % len(alive))
            arena.replay([~slot], sizes, offsets)
        else:
            sizes.append(units * 32)
            offsets.append(0)
            alive.append(len(sizes) - 1)
            arena.replay([alive[-1]], sizes, offsets)
        places = sorted((offsets[slot], sizes[slot]) for slot in alive)
        assert all(start + size <= following for (start, size), (following, _size) in pairwise(places))
    arena.replay([~slot for slot in alive], sizes, offsets)
    assert arena.state() == ((0,), (ENDLESS,))


def test_a_copy_of_weights_has_their_bytes():
    weight = outside(0)
    node = made(MUL_MAT, (64, 8, 1, 1), (weight, made(MUL_MAT, (32, 8, 1, 1), (), F16)))
    arena = Arena(128, True, weight_bytes=lambda asked: 1000 if asked is node else 0)
    assert (arena.copied_size(node, 0), arena.copied_size(node, 1)) == (1024, 512)
