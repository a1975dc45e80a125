"""How ggml lays the tensors of a graph into buffers: a replay that returns the size of each buffer.

Source: ggml/src/ggml-alloc.c of llama.cpp b10488 (ggml_dyn_tallocr_*, ggml_gallocr_alloc_graph_impl).
"""

from __future__ import annotations

from bisect import bisect_left
from typing import Any, Callable, Sequence

from .tensors import Tensor, copied_bytes

# GGML_VBUFFER_MAX_CHUNKS: the last chunk takes whatever is left.
MAX_CHUNKS = 16
ENDLESS = 2**62

# Bytes of the weights that a node multiplies with.
WeightBytes = Callable[[Tensor], int]


class Arena:
    """One buffer that grows without limit: free blocks by address, the last of them endless; best fit.

    ``device``: the buffer of an accelerator, where kernels may want memory behind a result.
    """

    def __init__(
        self, alignment: int, device: bool = False, limit: int = ENDLESS, weight_bytes: WeightBytes | None = None
    ) -> None:
        self.alignment = alignment
        self.device = device
        self.limit = limit
        self.starts = [0]
        self.sizes = [limit]
        self.peak = 0
        self.weight_bytes = weight_bytes

    @property
    def bytes(self) -> int:
        return self.peak

    def state(self) -> tuple[Any, ...]:
        """What decides where the next tensors go."""
        return tuple(self.starts), tuple(self.sizes)

    def restore(self, state: tuple[Any, ...]) -> None:
        """Go on from a state; the peak stays."""
        self.starts, self.sizes = list(state[0]), list(state[1])

    def copied_size(self, node: Tensor, index: int) -> int:
        """Bytes of the copy of a node's source."""
        source = node.src[index]
        size = self.weight_bytes(node) if source.weight and self.weight_bytes else copied_bytes(source)
        return (size + self.alignment - 1) // self.alignment * self.alignment

    def replay(self, events: Sequence[int], sizes: Sequence[int], offsets: list[int]) -> None:
        """Allocate slots, and free those that are given as complements; ``sizes`` and ``offsets`` are by slot.

        ``take`` and ``free`` written out: this is where a prediction's time goes.
        """
        starts, blocks, peak = self.starts, self.sizes, self.peak
        for slot in events:
            if slot < 0:
                start = offsets[~slot]
                end = start + sizes[~slot]
                index = bisect_left(starts, start)
                before = index - 1
                if index and starts[before] + blocks[before] == start:
                    blocks[before] += end - start
                    if starts[index] == end:
                        blocks[before] += blocks[index]
                        del starts[index], blocks[index]
                elif starts[index] == end:
                    starts[index] = start
                    blocks[index] += end - start
                else:
                    starts.insert(index, start)
                    blocks.insert(index, end - start)
                continue
            size, found, least = sizes[slot], -1, ENDLESS
            for index, have in enumerate(blocks):
                if size <= have <= least:
                    found, least = index, have
            offsets[slot] = offset = starts[found]
            if least == size:
                del starts[found], blocks[found]
            else:
                starts[found] = end = offset + size
                blocks[found] = least - size
                if end > peak:
                    peak = end
        self.peak = peak

    def best_fit(self, size: int) -> int:
        """Index of the smallest block that is large enough, the last of equals; never the last block. -1: none."""
        found, found_size = -1, ENDLESS
        for index, have in enumerate(self.sizes[:-1]):
            if size <= have <= found_size:
                found, found_size = index, have
        return found

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

    def __init__(self, alignment: int, limit: int, device: bool = False, weight_bytes: WeightBytes | None = None) -> None:
        super().__init__(alignment, device, limit, weight_bytes)
        self.chunks: list[Arena] = []

    @property
    def bytes(self) -> int:
        return sum(chunk.peak for chunk in self.chunks)

    def state(self) -> tuple[Any, ...]:
        return tuple(chunk.state() for chunk in self.chunks)

    def restore(self, state: tuple[Any, ...]) -> None:
        for chunk, kept in zip(self.chunks, state):
            chunk.restore(kept)
        for chunk in self.chunks[len(state) :]:
            chunk.restore(((0,), (chunk.limit,)))

    def replay(self, events: Sequence[int], sizes: Sequence[int], offsets: list[int]) -> None:
        for slot in events:
            if slot >= 0:
                offsets[slot] = self.allocate(sizes[slot])
            else:
                self.free(offsets[~slot], sizes[~slot])

    def allocate(self, size: int) -> int:
        """The address of so many bytes."""
        number, index = self._in_a_gap(size) or self._at_an_end(size)
        return number * ENDLESS + self.chunks[number].take(index, size)

    def free(self, offset: int, size: int) -> None:
        self.chunks[offset // ENDLESS].free(offset % ENDLESS, size)

    def _in_a_gap(self, size: int) -> tuple[int, int] | None:
        """A block that is not the last of its chunk; the last chunk that has one counts."""
        place = None
        for number, chunk in enumerate(self.chunks):
            index = chunk.best_fit(size)
            if index >= 0:
                place = (number, index)
        return place

    def _at_an_end(self, size: int) -> tuple[int, int]:
        """The last block of the chunk that needs to grow least, or of a new chunk."""
        best: int | None = None
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
