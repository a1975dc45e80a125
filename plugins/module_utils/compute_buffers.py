"""The compute buffers of a loaded model: the graph of its worst micro-batch, built in small and laid out as ggml does.

Source: src/llama-context.cpp (sched_reserve, graph_reserve), src/llama-graph.cpp, src/models/*.cpp, ggml/src/ggml-alloc.c and
ggml/src/ggml-backend.cpp of llama.cpp b10488. An architecture whose graph nobody has written down gets an upper bound.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Dict, Sequence, Tuple

from .compute_bound import ComputeBuffers, compute_bound
from .compute_graph.allocator import Arena
from .compute_graph.builder import WITH_ENCODER, Builder, Plan
from .compute_graph.depth import REPEATS, Walk, kinds_of, shortened
from .compute_graph.families import BUILDERS
from .compute_graph.lifetimes import Lifetimes, lifetimes, slot_sizes
from .compute_graph.scheduler import OFFLOAD_ROWS, schedule
from .compute_graph.tensors import Graph
from .compute_graph.weights import WeightBytes
from .memory_settings import Pool, Settings, cells_of
from .memory_weights import HOST, placement_of
from .model_shape import ModelShape

__all__ = ["ComputeBuffers", "compute_buffers"]

# Alignment of buffers in bytes: ggml/src/ggml-cuda/ggml-cuda.cu, and TENSOR_ALIGNMENT of ggml/src/ggml-cpu.
DEVICE_ALIGNMENT = 128
HOST_ALIGNMENT = 32

Structure = Tuple[Plan, Tuple[bool, ...]]
NUMBERS = ("tokens", "sequences", "outputs", "streams", "context_cells", "window_cells")
NO_NUMBERS = dict.fromkeys(NUMBERS, 0)
# Structures that are remembered; a host's models with a few settings each.
MOST_STRUCTURES = 256
_LIFETIMES: Dict[Tuple[ModelShape, Structure, Tuple[int, ...], int], Lifetimes] = {}


def compute_buffers(shape: ModelShape, settings: Settings, accelerators: tuple[Pool, ...]) -> ComputeBuffers:
    """The compute buffers of each pool. ``settings`` resolved; accelerators of kind cpu are the host."""
    if shape.architecture not in BUILDERS:
        return compute_bound(shape, settings, accelerators)
    devices = tuple(pool for pool in accelerators if pool.kind != "cpu")
    plan = plan_of(shape, settings, devices)
    walk = laid_out(shape, plan, len(devices))
    sizes = iter(walk.arenas)
    on_devices = tuple(next(sizes).bytes if pool.kind != "cpu" else 0 for pool in accelerators)
    return ComputeBuffers(on_devices, walk.arenas[-1].bytes, True, walk.splits)


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


def laid_out(shape: ModelShape, plan: Plan, devices: int) -> Walk:
    """The whole model laid out, from as few layers as are enough."""
    kinds, choices = layers_of(shape, plan.homes)
    for kept in choices:
        graph = graph_of(shape, plan, kept)
        lives = lifetimes_of(graph, shape, structure_of(plan), kept, devices)
        weights = WeightBytes(shape)
        arenas = [Arena(DEVICE_ALIGNMENT, True, weight_bytes=weights) for _device in range(devices)] + [Arena(HOST_ALIGNMENT)]
        walk = Walk(kinds, kept, lives)
        if walk.run(slot_sizes(lives, graph, arenas), arenas):
            break
    return walk


def lifetimes_of(graph: Graph, shape: ModelShape, structure: Structure, layers: Tuple[int, ...], devices: int) -> Lifetimes:
    """Where and when the tensors of a graph live, found out once for graphs that differ in sizes only."""
    key = (shape, structure, layers, devices)
    known = _LIFETIMES.get(key)
    if known is not None and known.fits(graph):
        return known
    if len(_LIFETIMES) >= MOST_STRUCTURES:
        _LIFETIMES.clear()
    plan = structure[0]
    pipeline = devices > 1 and plan.full_offload and plan.kv_offload
    _LIFETIMES[key] = known = lifetimes(schedule(graph, devices, pipeline), graph, devices + 1)
    return known


def structure_of(plan: Plan) -> Structure:
    """What decides the structure of a graph: the plan without its numbers, but with which are large enough for a batch that a
    device takes over from the host.
    """
    numbers = (plan.tokens, plan.outputs, plan.sequences, plan.tokens // plan.sequences, plan.tokens // plan.streams)
    return replace(plan, **NO_NUMBERS), tuple(number >= OFFLOAD_ROWS for number in numbers)


@lru_cache(maxsize=64)
def layers_of(shape: ModelShape, homes: Tuple[int, ...]) -> Tuple[Tuple[int, ...], Tuple[Tuple[int, ...], ...]]:
    """The kinds of the layers, and which layers to build: the fewest first, at last all of them."""
    kinds = kinds_of(shape, homes)
    choices = [shortened(kinds, repeats) for repeats in REPEATS]
    return kinds, tuple(dict.fromkeys((*choices, tuple(range(len(kinds))))))


@lru_cache(maxsize=8)
def graph_of(shape: ModelShape, plan: Plan, layers: Tuple[int, ...]) -> Graph:
    """The graph of these layers. It is kept for the next question: the same model on the CPU and on a device."""
    builder = Builder(shape, plan)
    BUILDERS[shape.architecture](builder, layers)
    return builder.graph
