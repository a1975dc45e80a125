"""An upper bound of the compute buffers: for architectures whose graph nobody has written down.

It reserves logits for the whole micro-batch, as ``llama-fit-params`` prints it; a server reserves them for one token per
sequence. Checked against ``llama-fit-params`` b10488 on six architectures: within 3 % with flash attention, up to 8 % too low
without, so 10 % is added there.
"""

from __future__ import annotations

from dataclasses import dataclass

from .memory_settings import Pool, Settings, cells_of
from .memory_weights import HOST, placement_of
from .model_shape import ModelShape

F32_BYTES = 4
# Activations of a layer that are alive together, in widths of the embedding; more where compressed attention decompresses.
LIVE_WIDTHS = 3
LIVE_WIDTHS_COMPRESSED = 10
SCORES_MARGIN = 1.1


@dataclass(frozen=True)
class ComputeBuffers:
    """Bytes by accelerator, in their order, and on the host; ``exact`` False: an upper bound.

    ``reasons`` say why it is a bound. ``graph_splits``: parts in which the backends compute the graph by turns, None where it
    was not laid out; ``notes``: what is odd about that.
    """

    accelerator_bytes: tuple[int, ...]
    host_bytes: int
    exact: bool
    graph_splits: int | None = None
    reasons: tuple[str, ...] = ("compute buffers are a bound: the graph of this architecture is not known",)
    notes: tuple[str, ...] = ()


def compute_bound(shape: ModelShape, settings: Settings, accelerators: tuple[Pool, ...]) -> ComputeBuffers:
    """The compute buffers of each pool. ``settings`` resolved; accelerators of kind cpu are the host."""
    cells = cells_of(settings, shape.window_tokens, shape.causal)
    widths = LIVE_WIDTHS_COMPRESSED if shape.mla else LIVE_WIDTHS
    logits = cells.ubatch_tokens * (shape.vocabulary_size + widths * shape.embedding_length) * F32_BYTES
    mask = cells.total_context_tokens * cells.ubatch_tokens * 2
    largest = max(logits, mask)
    if settings.flash_attention == "off" and not shape.encoder:
        heads = max((layer.head_count for layer in shape.layers), default=0)
        scores = (heads + 1) * cells.context_cells * cells.ubatch_tokens * F32_BYTES
        largest = max(largest, int(scores * SCORES_MARGIN))
    used = placement_of(len(shape.layers), settings, accelerators).used
    if not used:
        return ComputeBuffers((0,) * len(accelerators), largest, False)
    host = mask + cells.ubatch_tokens * shape.embedding_length * F32_BYTES
    copies = 1 if len(used) == 1 else 2
    on_devices = tuple(copies * largest if index in used else 0 for index in range(len(accelerators)))
    partial = HOST in placement_of(len(shape.layers), settings, accelerators).layers
    return ComputeBuffers(on_devices, max(host, largest) if partial else host, False)
