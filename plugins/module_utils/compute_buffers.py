"""The compute buffers of a loaded model: the graph of its worst micro-batch, built in small and laid out as ggml does.

Source: src/llama-context.cpp (sched_reserve, graph_reserve), src/llama-graph.cpp, src/models/*.cpp, ggml/src/ggml-alloc.c and
ggml/src/ggml-backend.cpp of llama.cpp b10488. An architecture whose graph nobody has written down gets an upper bound.
"""

from __future__ import annotations

import gc
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache
from typing import Iterator, Sequence, Tuple

from .compute_bound import ComputeBuffers, compute_bound
from .compute_graph.allocator import Arena, ChunkedArena
from .compute_graph.builder import WITH_ENCODER, Builder, Plan
from .compute_graph.depth import REPEATS, Walk, kinds_of, shortened
from .compute_graph.families import BUILDERS
from .compute_graph.lifetimes import Lifetimes, lifetimes, slot_sizes
from .compute_graph.scheduler import OFFLOAD_ROWS, PIPELINE_COPIES, schedule
from .compute_graph.tensors import FLASH_ATTENTION, Graph
from .compute_graph.weights import WeightBytes
from .memory_settings import Pool, Settings, cells_of
from .memory_weights import HOST, placement_of
from .model_shape import ModelShape

__all__ = ["ComputeBuffers", "compute_buffers"]

# Alignment of buffers in bytes: ggml/src/ggml-cuda/ggml-cuda.cu, ggml-metal/ggml-metal.cpp, TENSOR_ALIGNMENT of ggml-cpu; of
# Vulkan the most that a device may ask for (minStorageBufferOffsetAlignment).
ALIGNMENTS = {"cuda": 128, "rocm": 128, "metal": 32, "vulkan": 256}
HOST_ALIGNMENT = 32
# suballocation_block_size of ggml/src/ggml-vulkan/ggml-vulkan.cpp: at most so much is allocated at once.
VULKAN_BLOCK_BYTES = 2**30
# What is added where the replay is not known to be exact, as a share. With layers or the cache on the host most models agree
# with llama.cpp's own allocator, but some were up to two fifths too low.
HOST_MARGIN = 1 / 2
BACKEND_MARGIN = 1 / 4
# Measured with llama.cpp b10488 on two and three simulated devices: up to 34 % above the replay (Falcon 40B).
FURTHER_MARGIN = 1 / 2
# Embeddings of each layer that pass from the host to several devices: up to so many times more than the replay finds.
LAYER_EMBEDDING_COPIES = 3
F32_BYTES = 4
# ggml/src/ggml-metal keeps scratch memory behind the results of its attention (ggml_metal_op_flash_attn_ext_extra_*): 17 MiB
# for 32 heads of 128 elements, and half as much again for keys, values and the mask.
SCRATCH_BYTES = 32 * 2**20

Structure = Tuple[Plan, Tuple[int, ...]]
# Structures that are remembered; a host's models with a few settings each.
MOST_STRUCTURES = 256
_LIFETIMES: dict[tuple[ModelShape, Structure, tuple[int, ...], int], Lifetimes] = {}

# Which choice of layers was enough for a structure; the next question begins with it.
_SUFFICED: dict[tuple[ModelShape, Structure, int], int] = {}


@lru_cache(maxsize=1024)
def compute_buffers(shape: ModelShape, settings: Settings, accelerators: tuple[Pool, ...]) -> ComputeBuffers:
    """The compute buffers of each pool. ``settings`` resolved; accelerators of kind cpu are the host."""
    if shape.architecture not in BUILDERS:
        return compute_bound(shape, settings, accelerators)
    with without_collecting():
        return _replayed(shape, settings, accelerators)


@contextmanager
def without_collecting() -> Iterator[None]:
    """A graph is thousands of small objects that all live to its end: looking for garbage among them costs a sixth."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _replayed(shape: ModelShape, settings: Settings, accelerators: tuple[Pool, ...]) -> ComputeBuffers:
    devices = tuple(pool for pool in accelerators if pool.kind != "cpu")
    plan = plan_of(shape, settings, devices)
    if devices and _blends(shape) and (len(devices) > 1 or _on_host(plan) or not plan.kv_offload):
        return _blended_bound(shape, settings, accelerators, plan)
    walk, graph = laid_out(shape, plan, devices)
    if settings.flash_attention == "auto" and devices and _without_kernel(graph, FLASH_ATTENTION):
        walk, graph = laid_out(shape, replace(plan, flash=False, values_by_row=True), devices)
    reasons = _reasons(settings, plan, devices)
    margin = 0.0 if not reasons else BACKEND_MARGIN if plan.kv_offload and not _on_host(plan) else HOST_MARGIN
    passed = LAYER_EMBEDDING_COPIES * _layer_embeddings_bytes(shape, plan) if len(devices) > 1 and _on_host(plan) else 0
    if len(devices) > 1:
        reasons += ("several accelerators: the compute buffers of all but the first are counted with a margin",)
    # The first of several devices agrees with the engine everywhere, the others not for every model and batch.
    margins = [margin, *[max(margin, FURTHER_MARGIN)] * (len(devices) - 1)]
    sizes = [_bounded(arena.bytes, pool, share) + passed for arena, pool, share in zip(walk.arenas, devices, margins)]
    found = iter(sizes)
    return ComputeBuffers(
        accelerator_bytes=tuple(0 if pool.kind == "cpu" else next(found) for pool in accelerators),
        host_bytes=walk.arenas[-1].bytes,
        exact=not reasons,
        graph_splits=walk.splits,
        reasons=reasons,
        notes=_notes(graph, plan, walk.splits) if devices else (),
    )


def _reasons(settings: Settings, plan: Plan, devices: Sequence[Pool]) -> tuple[str, ...]:
    """Why the buffers are no more than a bound."""
    reasons = []
    other = sorted({pool.backend for pool in devices} - {"cuda"})
    if other:
        reasons.append(f"compute buffers of {' and '.join(other)} are taken for CUDA's, with a margin")
    if devices and _on_host(plan):
        reasons.append("layers on the host: what the device copies of them for large batches is counted with a margin")
    if devices and not settings.kv_offload:
        reasons.append("the cache stays on the host: what passes between it and the device is counted with a margin")
    return tuple(reasons)


def _blends(shape: ModelShape) -> bool:
    """RWKV: llama.cpp computes a step of every layer on the host, which the replay does not find."""
    return shape.state is not None and shape.state.kind == "rwkv"


def _blended_bound(shape: ModelShape, settings: Settings, accelerators: tuple[Pool, ...], plan: Plan) -> ComputeBuffers:
    """A bound where several devices keep copies of what each layer passes to the host and back."""
    bound = compute_bound(shape, settings, accelerators)
    passed = PIPELINE_COPIES * shape.embedding_length * plan.tokens * F32_BYTES * shape.block_count
    on_devices = tuple(size + passed if size else 0 for size in bound.accelerator_bytes)
    reason = "compute buffers are a bound: each layer passes something to the host and back"
    return replace(bound, accelerator_bytes=on_devices, host_bytes=bound.host_bytes + passed, reasons=(reason,))


def _layer_embeddings_bytes(shape: ModelShape, plan: Plan) -> int:
    """Embeddings of each layer for the whole batch (Gemma 3n and 4)."""
    return shape.per_layer_embedding_length * shape.block_count * plan.tokens * F32_BYTES


def _on_host(plan: Plan) -> bool:
    """Whether layers stay on the host beside devices."""
    return plan.devices in (*plan.homes, plan.output_home)


def _bounded(size: int, pool: Pool, margin: float) -> int:
    if not margin or not size:
        return size
    return size + int(size * margin) + (0 if pool.backend in ("cuda", "rocm") else SCRATCH_BYTES)


def _notes(graph: Graph, plan: Plan, splits: int) -> tuple[str, ...]:
    """What the devices have no kernel for although the layers are theirs."""
    if plan.devices in plan.homes:
        return ()
    if _without_kernel(graph, FLASH_ATTENTION):
        return (f"the accelerator has no flash attention for these heads and caches: it runs on the CPU, in {splits} parts",)
    if any(not node.on_device for node in graph.nodes):
        return (f"the accelerator has no kernels for some layers' operations: they run on the CPU, in {splits} parts",)
    return ()


def _without_kernel(graph: Graph, op: int) -> bool:
    return any(node.op == op and not node.on_device for node in graph.nodes)


def plan_of(shape: ModelShape, settings: Settings, devices: Sequence[Pool]) -> Plan:
    """The worst case of a model with these settings. Without devices it is planned as if there were one with everything, which
    makes the same graph.
    """
    cells = cells_of(settings, shape.window_tokens, shape.causal)
    tokens = min(cells.total_context_tokens, cells.ubatch_tokens)
    most = settings.batch_tokens or tokens
    count = len(shape.layers)
    backends = max(len(devices), 1)
    placement = placement_of(count, settings, tuple(devices))
    homes = [backends if index == HOST else index for index in (*placement.layers, placement.output)]
    return Plan(
        tokens=-(-tokens // settings.parallel) * settings.parallel,
        sequences=settings.parallel,
        outputs=min(tokens, most if settings.embedding or shape.architecture in WITH_ENCODER else settings.parallel),
        streams=cells.streams,
        context_cells=cells.context_cells,
        window_cells=cells.window_cells,
        flash=settings.flash_attention != "off",
        kv_type_k=settings.kv_type_k,
        kv_type_v=settings.kv_type_v,
        embedding=settings.embedding,
        homes=tuple(homes[:-1]) if devices else (0,) * count,
        output_home=homes[-1] if devices else 0,
        devices=backends,
        device_kind=devices[0].backend if devices else "cuda",
        kv_offload=settings.kv_offload if devices else True,
        full_offload=not devices or settings.gpu_layers is None or settings.gpu_layers > count,
    )


def laid_out(shape: ModelShape, plan: Plan, devices: Sequence[Pool]) -> tuple[Walk, Graph]:
    """The whole model laid out, from as few layers as are enough.

    Where parts of every layer are computed elsewhere, layers that look alike are not: all of them are built.
    """
    kinds, choices = layers_of(shape, plan.homes)
    if not plan.kv_offload or (len(devices) > 1 and not plan.full_offload):
        choices = choices[-1:]
    structure = structure_of(plan)
    tried = (shape, structure, len(devices))
    for kept in choices[_SUFFICED.get(tried, 0) :]:
        graph = graph_of(shape, plan, kept)
        lives = lifetimes_of(graph, shape, structure, kept, len(devices))
        arenas = [*_device_arenas(shape, devices), Arena(HOST_ALIGNMENT)]
        walk = Walk(kinds, kept, lives)
        if walk.run(slot_sizes(lives, graph, arenas), arenas):
            break
    _SUFFICED[tried] = choices.index(kept)
    return walk, graph


def _device_arenas(shape: ModelShape, devices: Sequence[Pool]) -> list[Arena]:
    weights = WeightBytes(shape) if devices else None
    return [
        ChunkedArena(ALIGNMENTS["vulkan"], VULKAN_BLOCK_BYTES, True, weights)
        if pool.backend == "vulkan"
        else Arena(ALIGNMENTS.get(pool.backend, HOST_ALIGNMENT), True, weight_bytes=weights)
        for pool in devices
    ]


def lifetimes_of(graph: Graph, shape: ModelShape, structure: Structure, layers: tuple[int, ...], devices: int) -> Lifetimes:
    """Where and when the tensors of a graph live, found out once for graphs that differ in sizes only."""
    key = (shape, structure, layers, devices)
    known = _LIFETIMES.get(key)
    if known is not None and known.fits(graph):
        return known
    if len(_LIFETIMES) >= MOST_STRUCTURES:
        _LIFETIMES.clear()
        _SUFFICED.clear()
    plan = structure[0]
    pipeline = devices > 1 and plan.full_offload and plan.kv_offload
    _LIFETIMES[key] = known = lifetimes(schedule(graph, devices, pipeline), graph, devices + 1)
    return known


def structure_of(plan: Plan) -> Structure:
    """What decides the structure of a graph: the plan without its numbers. Where layers are on the host, also numbers that make
    a batch too small for a device to take it over.
    """
    bare = replace(plan, tokens=0, sequences=0, outputs=0, streams=0, context_cells=0, window_cells=0)
    if not _on_host(plan):
        return bare, ()
    numbers = (plan.tokens, plan.outputs, plan.sequences, plan.streams)
    return bare, tuple(min(number, OFFLOAD_ROWS) for number in numbers)


@lru_cache(maxsize=64)
def layers_of(shape: ModelShape, homes: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[tuple[int, ...], ...]]:
    """The kinds of the layers, and which layers to build: the fewest first, at last all of them."""
    kinds = kinds_of(shape, homes)
    choices = [shortened(kinds, repeats) for repeats in REPEATS]
    return kinds, tuple(dict.fromkeys((*choices, tuple(range(len(kinds))))))


@lru_cache(maxsize=8)
def graph_of(shape: ModelShape, plan: Plan, layers: tuple[int, ...]) -> Graph:
    """The graph of these layers. It is kept for the next question: the same model on the CPU and on a device."""
    builder = Builder(shape, plan)
    BUILDERS[shape.architecture](builder, layers)
    return builder.graph
