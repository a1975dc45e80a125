"""Which backend computes each node, and what has to be copied from one to another: ggml's scheduler.

Source: ggml/src/ggml-backend.cpp of llama.cpp b10488 (ggml_backend_sched_split_graph and what it calls). Backends are
numbered as there: devices first, the CPU last.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Iterable

from .tensors import COPY, FLASH_ATTENTION, GET_ROWS, MUL_MAT, MUL_MAT_ID, ROPE, Graph, Tensor

# GGML_SCHED_MAX_SPLIT_INPUTS and GGML_SCHED_MAX_COPIES.
SPLIT_INPUTS = 30
PIPELINE_COPIES = 4
# ggml/src/ggml-cuda/ggml-cuda.cu, GGML_OP_OFFLOAD_MIN_BATCH: from so many rows on, a device computes with weights of the host.
OFFLOAD_ROWS = 32


@dataclass
class Schedule:
    """The graph as it is laid out: with the copies between backends among the nodes, and where the parts that the backends
    compute begin. ``sources`` of each node, copies in the place of what was copied. ``pipelined``: all copies are leaves.
    """

    leaves: list[Tensor]
    nodes: list[Tensor]
    sources: list[tuple[Tensor, ...]]
    split_starts: list[int]
    pipelined: bool = False


def schedule(graph: Graph, devices: int, pipeline: bool = False, offload: bool = True) -> Schedule:
    """Assign a backend to every tensor and insert the copies. With no device everything is the CPU's."""
    nodes, cpu = graph.nodes, devices
    for leaf in graph.leaves:
        leaf.backend = leaf.pinned if leaf.pinned >= 0 else cpu
    if not devices:
        for node in nodes:
            node.backend = 0
        return Schedule(graph.leaves, nodes, [node.src for node in nodes], [0])
    for node in nodes:
        node.backend = node.pinned if node.pinned >= 0 else _by_memory(node, cpu, offload)
    for only_devices in (True, False):
        for order in (nodes, nodes[::-1]):
            if _spread(order, cpu, only_devices):
                return _split(graph, cpu, pipeline)
    for node in nodes:
        if node.backend < 0:
            node.backend = _most_inputs(node, cpu)
    return _split(graph, cpu, pipeline)


def _able(node: Tensor, backend: int, cpu: int) -> bool:
    return backend == cpu or node.on_device


def _by_memory(node: Tensor, cpu: int, offload: bool) -> int:
    """Pass 1: where the memory or the weights of a node are."""
    if node.root is not None and node.root.home is not None:
        return node.root.home
    if node.op in (ROPE, FLASH_ATTENTION):
        return -1
    for source in node.src:
        if source.weight and source.home is not None:
            if source.home == cpu and offload and node.on_device and _batch_rows(node) >= OFFLOAD_ROWS:
                return 0
            return source.home if _able(node, source.home, cpu) else -1
    return -1


def _batch_rows(node: Tensor) -> int:
    """What the device takes for the batch size of a node (get_op_batch_size of ggml-cuda.cu)."""
    if node.op == GET_ROWS:
        return 0
    if node.op == MUL_MAT:
        return node.ne[1]
    if node.op in (MUL_MAT_ID, ROPE):
        return node.ne[2]
    return node.ne[1] * node.ne[2] * node.ne[3]


def _spread(nodes: Iterable[Tensor], cpu: int, only_devices: bool) -> bool:
    """Pass 2: neighbours of assigned nodes follow them. Returns whether every node has a backend now."""
    current = -1
    complete = True
    for node in nodes:
        backend = node.backend
        if backend >= 0:
            current = -1 if only_devices and backend == cpu else backend
        elif current >= 0 and (current == cpu or node.on_device):
            node.backend = current
        else:
            complete = False
    return complete


def _most_inputs(node: Tensor, cpu: int) -> int:
    """Pass 3: a node that no neighbour could take goes where most of its sources are; a device wins a draw."""
    best, chosen = -1, cpu
    for backend in range(cpu + 1):
        if _able(node, backend, cpu):
            count = sum(_place(source) == backend for source in node.src)
            if count > best:
                best, chosen = count, backend
    return chosen


def _place(tensor: Tensor) -> int:
    """The backend in whose memory a tensor lies."""
    base = tensor.root or tensor
    return base.backend if base.home is None else base.home


class _Splitter:
    """Pass 5: cuts the nodes where the backend changes and copies what the next part needs from elsewhere."""

    def __init__(self, cpu: int, copies: int) -> None:
        self.cpu = cpu
        self.copies = copies
        self.nodes: list[Tensor] = []
        self.sources: list[tuple[Tensor, ...]] = []
        self.starts: list[int] = []
        self.copied: dict[tuple[int, int], Tensor] = {}
        self.first_leaves: list[Tensor] = []
        self.split_leaves: list[Tensor] = []

    def run(self, nodes: list[Tensor]) -> None:
        """A part ends where the next node is another backend's, or where a new weight needs the memory of copies before it."""
        start, backend = 0, -1
        needed: list[Tensor] = []
        sources: list[tuple[Tensor, ...]] = []
        for index, node in enumerate(nodes):
            if node.backend != backend or (needed and self._needs_new_part(node, backend, len(needed))):
                self._flush(nodes[start:index], sources, needed)
                start, backend, needed, sources = index, node.backend, [], []
            sources.append(self._sources(node, backend, needed))
        self._flush(nodes[start:], sources, needed)

    def _sources(self, node: Tensor, backend: int, needed: list[Tensor]) -> tuple[Tensor, ...]:
        result = node.src
        for index, source in enumerate(result):
            if self.copies > 1 and source.graph_input:
                self._keep_copies_of_input(node, index)
            base = source.root or source
            place = base.backend if base.home is None else base.home
            if place not in (backend, -1):
                result = (*result[:index], self._copy(node, index, backend, needed), *result[index + 1 :])
        return result

    def _needs_new_part(self, node: Tensor, backend: int, inputs: int) -> bool:
        """A weight from elsewhere starts a new part, so that the memory of the copies before it is free again."""
        for source in node.src:
            if _place(source) == backend:
                continue
            if source.weight or (inputs >= SPLIT_INPUTS and (id(source), backend) not in self.copied):
                return True
        return False

    def _flush(self, nodes: list[Tensor], sources: list[tuple[Tensor, ...]], needed: list[Tensor]) -> None:
        """The copies stand at the start of the part that needs them first."""
        if nodes:
            self.starts.append(len(self.nodes))
        for copy in needed:
            self.nodes.append(copy)
            self.sources.append(copy.src)
        self.nodes.extend(nodes)
        self.sources.extend(sources)

    def _copy(self, node: Tensor, index: int, backend: int, needed: list[Tensor]) -> Tensor:
        """The copy on a backend; made once for the whole graph. Each node has weights of its own, which share one tensor here."""
        source = node.src[index]
        key = (id(node) if source.weight else id(source), backend)
        if key not in self.copied:
            copy = _duplicate(node, index, backend, self.copies > 1)
            self.copied[key] = copy
            needed.append(copy)
            if self.copies > 1:
                others = [_duplicate(node, index, backend, True) for _copy in range(self.copies - 1)]
                self.split_leaves.extend([copy, *others])
        return self.copied[key]

    def _keep_copies_of_input(self, node: Tensor, index: int) -> None:
        source = node.src[index]
        key = (id(source), -1)
        if key not in self.copied:
            self.copied[key] = source
            source.output = True
            others = [_duplicate(node, index, source.backend, True) for _copy in range(self.copies - 1)]
            self.first_leaves.extend([source, *others])


def _duplicate(node: Tensor, index: int, backend: int, output: bool) -> Tensor:
    copy = Tensor()
    source = node.src[index]
    copy.op, copy.ne, copy.dtype, copy.src, copy.backend, copy.output = COPY, source.ne, source.dtype, (source,), backend, output
    copy.number, copy.copy_of = node.number, index
    return copy


def _split(graph: Graph, cpu: int, pipeline: bool) -> Schedule:
    splitter = _Splitter(cpu, PIPELINE_COPIES if pipeline else 1)
    splitter.run(graph.nodes)
    kept = {id(leaf) for leaf in splitter.first_leaves}
    leaves = [*splitter.first_leaves, *splitter.split_leaves, *(leaf for leaf in graph.leaves if id(leaf) not in kept)]
    return Schedule(leaves, splitter.nodes, splitter.sources, splitter.starts, pipeline)
