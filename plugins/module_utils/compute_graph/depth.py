"""How many layers a graph has to have so that it takes what the whole model takes.

A layer's place in memory depends on its kind and on what the layers before it left free. So a few layers of each kind are
built, and all layers are laid out: one that is not built as one of its kind that is, which follows the same kind and finds the
same things in memory. Where there is none such, more layers are built, at last all of them. What a layer of some kind does to
some state of the buffers is done once.
"""

from __future__ import annotations

from typing import Any, Callable, Hashable, Sequence

from ..model_shape import MAX_LAYERS, LayerShape, ModelShape
from .allocator import Arena
from .feed_forward import limits
from .lifetimes import Lifetimes


def _every_fourth(_shape: ModelShape, index: int) -> Hashable:
    return (index + 1) % 4 == 0


def _first(_shape: ModelShape, index: int) -> Hashable:
    return index == 0


def _each(_shape: ModelShape, index: int) -> Hashable:
    """No two layers are alike: each leaves more or less to those behind it."""
    return index


def _deep_stacked(shape: ModelShape, index: int) -> Hashable:
    return index < int(shape.fact("n_deepstack_layers") or 0)


def _limited(shape: ModelShape, index: int) -> Hashable:
    return limits(shape, index, "swiglu_clamp_exp"), limits(shape, index, "swiglu_clamp_shexp")


# What differs by the number of a layer alone, by architecture (src/models/*.cpp of llama.cpp b10488).
NUMBERED: dict[str, Callable[[ModelShape, int], Hashable]] = {
    **dict.fromkeys(("llama4", "smollm3"), _every_fourth),
    **dict.fromkeys(("modern-bert", "rwkv7", "arwkv7"), _first),
    **dict.fromkeys(("deepseek32", "glm-dsa", "kimi-k3"), _each),
    **dict.fromkeys(("qwen3vl", "qwen3vlmoe"), _deep_stacked),
    **dict.fromkeys(("step35", "bailingmoe3"), _limited),
    "smallthinker": lambda _shape, index: index % 4 == 0,
    "gemma3n": lambda _shape, index: index < 10,
    "nomic-bert-moe": lambda shape, index: index % int(shape.fact("moe_every_n_layers") or 1) == 1,
    "rwkv6": lambda shape, index: not (index + 1) % int(shape.fact("rescale_every_n_layers") or MAX_LAYERS + 1),
}
# How often each step from one kind to the next is built before the whole model is.
REPEATS = (1, 2, 5)


def kinds_of(shape: ModelShape, homes: Sequence[int]) -> tuple[int, ...]:
    """A number for the kind of each layer that the graph runs. ``homes``: the backend of each layer.

    The last layer of all is a kind of its own, and so is the last one that slides, attends to everything, or recurs: what
    only those need is free after it. A layer that recurs reads its state before what is in front of it is computed. A layer's
    last operations may go to the backend of the next one.
    """
    count = shape.block_count
    numbered = NUMBERED.get(shape.architecture)
    lasts = {_use(shape.layers[index]): index for index in range(count)}
    last = set(lasts.values()) | {count - 1}
    numbers: dict[Hashable, int] = {}
    result = []
    for index in range(count):
        kind = (
            _kind(shape.layers[index]),
            homes[index : index + 2],
            numbered(shape, index) if numbered else None,
            index if index in last else None,
            _next_state(shape, homes, index),
        )
        result.append(numbers.setdefault(kind, len(numbers)))
    return tuple(result)


def shortened(kinds: Sequence[Hashable], repeats: int) -> tuple[int, ...]:
    """The numbers of layers that stay when detours back to the same kind are left out.

    Every step from one kind to the next stays at least ``repeats`` times, or as often as there is.
    """
    kept: list[int] = []
    fresh: list[bool] = []
    counts: dict[tuple[Hashable, Hashable], int] = {}
    for index, kind in enumerate(kinds):
        step = (kinds[index - 1] if index else None, kind)
        counts[step] = counts.get(step, 0) + 1
        kept.append(index)
        fresh.append(counts[step] <= repeats)
        if not fresh[index]:
            _cut_detour(kept, fresh, kinds)
    return tuple(kept)


def _cut_detour(kept: list[int], fresh: Sequence[bool], kinds: Sequence[Hashable]) -> None:
    """Drop the end of the kept layers back to an equal one, as long as no fresh step is lost."""
    kind = kinds[kept[-1]]
    for back in range(len(kept) - 1, 0, -1):
        if fresh[kept[back]]:
            return
        if kinds[kept[back - 1]] == kind:
            del kept[back:]
            return


class Walk:
    """Lays out a whole model of which only some layers are built.

    Layers that are built are laid out as they are. One that is not takes the place of a built one which has the same
    predecessor, if that makes and frees nothing for other layers than its neighbours.
    """

    def __init__(self, kinds: Sequence[int], kept: Sequence[int], lives: Lifetimes) -> None:
        self.kinds, self.kept, self.lives = kinds, kept, lives
        self.arenas: Sequence[Arena] = ()
        self.sizes: Sequence[int] = ()
        self.events = lives.events
        self.offsets = [0] * len(lives.nodes)
        self.handed_on: list[list[int]] = []
        self.legacies: list[tuple[tuple[int, int], ...]] = []
        self.splits = 0
        self.stand_ins: dict[tuple[Hashable, ...], int] = {}
        self.states: dict[tuple[Hashable, int], tuple[Any, ...]] = {}

    def run(self, sizes: Sequence[int], arenas: Sequence[Arena]) -> bool:
        """Lay out everything; False where a layer has no stand-in, and more layers have to be built.

        ``sizes``: bytes of each slot.
        """
        self.sizes, self.arenas, self.events = sizes, arenas, self.lives.events_of(sizes)
        if len(self.kept) < len(self.kinds):
            self._find_stand_ins()
        for part in range(len(self.kept)):
            if part and not self._skipped(part):
                return False
            self._lay_out(part)
        self._lay_out(len(self.kept))
        return True

    def _find_stand_ins(self) -> None:
        """By the step from kind to kind, and by the buffers and sizes of what is handed over."""
        buffers, sizes = self.lives.buffers, self.sizes
        self.handed_on = [sorted(slots, key=sizes.__getitem__) for slots in self.lives.handed_on]
        self.legacies = [tuple((buffers[slot], sizes[slot]) for slot in slots) for slots in self.handed_on]
        for part in range(1, len(self.kept)):
            if self.lives.repeatable[part]:
                before, kind = self.kinds[self.kept[part - 1]], self.kinds[self.kept[part]]
                self.stand_ins[before, kind, self.legacies[part - 1]] = part

    def _lay_out(self, part: int) -> None:
        for arena, events in zip(self.arenas, self.events[part]):
            arena.replay(events, self.sizes, self.offsets)
        self.splits += self.lives.splits[part]

    def _skipped(self, part: int) -> bool:
        """The layers between a built one and the one built before it."""
        first, end = self.kept[part - 1] + 1, self.kept[part]
        if first == end:
            return True
        last, stale = part - 1, False
        state = self._state(last)
        for index in range(first, end):
            stand_in = self.stand_ins.get((self.kinds[index - 1], self.kinds[index], self.legacies[last]))
            if stand_in is None:
                return False
            known = self.states.get((state, stand_in))
            if known is None:
                if stale:
                    self._restore(state, last)
                self._hand_over(last, stand_in)
                self._lay_out(stand_in)
                known = self.states[state, stand_in] = self._state(stand_in)
                stale = False
            else:
                self.splits += self.lives.splits[stand_in]
                stale = True
            state, last = known, stand_in
        if stale:
            self._restore(state, last)
        return self._hand_over(last, part)

    def _hand_over(self, last: int, part: int) -> bool:
        """Give the part what the last one left, in the place of what the one before it left when it was built."""
        if self.legacies[last] != self.legacies[part - 1]:
            return False
        offsets = [self.offsets[slot] for slot in self.handed_on[last]]
        for slot, offset in zip(self.handed_on[part - 1], offsets):
            self.offsets[slot] = offset
        return True

    def _state(self, part: int) -> tuple[Any, ...]:
        offsets = tuple(self.offsets[slot] for slot in self.handed_on[part])
        return (part, offsets, *(arena.state() for arena in self.arenas))

    def _restore(self, state: tuple[Any, ...], part: int) -> None:
        for slot, offset in zip(self.handed_on[part], state[1]):
            self.offsets[slot] = offset
        for arena, kept in zip(self.arenas, state[2:]):
            arena.restore(kept)


def _next_state(shape: ModelShape, homes: Sequence[int], index: int) -> tuple[int, int] | None:
    """The distance to the next layer that recurs, and its home, where only feed-forward networks lie between."""
    for distance, layer in enumerate(shape.layers[index + 1 : shape.block_count], 1):
        if layer.recurrent or layer.attention:
            return (distance, homes[index + distance]) if layer.recurrent else None
    return None


def _use(layer: LayerShape) -> Hashable:
    return layer.sliding, layer.recurrent, layer.attention, layer.owns_cache


def _kind(layer: LayerShape) -> Hashable:
    return (
        _use(layer),
        layer.indexer,
        layer.experts,
        layer.head_count,
        layer.head_count_kv,
        layer.key_length,
        layer.value_length,
        layer.feed_forward_length,
        layer.compress_ratio,
    )
