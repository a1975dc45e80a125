"""How Ollama before 0.30 lays layers on devices: from the last one backwards, onto as few devices as hold them.

The engine knows each layer's size (measured by its own runner, estimated for llama.cpp's), takes what each device has
free less a reserve, and, where one device is not enough, spreads evenly over the fewest that are (llm/server.go
createLayout, assignLayers). All sizes in bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .admission_prediction import Seen

# llm/server.go findBestFit: how finely the smallest sufficient share of free memory is searched, and what stands for
# "no limit" where a number of layers was demanded.
PRECISION = 1e-6
UNLIMITED = 1000.0


@dataclass(frozen=True)
class Layers:
    """The sizes that a layout is made of: one per layer, the output last; ``graph`` once on each device that is used.

    ``input_bytes`` and, without any device, ``cpu_graph`` lie in RAM; ``buffer_bytes`` are kept free on every device.
    """

    sizes: tuple[int, ...]
    graph: int
    input_bytes: int = 0
    cpu_graph: int = 0
    buffer_bytes: int = 0

    @property
    def total(self) -> int:
        return sum(self.sizes)


@dataclass(frozen=True)
class Layout:
    """Device name -> (number of layers, bytes of them); layers on no device stay in RAM.

    A device that was tried and got no layer is among them: the engine reserves its graph there all the same.
    """

    placed: Mapping[str, tuple[int, int]]

    @property
    def layers(self) -> int:
        return sum(count for count, _ in self.placed.values())

    @property
    def size(self) -> int:
        return sum(size for _, size in self.placed.values())

    @property
    def used(self) -> frozenset[str]:
        return frozenset(name for name, (count, _) in self.placed.items() if count)


@dataclass(frozen=True)
class Demand:
    """What is asked of a layout: ``num_gpu`` layers (-1: as many as fit), all of them or none (``require_full``)."""

    num_gpu: int
    require_full: bool
    spread: bool


def layout(layers: Layers, seen: Sequence[Seen], reserves: Mapping[str, int], demand: Demand) -> Layout:
    """The layout on which the engine settles; the compute graph is reserved on every device that turns out to be used."""
    found = Layout({})
    graphs: frozenset[str] = frozenset()
    while True:
        before, found = found, _of_best_library(layers, seen, reserves, graphs, demand)
        if len(found.placed) <= len(before.placed):
            return found
        graphs |= set(found.placed)


def _of_best_library(
    layers: Layers, seen: Sequence[Seen], reserves: Mapping[str, int], used: frozenset[str], demand: Demand
) -> Layout:
    order = sorted(seen, key=lambda item: (item.device.shares_ram, -item.free_bytes))
    best = Layout({})
    for library in dict.fromkeys(item.device.library for item in order):
        group = [item for item in order if item.device.library == library]
        free = [_free(item, layers, reserves, used) for item in group]
        slots = [_Slot(item.device.name, item.device.shares_ram, space) for item, space in zip(group, free, strict=True)]
        last_used = max((index for index, item in enumerate(group) if layers.graph and item.device.name in used), default=0)
        found = _assign(layers.sizes, slots, demand, last_used)
        if found.layers > best.layers:
            best = found
    return best


def _free(seen: Seen, layers: Layers, reserves: Mapping[str, int], used: frozenset[str]) -> int:
    name = seen.device.name
    graph = layers.graph if name in used else 0
    return max(0, seen.free_bytes - layers.buffer_bytes - reserves[name] - graph)


@dataclass(frozen=True)
class _Slot:
    name: str
    integrated: bool
    free_bytes: int


def _assign(sizes: Sequence[int], slots: Sequence[_Slot], demand: Demand, last_used: int) -> Layout:
    """All layers, else all but the output, on the fewest devices from the emptiest on."""
    if demand.num_gpu >= 0 or demand.spread:
        slots = [_Slot(slot.name, False, slot.free_bytes) for slot in slots]
    result = Layout({})
    for layers in (sizes, sizes[:-1]):
        wanted = min(len(layers), demand.num_gpu)
        starts = [len(slots)] if demand.spread else range(last_used + 1, len(slots) + 1)
        for count in starts:
            forced = count == len(slots) and not demand.require_full
            result = _best_fit(layers, slots[:count], wanted, forced)
            if result.layers in (len(layers), wanted):
                break
        if result.layers == len(layers):
            break
    return result


def _best_fit(layers: Sequence[int], slots: Sequence[_Slot], wanted: int, forced: bool) -> Layout:
    """Discrete devices first, each kind filled with the smallest share of its memory that holds as many layers."""
    placed: dict[str, tuple[int, int]] = {}
    for kind in dict.fromkeys(slot.integrated for slot in slots):
        group = [slot for slot in slots if slot.integrated == kind]
        found = _least_share(layers, group, wanted, forced)
        placed |= found.placed
        layers = layers[: len(layers) - found.layers]
        wanted -= found.layers
    return Layout(placed)


def _least_share(layers: Sequence[int], group: Sequence[_Slot], wanted: int, forced: bool) -> Layout:
    low, high = 0.0, UNLIMITED if wanted >= 0 and forced else 1.0
    best = _greedy(layers, group, high, wanted)
    most = best.layers
    while high - low > PRECISION:
        middle = (low + high) / 2
        found = _greedy(layers, group, middle, wanted)
        if found.layers == most:
            high, best = middle, found
        else:
            low = middle
    return best


def _greedy(layers: Sequence[int], group: Sequence[_Slot], share: float, wanted: int) -> Layout:
    """Layers from the last backwards, onto the last device of the group until it is full, then the one before."""
    index = len(group) - 1
    placed = {group[index].name: (0, 0)}
    space = int(group[index].free_bytes * share)
    for done, size in enumerate(reversed(layers)):
        if 0 <= wanted <= done:
            break
        while size > space and index > 0:
            index -= 1
            placed[group[index].name] = (0, 0)
            space = int(group[index].free_bytes * share)
        if size > space:
            break
        count, total = placed[group[index].name]
        placed[group[index].name] = (count + 1, total + size)
        space -= size
    return Layout(placed)
