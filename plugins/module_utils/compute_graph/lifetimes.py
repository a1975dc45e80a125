"""From when to when each tensor of a graph needs memory: the order in which ggml allocates and frees, without addresses.

Source: ggml_gallocr_alloc_graph_impl of ggml/src/ggml-alloc.c, llama.cpp b10488. What is written over what, and when something
is free, depends on the structure of the graph alone. So that is found out once, and serves for all sizes; and layers that are
alike are laid out again without being built again (`depth`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Sequence

from .allocator import Arena
from .scheduler import Schedule
from .tensors import COPY, ELEMENT_BYTES, NONE, Graph, Tensor

# A result may be written over again and again, so that its memory outlives the layer behind it: up to so many layers.
PASSED_ON = 3


@dataclass
class Lifetimes:
    """What happens in each part of a graph: what comes before and in the first layer, each further layer, what follows the last.

    A slot is one piece of memory. ``nodes`` and ``sources``: the number of the graph's node whose result it first holds, and -1;
    a leaf's number as complement; of a copy, the node and which of its sources it copies. ``buffers``: where it is.
    ``events`` by part and by buffer: the slot that is allocated, or its complement where it is freed. ``splits``: parts in
    which the backends compute, by the part of the graph in which they begin.

    A slot is lasting if it is an input, or if more layers use it than follow each other in a pattern: there is one for the
    whole graph. ``repeatable``: whether a part neither makes nor frees a lasting slot, nor needs
    copies that stay for the whole graph. ``handed_on``: the other slots that each
    part leaves to the following ones. ``compared``: a node, one of its sources, and whether both are equally large.
    """

    nodes: list[int]
    sources: list[int]
    buffers: list[int]
    events: list[list[list[int]]]
    splits: list[int]
    repeatable: list[bool]
    handed_on: list[list[int]]
    compared: list[tuple[int, int, bool]]

    def events_of(self, sizes: Sequence[int]) -> list[list[list[int]]]:
        """The events of slots that have a size: results without rows take no memory."""
        if 0 not in sizes:
            return self.events
        return [[[slot for slot in events if sizes[max(slot, ~slot)]] for events in part] for part in self.events]

    def fits(self, graph: Graph) -> bool:
        """Whether this holds for a graph of other sizes too: results can be written over the same sources as here."""
        nodes = graph.nodes
        for number, source, equal in self.compared:
            node = nodes[number]
            if (node.src[source].ne == node.ne) is not equal:
                return False
        return True


def lifetimes(schedule: Schedule, graph: Graph, buffers: int) -> Lifetimes:
    """The events of a schedule. ``graph.marks``: the result of each layer, in order. ``buffers``: how many there are."""
    recorder = _Recorder(len(graph.marks) + 1, buffers)
    recorder.record(schedule, graph.marks)
    return recorder.result(schedule)


def slot_sizes(lives: Lifetimes, graph: Graph, arenas: Sequence[Arena]) -> list[int]:
    """The bytes of each slot for a graph of the same structure."""
    nodes, leaves = graph.nodes, graph.leaves
    alignments = [arena.alignment for arena in arenas]
    sizes = []
    for number, source, buffer in zip(lives.nodes, lives.sources, lives.buffers):
        if source >= 0:
            sizes.append(arenas[buffer].copied_size(nodes[number], source))
            continue
        tensor = nodes[number] if number >= 0 else leaves[~number]
        size = tensor.bytes_outside
        if not size:
            a, b, c, d = tensor.ne
            size = a * b * c * d * ELEMENT_BYTES[tensor.dtype]
        if tensor.extra_bytes and arenas[buffer].device:
            size += tensor.extra_bytes
        alignment = alignments[buffer]
        sizes.append((size + alignment - 1) // alignment * alignment)
    return sizes


class _Recorder:
    """Per slot: its tensor, its buffer, the part that allocates it and the one that frees it (-1: none)."""

    def __init__(self, parts: int, buffers: int) -> None:
        self.events: list[list[list[int]]] = [[[] for _buffer in range(buffers)] for _part in range(parts)]
        self.ends: list[int] = []
        self.tensors: list[Tensor] = []
        self.buffers: list[int] = []
        self.allocated: list[int] = []
        self.freed: list[int] = []
        self.compared: list[tuple[int, int, bool]] = []

    def record(self, schedule: Schedule, marks: Sequence[Tensor]) -> None:
        """Inputs and other leaves first; a result is written over a source where that is allowed; a source is freed after its
        last use, an output never.
        """
        _count_uses(schedule)
        part, events, freed, buffers = 0, self.events[0], self.freed, self.buffers
        mark = marks[0] if marks else None
        for leaf in schedule.leaves:
            self._allocate(leaf, 0)
        for index, (node, sources) in enumerate(zip(schedule.nodes, schedule.sources)):
            if node.root is None and node.slot < 0 and not (node.reuse and self._reused(node, sources)):
                self._allocate(node, part)
            for source in sources:
                base = source.root or source
                uses = base.uses
                if uses > 1:
                    base.uses = uses - 1
                    continue
                base.uses, slot = 0, base.slot
                if slot >= 0 and not base.output:
                    base.slot = -1
                    freed[slot] = part
                    events[buffers[slot]].append(~slot)
            if node is mark:
                self.ends.append(index)
                part += 1
                events = self.events[part]
                mark = marks[part] if part < len(marks) else None

    def _allocate(self, tensor: Tensor, part: int) -> None:
        buffer = tensor.backend
        tensor.slot = slot = len(self.tensors)
        self.tensors.append(tensor)
        self.buffers.append(buffer)
        self.allocated.append(part)
        self.freed.append(-1)
        self.events[part][buffer].append(slot)

    def _reused(self, node: Tensor, sources: Sequence[Tensor]) -> bool:
        """Whether the node could take the memory of a source that nobody else needs any more.

        What a kernel needs behind its result would be freed here; attention's results are only read through views.
        """
        for index, source in enumerate(sources):
            if source.uses == 1 and source.slot >= 0 and source.root is None and not source.output:
                equal = source.ne == node.ne
                self.compared.append((node.number, index, equal))
                if equal and source.dtype == node.dtype:
                    node.backend, node.slot, source.slot = source.backend, source.slot, -1
                    return True
        return False

    def result(self, schedule: Schedule) -> Lifetimes:
        """The same by part of the graph."""
        count = len(self.events)
        splits = self._splits(schedule)
        # Where the end of some layer is not found, no part is what it should be.
        complete = len(self.ends) == count - 1
        repeatable = [complete] * count
        for part in self._parts_with_copies(schedule) if schedule.pipelined else ():
            repeatable[part] = False
        handed_on: list[list[int]] = [[] for _part in range(count)]
        for slot, (part, end) in enumerate(zip(self.allocated, self.freed)):
            if end == part and part:
                continue
            tensor = self.tensors[slot]
            if end < part or end - part > PASSED_ON or tensor.op == NONE or (tensor.op == COPY and tensor.src[0].graph_input):
                repeatable[part] = repeatable[end] = False
                continue
            for index in range(part, end):
                handed_on[index].append(slot)
        nodes = [tensor.number for tensor in self.tensors]
        sources = [tensor.copy_of for tensor in self.tensors]
        return Lifetimes(nodes, sources, self.buffers, self.events, splits, repeatable, handed_on, self.compared)

    def _parts_with_copies(self, schedule: Schedule) -> set[int]:
        """The parts that use copies of other things than inputs."""
        found, part = set(), 0
        for index, sources in enumerate(schedule.sources):
            while part < len(self.ends) and index > self.ends[part]:
                part += 1
            if any(source.op == COPY and not source.src[0].graph_input for source in sources):
                found.add(part)
        return found

    def _splits(self, schedule: Schedule) -> list[int]:
        counts = [0] * len(self.events)
        part = 0
        for start in schedule.split_starts:
            while part < len(self.ends) and start > self.ends[part]:
                part += 1
            counts[part] += 1
        return counts


def _count_uses(schedule: Schedule) -> None:
    for leaf in schedule.leaves:
        leaf.uses, leaf.slot = 0, -1
    for node in schedule.nodes:
        node.uses, node.slot = 0, -1
    for sources in schedule.sources:
        for source in sources:
            (source.root or source).uses += 1
