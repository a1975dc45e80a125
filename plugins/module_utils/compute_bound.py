"""An upper bound of the compute buffers: for architectures whose graph nobody has written down.

A compute buffer holds the inputs of the graph and, at its fullest, what is alive in one stage of one layer: attention, a
feed-forward network, a mixture of experts, a layer with a state, or the logits. Each stage is bounded by the widths that the
header gives, times how many values of that width the known architectures keep at once in the worst of their layouts.

Held against llama.cpp b10488 on models of all known architectures, as if each were unknown: never below what it reserves.
Source of the inputs: src/llama-graph.cpp (build_inp_*, build_attn_inp_*) and src/llama-kv-cache.cpp (cpy_v) of that version.
"""

from __future__ import annotations

from dataclasses import dataclass

from .compute_graph.builder import NEVER_FLASH, WITH_ENCODER
from .memory_kv import row_bytes, value_width_max
from .memory_settings import Cells, Pool, Settings, cells_of
from .memory_weights import HOST, placement_of
from .model_shape import LayerShape, ModelShape

F32_BYTES = 4
F16_BYTES = 2
I64_BYTES = 8
# Copies of each input where layers lie on several devices (GGML_SCHED_MAX_COPIES of ggml/src/ggml-backend.cpp).
PIPELINE_COPIES = 4
# Values of each width that are alive at once. Residual, normed, and results of networks beside each other:
LIVE_WIDTHS = 5
# On the host: embeddings as an input, looked up, positions looked up, their sum.
LIVE_EMBEDDINGS = 4
# Queries (normed, rotated, joined of parts), keys and values; results of attention as they are and in order.
LIVE_QUERIES = 4
LIVE_KEYS = 3
# Gate, up, and their product; a plain product of the chosen experts and its weighted copy.
LIVE_NETWORK = 3
LIVE_EXPERT_WIDTHS = 3
# Scores, what stands between them and the softmax, and a bias of each head.
LIVE_SCORES = 2
LIVE_SCORES_BIASED = 3
# Projections, convolution with its input, and the scan's results of a layer with a state.
LIVE_STATE = 8
# RWKV blends every token with the one before in six ways at once.
LIVE_STATE_BLENDED = 18
# A result with the converted cache behind it is one block, which rarely fits where another was.
LIVE_CONVERTED = 3
# An indexer whose scores need no memory for each of its heads (ggml/src/ggml-cuda/lightning-indexer.cu).
INDEXER_LENGTH = 128
INDEXER_HEADS = (32, 64)
# Lengths of keys and values that a device's flash attention takes (ggml/src/ggml-cuda/fattn.cu), and of how many heads of
# queries for one of keys the number has to be a multiple; the host computes others.
DEVICE_LENGTHS = {(length, length): 1 for length in (64, 80, 96, 112, 128, 256)}
DEVICE_LENGTHS.update({(192, 128): 8, (320, 256): 32, (512, 512): 2, (576, 512): 2})
DEVICE_KV_TYPES = frozenset({"f16", "q8_0", "q4_0"})


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


@dataclass(frozen=True)
class _Case:
    """What the bound is computed from: a model, its settings, and the worst micro-batch."""

    shape: ModelShape
    settings: Settings
    cells: Cells

    @property
    def tokens(self) -> int:
        """Of the worst micro-batch: as many for every sequence."""
        return -(-self.cells.ubatch_tokens // self.settings.parallel) * self.settings.parallel

    @property
    def row(self) -> int:
        """Bytes of one number per token."""
        return self.tokens * F32_BYTES

    @property
    def flash(self) -> bool:
        """Whether flash attention spares the scores."""
        return self.settings.flash_attention != "off" and self.shape.architecture not in NEVER_FLASH

    def fact(self, key: str) -> int:
        """A size of the header, 0 where it has none."""
        said = self.shape.fact(key)
        return int(said) if isinstance(said, (int, float)) else 0

    @property
    def caches(self) -> tuple[int, ...]:
        """Cells of one sequence in each cache."""
        if self.shape.window_tokens:
            return self.cells.context_cells, self.cells.window_cells
        windowed = self.fact("attention.sliding_window") or self.fact("attention.chunk_size")
        return (self.cells.context_cells,) * (2 if windowed else 1)

    @property
    def seen_cells(self) -> int:
        """Cells that a token may see: of the cache, or without one the tokens of the batch."""
        uncached = self.shape.encoder or not self.shape.causal or self.fact("attention.relative_buckets_count")
        return max(self.cells.context_cells, self.tokens if uncached else 0)


def compute_bound(shape: ModelShape, settings: Settings, accelerators: tuple[Pool, ...]) -> ComputeBuffers:
    """The compute buffers of each pool. ``settings`` resolved; accelerators of kind cpu are the host."""
    case = _Case(shape, settings, cells_of(settings, shape.window_tokens, shape.causal))
    placement = placement_of(len(shape.layers), settings, accelerators)
    inputs, stage = _inputs(case), max(_stages(case))
    if not placement.used:
        return ComputeBuffers((0,) * len(accelerators), inputs + stage, False)
    split = len(placement.used) > 1
    partial = HOST in placement.layers or placement.output == HOST or not settings.kv_offload
    on_device = stage + _converted_cache(case) + inputs * (PIPELINE_COPIES if split else 1)
    on_device += _largest_weight_bytes(case) if partial else 0
    host = inputs * (PIPELINE_COPIES if split else 1) + (stage if partial else _on_host(case))
    sizes = tuple(on_device if index in placement.used else 0 for index in range(len(accelerators)))
    return ComputeBuffers(sizes, host, False)


def _inputs(case: _Case) -> int:
    """Everything that is filled before the graph runs, and the embeddings, which are looked up on the host."""
    shape, tokens = case.shape, case.tokens
    widths = LIVE_EMBEDDINGS + case.fact("n_deepstack_layers")
    layered = shape.per_layer_embedding_length * len(shape.layers)
    mask_bytes = F16_BYTES if case.flash else F32_BYTES
    total = case.row * (widths * shape.embedding_length + 2 * layered + 8)
    for cells in case.caches:
        total += cells * tokens * mask_bytes + 2 * tokens * I64_BYTES
        total += 0 if case.flash else value_width_max(shape) * tokens * I64_BYTES
    if shape.encoder or not shape.causal:
        total += 2 * tokens * tokens * F32_BYTES
    return total + _special_inputs(case)


def _special_inputs(case: _Case) -> int:
    """Distances in buckets, an indexer's mask and rotation, the rotations of a quantised cache, an encoder's results."""
    shape, cells = case.shape, case.cells.context_cells
    total = 2 * max(_lengths(case)) ** 2 * F32_BYTES
    if case.fact("attention.relative_buckets_count"):
        total += cells * case.row + (shape.context_length or 0) * (case.row + 2 * shape.embedding_length * F32_BYTES)
    if shape.indexer_length:
        total += cells * case.row + shape.indexer_length**2 * F32_BYTES
    return total


def _lengths(case: _Case) -> list[int]:
    return [max(layer.key_length, layer.value_length) for layer in case.shape.layers]


def _stages(case: _Case) -> list[int]:
    """Bytes that are alive at once in each kind of stage."""
    beside = case.row * LIVE_WIDTHS * case.shape.embedding_length + _kept(case)
    stages = [beside + _logits(case)]
    for layer in set(case.shape.layers):
        stages.append(beside + _attention(case, layer))
        stages.append(beside + _network(case, layer))
        stages.append(beside + _recurrence(case))
    return stages


def _kept(case: _Case) -> int:
    """What layers leave for later ones: embeddings of each layer, several streams, the cells that an indexer chose."""
    shape = case.shape
    streams = max(case.fact("altup.num_inputs"), case.fact("hyper_connection.count"))
    kept = case.row * (shape.per_layer_embedding_length * len(shape.layers) + LIVE_NETWORK * streams * shape.embedding_length)
    chosen = min(case.fact("attention.indexer.top_k"), case.cells.context_cells)
    block = case.fact("attn_res.block_size")
    checkpoints = 2 * -(-len(shape.layers) // block) if block else 0
    return kept + case.row * (chosen * (len(shape.layers) + 3) + checkpoints * shape.embedding_length)


def _logits(case: _Case) -> int:
    """The logits: of each token that is output, or of all where an architecture does not choose (src/models/cogvlm.cpp)."""
    shape = case.shape
    outputs = (
        case.tokens
        if case.settings.embedding or shape.architecture in WITH_ENCODER or not shape.known
        else case.settings.parallel
    )
    return 2 * outputs * shape.embedding_length * F32_BYTES + outputs * shape.vocabulary_size * F32_BYTES


def _attention(case: _Case, layer: LayerShape) -> int:
    """Projections, heads and results; scores where no flash attention computes them away; an indexer's scores."""
    heads, length = layer.head_count, max(layer.key_length, layer.value_length)
    latent = case.shape.mla.key_length if case.shape.mla else 0
    queries = heads * max(length, latent)
    keys = layer.head_count_kv * (layer.key_length + layer.value_length) + heads * latent
    ranks = case.fact("attention.q_lora_rank") + 2 * case.fact("attention.kv_lora_rank")
    total = case.row * (LIVE_QUERIES * queries + LIVE_KEYS * keys + ranks)
    cells = case.seen_cells
    if not case.flash or _scored(case):
        live = LIVE_SCORES_BIASED if case.fact("attention.relative_buckets_count") else LIVE_SCORES
        total += live * heads * cells * case.row
        total += layer.head_count_kv * layer.value_length * case.cells.streams * cells * F32_BYTES
    if case.shape.indexer_length:
        index_heads = max(case.fact("attention.indexer.head_count"), 1)
        fused = case.shape.known and case.shape.indexer_length == INDEXER_LENGTH and index_heads in INDEXER_HEADS
        scored = LIVE_SCORES * (1 if fused else 1 + index_heads) * cells
        total += case.row * (scored + LIVE_QUERIES * index_heads * case.shape.indexer_length)
    return total


def _scored(case: _Case) -> bool:
    """Whether attention computes its scores even where flash attention was asked for: biases by distance, caps of the router."""
    return bool(
        case.fact("attention.relative_buckets_count")
        or case.shape.fact("attention.logit_softcapping")
        or case.shape.fact("router_logit_softcapping")
    )


def _network(case: _Case, layer: LayerShape) -> int:
    """A dense network, or a mixture of experts and the shared ones beside it."""
    shape, width = case.shape, case.shape.embedding_length
    total = LIVE_NETWORK * case.row * layer.feed_forward_length
    facts = shape.experts
    if facts is not None and facts.count:
        inner = facts.feed_forward_length or layer.feed_forward_length
        shared = facts.shared_feed_forward_length or facts.shared_count * inner
        routed = facts.used_count * (LIVE_NETWORK * inner + LIVE_EXPERT_WIDTHS * width) + LIVE_NETWORK * facts.count
        total = max(total, case.row * (routed + LIVE_NETWORK * shared))
    return total


def _recurrence(case: _Case) -> int:
    """A layer with a state: what it projects, rolls and scans, and the states of all sequences."""
    facts = case.shape.state
    if facts is None:
        return 0
    heads = max(layer.head_count for layer in case.shape.layers)
    width = facts.inner_size + 2 * facts.group_count * facts.state_size + facts.time_step_rank
    width = max(width, heads * facts.head_length, case.shape.embedding_length)
    states = (facts.rolling_elements + facts.state_elements) * case.settings.parallel
    decay = case.tokens // case.settings.parallel * heads if facts.kind == "lightning" else 0
    live = LIVE_STATE_BLENDED if facts.kind == "rwkv" else LIVE_STATE
    return live * case.row * width + LIVE_STATE * states * F32_BYTES + LIVE_SCORES * case.row * decay


def _converted_cache(case: _Case) -> int:
    """Keys and values as F16 behind a device's flash attention, where the cache has another type; largest layer."""
    if not case.flash or (case.settings.kv_type_k == "f16" and case.settings.kv_type_v == "f16"):
        return 0
    return LIVE_CONVERTED * F16_BYTES * _largest_cache_elements(case)


def _largest_cache_elements(case: _Case) -> int:
    """Elements of keys and values of the layer that caches most."""
    rows = max(layer.head_count_kv * (layer.key_length + layer.value_length) for layer in case.shape.layers)
    return rows * case.cells.context_cells * case.cells.streams


def _on_host(case: _Case) -> int:
    """What the host computes of a model whose layers are all on devices, because no device can."""
    total = 0
    types = {case.settings.kv_type_k, case.settings.kv_type_v}
    able = all(_device_attends(layer) for layer in case.shape.layers if layer.attention)
    if case.flash and not (able and len(types) == 1 and types <= DEVICE_KV_TYPES):
        per_element = row_bytes(1024, max(types, key=lambda name: row_bytes(1024, name))) / 1024
        total += int(_largest_cache_elements(case) * per_element) + max(_attention(case, layer) for layer in case.shape.layers)
    return total + _recurrence(case)


def _largest_weight_bytes(case: _Case) -> int:
    """A matrix that lies on the host and is copied to a device for a large batch; taken to be F16."""
    shape, width = case.shape, case.shape.embedding_length
    facts = shape.experts
    inner = max(layer.feed_forward_length for layer in shape.layers)
    experts = facts.count * (facts.feed_forward_length or inner) if facts is not None else 0
    return F16_BYTES * width * max(2 * inner, 2 * experts, *(layer.head_count * layer.key_length for layer in shape.layers))


def _device_attends(layer: LayerShape) -> bool:
    heads = DEVICE_LENGTHS.get((layer.key_length, layer.value_length))
    return heads is not None and not layer.head_count // max(layer.head_count_kv, 1) % heads
