"""Does a host's resident set fit into its memory, all at once? Every model on its accelerator, the arithmetic spelled out."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..module_utils.declared_shape import metadata_of
from ..module_utils.gguf import GgufError, read_header
from ..module_utils.gguf_remote import Remote
from ..module_utils.memory import PARTS, ModelFiles, PoolParts, predict
from ..module_utils.memory_settings import LLAMA_CPP, OLLAMA, Settings, SettingsError
from ..module_utils.model_shape import MemoryShapeError, describe
from ..module_utils.model_source import files_of, find_model, stores_here
from ..module_utils.packing import GIB_IN_MIB, Budget, DeclaredDemand, Demand, HostFit, Load, Placed, PredictedDemand, fit_host
from .fleet import Accelerator, FileSource, Host, Model, OllamaSource, Policy, UrlSource
from .problems import Problem


def budgets(host: Host, policy: Policy) -> list[Budget]:
    """The budget of each accelerator of a host."""
    return [_budget(accelerator, host, policy) for accelerator in host.accelerators]


def _budget(accelerator: Accelerator, host: Host, policy: Policy) -> Budget:
    said = (accelerator.headroom_gib, host.headroom_gib, policy.headroom_gib)
    headroom_gib = next(value for value in said if value is not None)
    wired_limit = accelerator.wired_limit_gib
    return Budget(
        name=accelerator.name,
        kind=accelerator.kind,
        memory_mib=accelerator.memory_gib * GIB_IN_MIB,
        reserved_mib=accelerator.reserved_gib * GIB_IN_MIB,
        headroom_mib=headroom_gib * GIB_IN_MIB,
        bandwidth_gb_s=accelerator.bandwidth_gb_s,
        wired_limit_mib=None if wired_limit is None else wired_limit * GIB_IN_MIB,
        backend=accelerator.backend,
    )


def budget_problems(host_name: str, pools: Sequence[Budget]) -> list[Problem]:
    """Accelerators of which nothing is left for models."""
    return [
        Problem(
            ("hosts", host_name, "llm_host", "accelerators", index),
            f"a budget of {_gib(pool.budget_mib)} ({_gib(pool.memory_mib)} less {_gib(pool.reserved_mib)} reserved less "
            f"{_gib(pool.headroom_mib)} headroom)",
            "a budget above 0",
            "Correct memory_gib, reserved_gib or headroom_gib.",
        )
        for index, pool in enumerate(pools)
        if pool.budget_mib <= 0
    ]


@dataclass(frozen=True)
class Wanted:
    """What a model asks of memory, on what basis, and where that comes from."""

    demand: Demand
    basis: str
    source: str


# Reads the header of a model that is not declared: its files and where they were found. Raises GgufError.
Find = Callable[[Model], "tuple[ModelFiles, str]"]


def on_disk(model: Model) -> tuple[ModelFiles, str]:
    """The header of a file on this machine."""
    if not isinstance(model.source, FileSource):
        raise GgufError("no header can be read at planning time and nothing is declared")
    return files_of(read_header(model.source.path)), model.source.path


def anywhere(model: Model) -> tuple[ModelFiles, str]:
    """The header of a model wherever it is: a file or an Ollama's store on this machine, a registry, a plain address."""
    if isinstance(model.source, OllamaSource | UrlSource):
        name = model.source.name if isinstance(model.source, OllamaSource) else model.source.url
        found = find_model(name, stores_here(os.environ), Remote())
        return found.files, found.source
    return on_disk(model)


def size_of(name: str, model: Model, host: Host, find: Find = on_disk) -> Wanted | Problem:
    """The demand of a model on a host, or the Problem of a size that nobody knows or settings that no engine takes.

    The header of a file that can be read here wins over a declared size; a declared size over a header elsewhere.
    """
    try:
        files, basis, source = _files(model, find)
    except (GgufError, MemoryShapeError) as error:
        return _size_unknown(name, str(error))
    if files is None:
        total_gib = model.declared.memory_gib if model.declared and model.declared.memory_gib else 0.0
        return Wanted(DeclaredDemand(total_gib * GIB_IN_MIB), basis, source)
    demand = PredictedDemand(files, settings_of(model, host))
    problem = _settings_problem(name, demand)
    return problem or Wanted(demand, basis, source)


def _files(model: Model, find: Find) -> tuple[ModelFiles | None, str, str]:
    declared = model.declared
    if declared is None or isinstance(model.source, FileSource):
        try:
            files, where = find(model)
            return files, "header", where
        except (GgufError, MemoryShapeError):
            if declared is None:
                raise
    if declared.file_bytes is None or declared.shape is None:
        return None, "declared total", declared.source
    shape = describe(metadata_of(declared.shape.model_dump()))
    return ModelFiles(shape, declared.file_bytes), "declared header", declared.source


def cache_ram_mib(host: Host) -> int | None:
    """The limit of each model's prompt cache; a llama.cpp server of ours keeps none unless it is asked to."""
    return 0 if host.cache_ram_mib is None and host.engine == "llama_cpp" else host.cache_ram_mib


def settings_of(model: Model, host: Host) -> Settings:
    """The settings with which the engine of a host loads a model.

    A llama.cpp server of ours takes an input for embeddings in one batch (roles/llama_cpp).
    """
    own = host.engine == "llama_cpp"
    embedding = model.mode == "embedding"
    batch = model.batch_tokens or (model.context_tokens if own and embedding else None)
    return Settings(
        context_tokens=model.context_tokens,
        parallel=model.parallel,
        batch_tokens=batch,
        ubatch_tokens=batch,
        flash_attention="auto" if own else host.flash_attention,
        kv_type_k=model.kv_type,
        kv_type_v=model.kv_type,
        embedding=embedding,
        cache_ram_mib=cache_ram_mib(host),
        engine=OLLAMA if host.engine == "ollama" else LLAMA_CPP,
        engine_version=host.engine_version,
    )


def _settings_problem(name: str, demand: PredictedDemand) -> Problem | None:
    try:
        predict(demand.model, demand.settings)
    except SettingsError as error:
        got = f"settings that cannot be loaded ({error})"
        return Problem(("llm_models", name), got, "settings that the engine takes", "Mend them.")
    return None


def _size_unknown(name: str, reason: str) -> Problem:
    remedy = "Write declared: {memory_gib: …, source: …} as seen in the engine, or file_bytes and shape of its header."
    return Problem(("llm_models", name, "declared"), f"a model of unknown size ({reason})", "a size with its source", remedy)


def place(sizes: Mapping[str, Wanted], pools: Sequence[Budget], host: Host) -> HostFit | None:
    """The models of a host on its accelerators; None where the host has none."""
    if not pools:
        return None
    demands = {name: item.demand for name, item in sizes.items()}
    return fit_host(demands, pools, cpu_too=host.engine == "llama_cpp")


def fit_parts(item: Placed | None, size: Wanted | None) -> dict[str, Any]:
    """The memory of one placed model as plain data: named parts in MiB, what counts against accelerators, and each pool.

    Parts that nobody knows are None.
    """
    if item is None or size is None:
        unknown = dict.fromkeys((*PARTS, "total_mib", "host_mib"))
        reason = "no accelerators are described for this host"
        return {**unknown, "bound": None, "reasons": [], "pools": [], "basis": "unknown", "source": reason}
    load = item.load
    found = load.prediction
    pools = [] if found is None else [pool for pool in found.pools if pool.total_mib > 0]
    parts: dict[str, float | None] = {part: sum(getattr(pool, part) for pool in pools) if pools else None for part in PARTS}
    return {
        **parts,
        "total_mib": load.total_mib,
        "host_mib": load.host_mib,
        "bound": found.bound if found else "declared",
        "reasons": list(found.reasons) if found else [],
        "pools": [_pool(pool) for pool in pools] or _declared_pools(load),
        "basis": size.basis,
        "source": size.source,
    }


def _pool(pool: PoolParts) -> dict[str, Any]:
    return {"name": pool.name, **{part: getattr(pool, part) for part in PARTS}, "total_mib": pool.total_mib}


def _declared_pools(load: Load) -> list[dict[str, Any]]:
    return [{"name": name, **dict.fromkeys(PARTS), "total_mib": size} for name, size in load.accelerator_mib]


def overcommitment(host_name: str, fit: HostFit, pools: Sequence[Budget]) -> Problem | None:
    """The refusal of a resident set that is larger than the host, with the whole sum, or None where it fits."""
    path = ("hosts", host_name, "llm_host", "accelerators")
    if fit.spills:
        return Problem(path, _sum_of(fit), _budget_of(fit, pools), _what_spills(fit, pools))
    if fit.ram_missing_mib:
        beside = " + ".join(f"{item.model} {_gib(item.load.host_mib)}" for item in fit.placed if item.load.host_mib)
        return Problem(
            path,
            f"{_gib(fit.ram_needed_mib)} of the host's memory beside its accelerators ({beside})",
            f"at most {_gib(fit.ram_budget_mib)}",
            f"{_gib(fit.ram_missing_mib)} are missing: lower cache_ram_mib of the host (each model's prompt cache), shorten "
            "context_tokens, or move a model.",
        )
    return None


def _needed_mib(item: Placed) -> float:
    """What a model needs of accelerators, whether it got it or not."""
    return item.load.total_mib + (item.spilled_mib if item.spilled_layers is not None else 0.0)


def _sum_of(fit: HostFit) -> str:
    terms = " + ".join(f"{item.model} {_gib(_needed_mib(item))}" for item in fit.placed)
    return f"{terms} = {_gib(sum(_needed_mib(item) for item in fit.placed))} of models that must be in memory at once"


def _budget_of(fit: HostFit, pools: Sequence[Budget]) -> str:
    graphic = [pool for pool in pools if pool.kind != "cpu"] or list(pools)
    sources = " + ".join(f"{pool.name} {_gib(pool.budget_mib)}" for pool in graphic)
    if sum(_needed_mib(item) for item in fit.placed) <= sum(pool.budget_mib for pool in graphic):
        return f"models that can be packed on {sources}, each whole on one of them or split over all"
    return f"at most {_gib(sum(pool.budget_mib for pool in graphic))} ({sources})"


def _what_spills(fit: HostFit, pools: Sequence[Budget]) -> str:
    spills = [item for item in fit.placed if item.spilled_mib > 0]
    missing = sum(item.spilled_mib for item in spills)
    told = " and ".join(f"{_gib(item.spilled_mib)} of {item.model}" + _layers_told(item) for item in spills)
    how = "find no room" if all(pool.kind == "cpu" for pool in pools) else "would spill to the CPU"
    return (
        f"It is overcommitted by {_gib(missing)}: {told} {how}. In llm_assignments, move a model to another host, take a smaller "
        "one, or shorten its context_tokens."
    )


def _layers_told(item: Placed) -> str:
    found = item.load.prediction
    return f" ({item.spilled_layers} of its {found.layer_count} layers)" if found and item.spilled_layers else ""


def _gib(mib: float | None) -> str:
    return "unknown" if mib is None else f"{mib / GIB_IN_MIB:.1f} GiB"
