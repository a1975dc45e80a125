"""Does a host's resident set fit into its memory, all at once? Sizes by model, budgets by accelerator, the sum spelled out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..module_utils.gguf import GgufError, read_header
from ..module_utils.memory import MemoryShapeError, model_parts, shape_of
from .fleet import Accelerator, Declared, FileSource, Host, Model, Policy
from .problems import Problem

GIB_IN_MIB = 1024


@dataclass(frozen=True)
class Budget:
    """What models may use of one accelerator, in MiB: memory less reserved less headroom."""

    name: str
    kind: str
    memory_mib: float
    reserved_mib: float
    headroom_mib: float
    bandwidth_gb_s: float | None

    @property
    def budget_mib(self) -> float:
        return self.memory_mib - self.reserved_mib - self.headroom_mib


def budgets(host: Host, policy: Policy) -> list[Budget]:
    """The budget of each accelerator of a host."""
    return [_budget(accelerator, host, policy) for accelerator in host.accelerators]


def _budget(accelerator: Accelerator, host: Host, policy: Policy) -> Budget:
    said = (accelerator.headroom_gib, host.headroom_gib, policy.headroom_gib)
    headroom_gib = next(value for value in said if value is not None)
    return Budget(
        name=accelerator.name,
        kind=accelerator.kind,
        memory_mib=accelerator.memory_gib * GIB_IN_MIB,
        reserved_mib=accelerator.reserved_gib * GIB_IN_MIB,
        headroom_mib=headroom_gib * GIB_IN_MIB,
        bandwidth_gb_s=accelerator.bandwidth_gb_s,
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


def model_fit(name: str, model: Model, accelerator_kind: str) -> dict[str, Any] | Problem:
    """The named parts of one loaded model in MiB, their basis and source, or the Problem of a size that nobody knows.

    A header that can be read here wins over a declared size; parts that a declared total does not name are None.
    """
    if isinstance(model.source, FileSource):
        try:
            header = read_header(model.source.path)
            file_bytes, shape = header.known_bytes(), shape_of(header.metadata)
        except (GgufError, MemoryShapeError) as error:
            if model.declared is None:
                return _size_unknown(name, str(error))
        else:
            parts = model_parts(file_bytes, shape, *_settings(model), accelerator_kind)
            return {**parts, "basis": "header", "source": model.source.path}
    if model.declared is None:
        return _size_unknown(name, "no header can be read at planning time and nothing is declared")
    return _declared_fit(model, model.declared, accelerator_kind)


def _declared_fit(model: Model, declared: Declared, accelerator_kind: str) -> dict[str, Any]:
    if declared.file_bytes is not None and declared.shape is not None:
        sizes = model_parts(declared.file_bytes, declared.shape.model_dump(), *_settings(model), accelerator_kind)
        return {**sizes, "basis": "declared header", "source": declared.source}
    parts = dict.fromkeys(("weights_mib", "kv_cache_mib", "overhead_mib"))
    total_mib = None if declared.memory_gib is None else declared.memory_gib * GIB_IN_MIB
    return {**parts, "total_mib": total_mib, "basis": "declared total", "source": declared.source}


def _settings(model: Model) -> tuple[int, int, str]:
    return model.context_tokens, model.parallel, model.kv_type


def _size_unknown(name: str, reason: str) -> Problem:
    remedy = "Write declared: {memory_gib: …, source: …} as seen in the engine, or file_bytes and shape of its header."
    return Problem(("llm_models", name, "declared"), f"a model of unknown size ({reason})", "a size with its source", remedy)


def packing(totals: Mapping[str, float], pools: Sequence[Budget]) -> dict[str, str] | None:
    """Model -> accelerator so that each model is whole on one and none is overfull; None where there is no such way.

    Exhaustive, largest first: resident sets are a handful of models on a handful of accelerators.
    """
    free = {pool.name: pool.budget_mib for pool in pools}
    order = sorted(totals, key=lambda model: (-totals[model], model))
    return _pack(order, totals, free)


def _pack(order: Sequence[str], totals: Mapping[str, float], free: dict[str, float]) -> dict[str, str] | None:
    if not order:
        return {}
    model, rest = order[0], order[1:]
    for name in sorted(free, key=lambda pool: (-free[pool], pool)):
        if totals[model] <= free[name]:
            placed = _pack(rest, totals, {**free, name: free[name] - totals[model]})
            if placed is not None:
                return {model: name, **placed}
    return None


def overcommitment(host_name: str, totals: Mapping[str, float], pools: Sequence[Budget]) -> Problem | None:
    """The refusal of a resident set that is larger than the host, with the whole sum, or None where the sum fits."""
    needed = sum(totals.values())
    budget = sum(pool.budget_mib for pool in pools)
    if needed <= budget:
        return None
    terms = " + ".join(f"{model} {_gib(total)}" for model, total in totals.items())
    sources = " + ".join(f"{pool.name} {_gib(pool.budget_mib)}" for pool in pools)
    return Problem(
        ("hosts", host_name, "llm_host", "accelerators"),
        f"{terms} = {_gib(needed)} of models that must be in memory at once",
        f"at most {_gib(budget)} ({sources})",
        f"It is overcommitted by {_gib(needed - budget)}: in llm_assignments, move a model to another host, take a smaller "
        "one, or shorten its context_tokens.",
    )


def _gib(mib: float) -> str:
    return f"{mib / GIB_IN_MIB:.1f} GiB"
