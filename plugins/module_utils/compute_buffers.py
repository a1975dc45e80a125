"""The compute buffers of a loaded model: the graph of its worst micro-batch, built in small and laid out as ggml does.

Source: src/llama-context.cpp (sched_reserve, graph_reserve), src/llama-graph.cpp, src/models/*.cpp, ggml/src/ggml-alloc.c and
ggml/src/ggml-backend.cpp of llama.cpp b10488. An architecture whose graph nobody has written down gets an upper bound.
"""

from __future__ import annotations

from typing import Sequence

from .compute_bound import ComputeBuffers, compute_bound
from .compute_graph.allocator import Arena
from .compute_graph.builder import Builder, Plan
from .compute_graph.depth import REPEATS, Walk, kinds_of, shortened
from .compute_graph.families import BUILDERS
from .compute_graph.lifetimes import lifetimes
from .compute_graph.scheduler import schedule
from .memory_settings import Pool, Settings, cells_of
from .model_shape import ModelShape

__all__ = ["ComputeBuffers", "compute_buffers"]


def plan_of(shape: ModelShape, settings: Settings, devices: int) -> Plan:
    cells = cells_of(settings, shape.window_tokens, shape.causal)
    tokens = min(cells.total_context_tokens, cells.ubatch_tokens)
    batch = settings.batch_tokens
    outputs = min(tokens, batch if settings.embedding else settings.parallel)
    tokens = -(-tokens // settings.parallel) * settings.parallel
    n = len(shape.layers)
    return Plan(
        tokens=tokens, sequences=settings.parallel, outputs=outputs, streams=cells.streams, context_cells=cells.context_cells,
        window_cells=cells.window_cells, flash=settings.flash_attention != "off", kv_type_k=settings.kv_type_k, kv_type_v=settings.kv_type_v,
        embedding=settings.embedding, homes=(0,) * n, output_home=0, devices=devices, device_kind="cuda", kv_offload=True, full_offload=devices > 0,
    )


def compute_buffers(shape: ModelShape, settings: Settings, accelerators: tuple[Pool, ...]) -> ComputeBuffers:
    if shape.architecture not in BUILDERS or len(accelerators) > 1 or settings.gpu_layers is not None:
        return compute_bound(shape, settings, accelerators)
    devices = len([pool for pool in accelerators if pool.kind != "cpu"])
    plan = plan_of(shape, settings, devices)
    kinds = kinds_of(shape, plan.homes)
    for repeats in REPEATS:
        kept = shortened(kinds, repeats)
        result = measured(shape, plan, kinds, kept)
        if result: return result
    return measured(shape, plan, kinds, tuple(range(len(kinds))))


def measured(shape, plan, kinds, layers):
    b = Builder(shape, plan)
    BUILDERS[shape.architecture](b, layers)
    s = schedule(b.graph, plan.devices)
    arenas = [Arena(128, True) for _device in range(plan.devices)] + [Arena(32)]
    w = Walk(kinds, layers, lifetimes(s, b.graph.marks, arenas), arenas)
    if not w.run(): return None
    return ComputeBuffers(tuple(a.bytes for a in arenas[:-1]), arenas[-1].bytes, True)
