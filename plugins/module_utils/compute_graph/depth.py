"""How many layers a graph has to have so that it takes what the whole model takes.

A layer's place in memory depends on its kind and on what the layers before it left free. So a few layers of each kind are
built, and what each did to the buffers is recorded; if the whole sequence of layers can be walked with nothing but recorded
steps, the buffers of the short graph are those of the whole. Otherwise more layers are built, at last all of them.
"""

from __future__ import annotations

from typing import Callable, Dict, Hashable, Sequence, Tuple

from ..model_shape import LayerShape, ModelShape
from .feed_forward import limits

# What differs by the number of a layer alone, by architecture (src/models/*.cpp of llama.cpp b10488).
NUMBERED: Dict[str, Callable[[ModelShape, int], Hashable]] = {
    "llama4": lambda shape, index: (index + 1) % 4 == 0,
    "smallthinker": lambda shape, index: index % 4 == 0,
    "gemma3n": lambda shape, index: index < 10,
    "modern-bert": lambda shape, index: index == 0,
    "nomic-bert-moe": lambda shape, index: index % int(shape.fact("moe_every_n_layers") or 1) == 1,
    "qwen3vl": lambda shape, index: index < int(shape.fact("n_deepstack_layers") or 0),
    "qwen3vlmoe": lambda shape, index: index < int(shape.fact("n_deepstack_layers") or 0),
    "deepseek32": lambda shape, index: index,
    "glm-dsa": lambda shape, index: index,
    "step35": lambda shape, index: tuple(limits(shape, index, f"swiglu_clamp_{part}exp") for part in ("", "sh")),
    "bailingmoe3": lambda shape, index: tuple(limits(shape, index, f"swiglu_clamp_{part}exp") for part in ("", "sh")),
    "kimi-k3": lambda shape, index: index,
    "rwkv6": lambda shape, index: not (index + 1) % int(shape.fact("rescale_every_n_layers") or 1000),
    "rwkv7": lambda shape, index: index == 0,
    "arwkv7": lambda shape, index: index == 0,
}
# How often each step from one kind to the next is built before the whole model is.
REPEATS = (1, 2, 5, 12)

Steps = Dict[Tuple[Hashable, Hashable], Hashable]


def kinds_of(shape: ModelShape, homes: Sequence[int]) -> Tuple[int, ...]:
    """A number for the kind of each layer that the graph runs. ``homes``: the backend of each layer.

    The last layer of all is a kind of its own, and so is the last one that slides, attends to everything, or recurs: what
    only those need is free after it.
    """
    count = shape.block_count
    numbered = NUMBERED.get(shape.architecture)
    lasts = {_use(shape.layers[index]): index for index in range(count)}
    last = set(lasts.values()) | {count - 1}
    numbers: Dict[Hashable, int] = {}
    result = []
    for index in range(count):
        kind = (
            _kind(shape.layers[index]),
            homes[index],
            numbered(shape, index) if numbered else None,
            index if index in last else None,
        )
        result.append(numbers.setdefault(kind, len(numbers)))
    return tuple(result)


def shortened(kinds: Sequence[Hashable], repeats: int) -> Tuple[int, ...]:
    """The numbers of layers that stay when detours back to the same kind are left out.

    Every step from one kind to the next stays at least ``repeats`` times, or as often as there is.
    """
    kept: list[int] = []
    fresh: list[bool] = []
    counts: Dict[Tuple[Hashable, Hashable], int] = {}
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


def recorded(kinds: Sequence[Hashable], kept: Sequence[int], states: Sequence[Hashable]) -> Steps:
    """What each built layer made of the buffers: (state before, kind) -> state after."""
    steps: Steps = {}
    before: Hashable = None
    for index, after in zip(kept, states):
        steps[(before, kinds[index])] = after
        before = after
    return steps


def walks(kinds: Sequence[Hashable], steps: Steps) -> bool:
    """Whether the recorded steps lead through all layers."""
    state: Hashable = None
    for kind in kinds:
        key = (state, kind)
        if key not in steps:
            return False
        state = steps[key]
    return True


def _use(layer: LayerShape) -> Hashable:
    return layer.sliding, layer.recurrent, layer.attention


def _kind(layer: LayerShape) -> Hashable:
    return (
        _use(layer),
        layer.owns_cache,
        layer.indexer,
        layer.experts,
        layer.head_count,
        layer.head_count_kv,
        layer.key_length,
        layer.value_length,
        layer.feed_forward_length,
        layer.compress_ratio,
    )
