"""An inventory's host, models and predicted sizes in the words of admission."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from typing import cast

from ..module_utils.memory import HOST_GROWTH, PoolParts, Prediction, predict, tensors_of_file
from ..module_utils.memory_before_llama_server import old_layer_caches
from ..module_utils.memory_kv import LayerCache, layer_caches
from ..module_utils.memory_settings import Pool, Settings, SettingsError, for_model, resolved, runs_models_itself
from ..module_utils.memory_weights import layer_bytes, placed_weights
from ..module_utils.model_shape import ModelShape
from ..module_utils.packing import Budget, DeclaredDemand, PredictedDemand
from .admission_types import (
    MIB,
    Accelerator,
    Candidate,
    EngineHost,
    EngineShape,
    Footprint,
    Library,
    Loading,
    Measure,
    RunnerOptions,
    ServerSettings,
)
from .fit import Wanted
from .fleet import EngineServer, Host, Model

FLASH_ATTENTION = {"on": True, "off": False, "auto": None}
# Layers share several accelerators by their free memory; only how many there are changes what each buffer takes.
ALIKE_MIB = 1.0


def engine_host(host: Host, pools: list[Budget]) -> EngineHost:
    """What the engine finds: devices with what others leave of them. Headroom is ours, the engine does not know of it."""
    capabilities = {item.name: item.compute_capability for item in host.accelerators}
    devices = tuple(_accelerator(pool, capabilities[pool.name]) for pool in pools if pool.kind != "cpu")
    ram = [pool.memory_mib - pool.reserved_mib for pool in pools if pool.kind == "cpu"]
    return EngineHost(devices, ram_free_mib=sum(ram) if ram else None)


def _accelerator(pool: Budget, capability: float | None) -> Accelerator:
    return Accelerator(
        name=pool.name,
        library=cast(Library, pool.library),
        total_mib=pool.memory_mib,
        free_mib=pool.memory_mib - pool.reserved_mib,
        integrated=pool.kind == "unified",
        compute_capability=None if capability is None else _capability(capability),
    )


def _capability(number: float) -> tuple[int, int]:
    """``6.1`` as it is written: two numbers."""
    major, minor = f"{number:.1f}".split(".")
    return int(major), int(minor)


def server_settings(host: Host, parallel: int, kv_type: str) -> ServerSettings:
    """The engine's environment: what was said to be set, and what the plan of models has decided already."""
    said = (host.server or EngineServer()).model_dump()
    return ServerSettings(
        **said,
        num_parallel=parallel,
        kv_cache_type=kv_type,
        flash_attention=FLASH_ATTENTION[host.flash_attention],
    )


def candidate(name: str, engine_model: str, model: Model, wanted: Wanted) -> Candidate:
    """One model that shall be loaded with its planned context. Names of one engine model share its runner."""
    demand = wanted.demand
    options = RunnerOptions(num_ctx=model.context_tokens, num_batch=model.batch_tokens, main_gpu=model.main_gpu)
    if not isinstance(demand, PredictedDemand):
        real = Footprint(demand.total_mib) if isinstance(demand, DeclaredDemand) else None
        return Candidate(
            name,
            blob_digest=engine_model,
            is_embedding=model.mode == "embedding",
            options=options,
            real=real,
            needed_context_tokens=model.context_tokens,
        )
    shape = demand.model.shape
    return Candidate(
        name=name,
        file_bytes=demand.model.file_bytes,
        shape=engine_shape(shape),
        blob_digest=engine_model,
        family=str(shape.fact("general.architecture.written") or shape.architecture),
        is_embedding=model.mode == "embedding",
        is_multimodal=bool(demand.model.projector_bytes or (shape.tensors and shape.tensors.projector_bytes)),
        options=options,
        needed_context_tokens=model.context_tokens,
    )


def engine_shape(shape: ModelShape) -> EngineShape:
    """The header's facts that the engine's own rule reads, as they were written: an absent key stays absent."""

    def number(key: str) -> int | None:
        value = shape.fact(key)
        return value if isinstance(value, int) else None

    def heads(key: str) -> int | tuple[int, ...] | None:
        value = shape.fact(key)
        return tuple(value) if isinstance(value, list | tuple) else value if isinstance(value, int) else None

    return EngineShape(
        architecture=str(shape.fact("general.architecture.written") or shape.architecture),
        block_count=number("block_count") or 0,
        embedding_length=number("embedding_length") or 0,
        head_count=heads("attention.head_count"),
        head_count_kv=heads("attention.head_count_kv"),
        key_length=number("attention.key_length"),
        value_length=number("attention.value_length"),
        context_length=number("context_length"),
        vocabulary=number("vocab_size"),
    )


def measuring(sizes: Mapping[str, Wanted], pools: list[Budget]) -> Measure:
    """What each model takes as the engine decides to load it. None where no engine loads it so, or only a total is known."""
    graphic = [pool for pool in pools if pool.kind != "cpu"]

    def measure(asked: Candidate, loading: Loading) -> Footprint | None:
        demand = sizes[asked.name].demand if asked.name in sizes else None
        if not isinstance(demand, PredictedDemand):
            return None
        devices = tuple(Pool(pool.name, pool.kind, ALIKE_MIB, pool.library) for pool in graphic[: loading.accelerators])
        try:
            return footprint(demand, loading, devices)
        except SettingsError:
            return None

    return measure


@lru_cache(maxsize=4096)
def footprint(demand: PredictedDemand, loading: Loading, devices: tuple[Pool, ...]) -> Footprint:
    """What a load takes, whole on the first device, or on the CPU without any. Raises SettingsError."""
    settings = replace(
        demand.settings,
        context_tokens=loading.context_tokens,
        parallel=loading.parallel,
        batch_tokens=loading.batch_tokens,
        ubatch_tokens=None,
        flash_attention="on" if loading.flash_attention else "off",
        kv_type_k=loading.kv_cache_type,
        kv_type_v=loading.kv_cache_type,
    )
    on_cpu = _at_load(predict(demand.model, settings).host)
    if not devices:
        return Footprint(device_mib=on_cpu, cpu_mib=on_cpu)
    alone = predict(demand.model, settings, devices[:1])
    device = alone.accelerators[0]
    size = device.total_mib - device.overhead_mib
    chosen = resolved(for_model(settings, demand.model.shape), devices[:1])
    caches = _caches(demand, chosen)
    shared = predict(demand.model, settings, devices) if len(devices) > 1 else None
    return Footprint(
        device_mib=size,
        host_mib=_at_load(alone.host),
        process_mib=device.overhead_mib,
        unseen_mib=device.projector_mib + _overwritten_cache_mib(caches),
        split_extra_mib=_split_extra_mib(shared, size) if shared else 0.0,
        cpu_mib=on_cpu,
        layers_mib=_layer_mib(demand, chosen, caches, devices[0]),
        graph_mib=device.compute_mib,
    )


def _at_load(host: PoolParts) -> float:
    """The host's part when a model has just been loaded: caches that grow with use are still empty."""
    return host.total_mib - sum(float(getattr(host, part)) for part in HOST_GROWTH)


def _split_extra_mib(shared: Prediction, whole_mib: float) -> float:
    buffers = sum(part.total_mib - part.overhead_mib for part in shared.accelerators)
    return max(0.0, (buffers - whole_mib) / (len(shared.accelerators) - 1))


def _caches(demand: PredictedDemand, settings: Settings) -> tuple[LayerCache, ...]:
    old = runs_models_itself(settings)
    return old_layer_caches(demand.model.shape, settings) if old else layer_caches(demand.model.shape, settings)


def _overwritten_cache_mib(caches: tuple[LayerCache, ...]) -> float:
    """Two caches of one model are printed in lines of one shape; the engine keeps the last, the window's.

    Source: memoryParsingWriter of llm/llama_server.go, Ollama v0.33.0.
    """
    if not any(cache.window_bytes for cache in caches):
        return 0.0
    return sum(cache.full_bytes for cache in caches) / MIB


def _layer_mib(demand: PredictedDemand, settings: Settings, caches: tuple[LayerCache, ...], device: Pool) -> tuple[float, ...]:
    """Weights and caches by layer, the output last."""
    shape = demand.model.shape
    tensors = shape.tensors or tensors_of_file(demand.model)
    shape = replace(shape, tensors=tensors)
    weights = layer_bytes(shape, tensors)
    output = placed_weights(shape, settings, (device,)).accelerator_bytes[0] - sum(weights)
    layers = [size + cache.kv_bytes + cache.state_bytes for size, cache in zip(weights, caches, strict=True)]
    return tuple(size / MIB for size in (*layers, output))
