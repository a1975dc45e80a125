"""From when to when each tensor of a graph needs memory: the order in which ggml allocates and frees, without addresses.

Source: ggml_gallocr_alloc_graph_impl of ggml/src/ggml-alloc.c, llama.cpp b10488. What is written over what, and when something
is free, depends on the graph alone. So that is found out once, layer by layer, and layers that are alike are laid out again
without being built again (`depth`).
"""

from __future__ import annotations

from typing import Dict, List, NamedTuple, Sequence, Tuple

from .allocator import Arena
from .scheduler import Schedule
from .tensors import COPY, ELEMENT_BYTES, NONE, Tensor

# Arena, slot, bytes, and where in the slot they are given back; -1: they are allocated.
Event = Tuple[int, int, int, int]
ALLOCATED = -1
KEPT = -1
# A result may be written over again and again, so that its memory outlives the layer behind it: up to so many layers.
PASSED_ON = 3


class Slot(NamedTuple):
    """One piece of memory: its buffer, its bytes, the part of the graph that allocates it and the one that frees it.

    ``lasting``: it is an input, or more layers use it than follow each other in a pattern; there is one for the whole graph.
    """

    arena: int
    size: int
    allocated: int
    freed: int
    lasting: bool


class Lifetimes:
    """Events by part of the graph: what comes before and in the first layer, each further layer, and what follows the last.

    ``splits``: parts in which the backends compute, by the part of the graph in which they begin. ``handed_on``: the slots
    that each part leaves to the following ones, without lasting ones, by size, and
    ``legacies`` their buffers and sizes. ``repeatable``: whether a part neither makes nor frees
    a lasting one.
    """

    def __init__(self, parts: int) -> None:
        self.events: List[List[Event]] = [[] for _part in range(parts)]
        self.splits = [0] * parts
        self.slots: List[Slot] = []
        self.handed_on: List[List[int]] = [[] for _part in range(parts)]
        self.legacies: List[Tuple[Tuple[int, ...], ...]] = []
        self.repeatable = [True] * parts

    def close(self, born: Sequence[Tuple[int, int, int, bool]], freed: Dict[int, int]) -> None:
        """All events are known."""
        for slot, (arena, size, part, is_input) in enumerate(born):
            end = freed.get(slot, KEPT)
            lasting = is_input or end < part or end - part > PASSED_ON
            self.slots.append(Slot(arena, size, part, end, lasting))
            if lasting:
                self.repeatable[part] = self.repeatable[end] = False
            else:
                for index in range(part, end):
                    self.handed_on[index].append(slot)
        for slots in self.handed_on:
            if len(slots) > 1:
                slots.sort(key=self._size)
            self.legacies.append(tuple(self.slots[slot][:2] for slot in slots))

    def _size(self, slot: int) -> int:
        return self.slots[slot].size


def lifetimes(schedule: Schedule, marks: Sequence[Tensor], arenas: Sequence[Arena]) -> Lifetimes:
    """The events of a schedule. ``marks``: the result of each layer, in order. ``arenas[t.backend]`` is a tensor's buffer."""
    return _Recorder(schedule, marks, arenas).record()


class _Recorder:
    def __init__(self, schedule: Schedule, marks: Sequence[Tensor], arenas: Sequence[Arena]) -> None:
        self.schedule = schedule
        self.marks = {id(mark): number for number, mark in enumerate(marks)}
        self.result = Lifetimes(len(marks) + 1)
        self.alignments = [arena.alignment - 1 for arena in arenas]
        self.on_device = [arena.device for arena in arenas]
        self.born: List[Tuple[int, int, int, bool]] = []
        self.freed: Dict[int, int] = {}

    def record(self) -> Lifetimes:
        """Inputs and other leaves first; a result is written over a source where that is allowed; a source is freed after its
        last use, an output never.
        """
        self._count_uses()
        events, part = self.result.events[0], 0
        splits = set(self.schedule.split_starts)
        for leaf in self.schedule.leaves:
            self._allocate(leaf, 0, events)
        for position, (node, sources) in enumerate(zip(self.schedule.nodes, self.schedule.sources)):
            if position in splits:
                self.result.splits[part] += 1
            if node.slot < 0 and node.root is None and not (node.reuse and self._reused(node, sources, events)):
                self._allocate(node, part, events)
            for source in sources:
                base = source.root or source
                base.uses = uses = base.uses - 1
                if not uses and base.slot >= 0 and not base.output:
                    self._free(base, part, events)
            if id(node) in self.marks:
                part += 1
                events = self.result.events[part]
        self.result.close(self.born, self.freed)
        return self.result

    def _count_uses(self) -> None:
        for leaf in self.schedule.leaves:
            leaf.uses, leaf.slot = 0, -1
        for node in self.schedule.nodes:
            node.uses, node.slot = 0, -1
        for sources in self.schedule.sources:
            for source in sources:
                (source.root or source).uses += 1

    def _bytes(self, tensor: Tensor, arena: int) -> int:
        size = tensor.bytes_outside
        if not size:
            a, b, c, d = tensor.ne
            size = a * b * c * d * ELEMENT_BYTES[tensor.dtype]
        if tensor.extra_bytes and self.on_device[arena]:
            size += tensor.extra_bytes
        padding = self.alignments[arena]
        return (size + padding) // (padding + 1) * (padding + 1)

    def _allocate(self, tensor: Tensor, part: int, events: List[Event]) -> None:
        arena = tensor.backend
        size = self._bytes(tensor, arena)
        tensor.slot = slot = len(self.born)
        self.born.append((arena, size, part, tensor.op == NONE or (tensor.op == COPY and tensor.src[0].graph_input)))
        events.append((arena, slot, size, ALLOCATED))

    def _free(self, tensor: Tensor, part: int, events: List[Event]) -> None:
        slot, tensor.slot = tensor.slot, -1
        arena, size = self.born[slot][:2]
        self.freed[slot] = part
        events.append((arena, slot, size, 0))

    def _reused(self, node: Tensor, sources: Sequence[Tensor], events: List[Event]) -> bool:
        """Whether the node could take the memory of a source that nobody else needs any more."""
        for source in sources:
            if source.uses == 1 and source.slot >= 0 and source.root is None and not source.output:
                if source.ne == node.ne and source.dtype == node.dtype:
                    node.backend, node.slot, source.slot = source.backend, source.slot, -1
                    if source.extra_bytes or node.extra_bytes:
                        self._shrink(node, events)
                    return True
        return False

    def _shrink(self, node: Tensor, events: List[Event]) -> None:
        """What the kernel of the source needed behind its result is free."""
        arena, had, part, is_input = self.born[node.slot]
        size = self._bytes(node, arena)
        if had > size:
            events.append((arena, node.slot, had - size, size))
            self.born[node.slot] = (arena, size, part, is_input)
