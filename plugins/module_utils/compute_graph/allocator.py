"""How ggml lays the tensors of a graph into buffers: a replay that returns the size of each buffer.

Source: ggml/src/ggml-alloc.c of llama.cpp b10488 (ggml_dyn_tallocr_*, ggml_gallocr_alloc_graph_impl).
"""

from __future__ import annotations

from bisect import bisect_left
from typing import Hashable, List, Optional, Sequence, Tuple

from .tensors import ELEMENT_BYTES, Tensor

# GGML_VBUFFER_MAX_CHUNKS: the last chunk takes whatever is left.
MAX_CHUNKS = 16
ENDLESS = 2**62


class Arena:
    """One buffer that grows without limit: free blocks by address, the last of them endless; best fit.

    ``device``: the buffer of an accelerator, where kernels may want memory behind a result.
    """

    def __init__(self, alignment: int, device: bool = False, limit: int = ENDLESS) -> None:
        self.alignment = alignment
        self.device = device
        self.starts = [0]
        self.sizes = [limit]
        self.peak = 0

    @property
    def bytes(self) -> int:
        return self.peak

    def state(self) -> Hashable:
        """What decides where the next tensors go."""
        return tuple(self.starts), tuple(self.sizes)

    def padded_size(self, tensor: Tensor) -> int:
        """The tensor's bytes in this buffer."""
        size = tensor.bytes_outside
        if not size:
            a, b, c, d = tensor.ne
            size = a * b * c * d * ELEMENT_BYTES[tensor.dtype]
        if self.device:
            size += tensor.extra_bytes
        return -(-size // self.alignment) * self.alignment

    def best_fit(self, size: int) -> int:
        """Index of the smallest block that is large enough, the last of equals; never the last block. -1: none."""
        found, found_size = -1, ENDLESS
        index = 0
        for have in self.sizes[:-1]:
            if size <= have <= found_size:
                found, found_size = index, have
            index += 1
        return found

    def allocate(self, size: int) -> int:
        """The offset of so many bytes."""
        return self.take(self.best_fit(size), size)

    def take(self, index: int, size: int) -> int:
        """The offset of so many bytes from the start of a block."""
        offset = self.starts[index]
        if self.sizes[index] == size:
            del self.starts[index], self.sizes[index]
        else:
            self.starts[index] += size
            self.sizes[index] -= size
        if offset + size > self.peak:
            self.peak = offset + size
        return offset

    def free(self, offset: int, size: int) -> None:
        """Give back so many bytes; the block joins free neighbours."""
        starts, sizes = self.starts, self.sizes
        index = bisect_left(starts, offset)
        before = index - 1
        if index and starts[before] + sizes[before] == offset:
            sizes[before] += size
            if index < len(starts) and starts[index] == offset + size:
                sizes[before] += sizes[index]
                del starts[index], sizes[index]
        elif index < len(starts) and starts[index] == offset + size:
            starts[index] = offset
            sizes[index] += size
        else:
            starts.insert(index, offset)
            sizes.insert(index, size)


class ChunkedArena(Arena):
    """The buffer of a backend that cannot allocate more than ``limit`` bytes at once: several chunks of at most so many.

    An address is the number of the chunk times ENDLESS plus the offset.
    """

    def __init__(self, alignment: int, limit: int, device: bool = False) -> None:
        super().__init__(alignment, device, limit)
        self.limit = limit
        self.chunks: List[Arena] = []

    @property
    def bytes(self) -> int:
        return sum(chunk.peak for chunk in self.chunks)

    def state(self) -> Hashable:
        return tuple(chunk.state() for chunk in self.chunks)

    def allocate(self, size: int) -> int:
        number, index = self._in_a_gap(size) or self._at_an_end(size)
        return number * ENDLESS + self.chunks[number].take(index, size)

    def free(self, offset: int, size: int) -> None:
        self.chunks[offset // ENDLESS].free(offset % ENDLESS, size)

    def _in_a_gap(self, size: int) -> Optional[Tuple[int, int]]:
        """A block that is not the last of its chunk; the last chunk that has one counts."""
        place = None
        for number, chunk in enumerate(self.chunks):
            index = chunk.best_fit(size)
            if index >= 0:
                place = (number, index)
        return place

    def _at_an_end(self, size: int) -> Tuple[int, int]:
        """The last block of the chunk that needs to grow least, or of a new chunk."""
        best: Optional[int] = None
        chosen = -1
        for number, chunk in enumerate(self.chunks):
            if not chunk.sizes or chunk.sizes[-1] < size:
                continue
            spare = chunk.peak - chunk.starts[-1] - size
            if best is None or (best < 0 and spare > best) or 0 <= spare < best:
                best, chosen = spare, number
        if chosen < 0:
            last = len(self.chunks) == MAX_CHUNKS - 1
            self.chunks.append(Arena(self.alignment, self.device, ENDLESS if last else max(size, self.limit)))
            chosen = len(self.chunks) - 1
        return chosen, len(self.chunks[chosen].sizes) - 1


def lay_out(
    leaves: Sequence[Tensor], nodes: Sequence[Tensor], arenas: Sequence[Arena], marks: Sequence[Tensor] = ()
) -> List[Hashable]:
    """Allocate and free everything in the order of the graph. ``arenas[t.backend]`` is the buffer of a tensor.

    Inputs and other leaves first; a result is written over a source where that is allowed; a source is freed after its last
    use, an output never. Returns the state of the buffers after each of the ``marks``.
    """
    for node in nodes:
        for source in node.src:
            (source.root or source).uses += 1
    for leaf in leaves:
        _allocate(leaf, arenas[leaf.backend])
    states: List[Hashable] = []
    awaited = {id(mark) for mark in marks}
    for node in nodes:
        if node.root is None and not node.held and not (node.reuse and _reused(node, arenas)):
            _allocate(node, arenas[node.backend])
        for source in node.src:
            base = source.root or source
            base.uses -= 1
            if not base.uses and base.held and not base.output:
                base.held = False
                arenas[base.backend].free(base.offset, base.size)
        if id(node) in awaited:
            states.append((node.backend, node.offset, *(arena.state() for arena in arenas)))
    return states


def _allocate(tensor: Tensor, arena: Arena) -> None:
    tensor.size = size = arena.padded_size(tensor)
    tensor.offset = arena.allocate(size)
    tensor.held = True


def _reused(node: Tensor, arenas: Sequence[Arena]) -> bool:
    """Whether the node could take the memory of a source that nobody else needs any more."""
    for source in node.src:
        if source.uses == 1 and source.held and source.root is None and not source.output:
            if source.ne == node.ne and source.dtype == node.dtype:
                _hand_over(source, node, arenas[source.backend])
                return True
    return False


def _hand_over(source: Tensor, node: Tensor, arena: Arena) -> None:
    node.backend, node.offset, node.held = source.backend, source.offset, True
    source.held = False
    if arena.device and (source.extra_bytes or node.extra_bytes):
        node.size = arena.padded_size(node)
        if source.size > node.size:
            arena.free(node.offset + node.size, source.size - node.size)
    else:
        node.size = source.size
