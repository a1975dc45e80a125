"""A host's fit as plain data and as a table that a person understands."""

from __future__ import annotations

from typing import Any, Sequence

from .memory import PARTS, PoolParts
from .packing import Budget, HostFit, Placed

GIB_IN_MIB = 1024
COLUMNS = {
    "weights_mib": "weights",
    "kv_cache_mib": "kv cache",
    "state_mib": "state",
    "compute_mib": "compute",
    "output_mib": "output",
    "projector_mib": "projector",
    "overhead_mib": "process",
    "prompt_cache_mib": "prompt cache",
    "checkpoint_mib": "checkpoints",
}


def models_data(fit: HostFit) -> list[dict[str, Any]]:
    """Each placed model: where it is, its parts in each memory, how exact that is, and what of it spills."""
    return [_model_data(item) for item in fit.placed]


def _model_data(item: Placed) -> dict[str, Any]:
    found = item.load.prediction
    return {
        "model": item.model,
        "accelerators": list(item.accelerators),
        "total_mib": rounded(item.load.total_mib),
        "host_mib": rounded(item.load.host_mib),
        "pools": [_pool_data(pool) for pool in found.pools if pool.total_mib] if found else [],
        "bound": found.bound if found else "declared",
        "reasons": list(found.reasons) if found else [],
        "offloaded_layers": found.offloaded_layers if found else None,
        "layer_count": found.layer_count if found else None,
        "spilled_layers": item.spilled_layers,
        "spilled_mib": rounded(item.spilled_mib),
    }


def _pool_data(pool: PoolParts) -> dict[str, Any]:
    parts = {part: rounded(getattr(pool, part)) for part in PARTS}
    return {"name": pool.name, **parts, "total_mib": rounded(pool.total_mib)}


def accelerators_data(fit: HostFit, budgets: Sequence[Budget]) -> list[dict[str, Any]]:
    """Each accelerator: memory, budget, what models need of it, what is left, and the verdict fits, spills or over."""
    found = []
    for budget in budgets:
        free = fit.free_mib[budget.name]
        found.append(
            {
                "name": budget.name,
                "kind": budget.kind,
                "memory_mib": rounded(budget.memory_mib),
                "budget_mib": rounded(budget.budget_mib),
                "needed_mib": rounded(budget.budget_mib - free),
                "free_mib": rounded(free),
                "verdict": _verdict(fit, budget, free),
            }
        )
    return found


def _verdict(fit: HostFit, budget: Budget, free_mib: float) -> str:
    if free_mib < 0 or (budget.kind == "unified" and fit.ram_missing_mib):
        return "over"
    spills = any(item.spilled_mib and budget.name in dict(item.load.accelerator_mib) for item in fit.placed)
    return "spills" if spills else "fits"


def host_memory_data(fit: HostFit) -> dict[str, float | None]:
    """What is needed of the host's memory beside the accelerators, and what there is; None: nobody said."""
    return {"needed_mib": rounded(fit.ram_needed_mib), "budget_mib": rounded(fit.ram_budget_mib)}


def fit_table(fit: HostFit, budgets: Sequence[Budget]) -> str:
    """Models with their parts, accelerators with their sums, and a sentence for everything that does not fit. In GiB."""
    blocks = [_lines(_model_rows(fit)), _lines(_accelerator_rows(fit, budgets))]
    told = [*_spill_sentences(fit), *_bound_sentences(fit)]
    return "\n\n".join([*blocks, *(["\n".join(told)] if told else [])])


def _model_rows(fit: HostFit) -> list[list[str]]:
    pools = [(item.model, pool) for item in fit.placed if item.load.prediction for pool in item.load.prediction.pools]
    used = [(model, pool) for model, pool in pools if pool.total_mib]
    shown = [part for part in PARTS if any(getattr(pool, part) for _model, pool in used)]
    rows = [["model", "memory", *(COLUMNS[part] for part in shown), "GiB"]]
    for model, pool in used:
        rows.append([model, pool.name, *(_gib(getattr(pool, part)) for part in shown), _gib(pool.total_mib)])
    for item in fit.placed:
        if item.load.prediction is None:
            rows += [[item.model, name, *["?"] * len(shown), _gib(size)] for name, size in item.load.accelerator_mib]
    return rows


def _accelerator_rows(fit: HostFit, budgets: Sequence[Budget]) -> list[list[str]]:
    rows = [["accelerator", "memory", "budget", "needed", "free", "verdict"]]
    for item in accelerators_data(fit, budgets):
        sizes = [_gib(item[key]) for key in ("memory_mib", "budget_mib", "needed_mib", "free_mib")]
        rows.append([item["name"], *sizes, item["verdict"]])
    if not any(budget.kind == "cpu" for budget in budgets):
        budget = _gib(fit.ram_budget_mib)
        free = None if fit.ram_budget_mib is None else fit.ram_budget_mib - fit.ram_needed_mib
        verdict = "not known" if free is None else "fits" if free >= 0 else "over"
        rows.append(["host memory", "", budget, _gib(fit.ram_needed_mib), _gib(free), verdict])
    return rows


def _spill_sentences(fit: HostFit) -> list[str]:
    told = []
    for item in fit.placed:
        if item.spilled_mib > 0:
            layers = f" ({item.spilled_layers} of its layers)" if item.spilled_layers else ""
            told.append(f"{item.model}: {_gib(item.spilled_mib)} GiB{layers} find no room and would spill to the CPU.")
    if fit.ram_missing_mib:
        told.append(f"The host's own memory lacks {_gib(fit.ram_missing_mib)} GiB: lower cache_ram_mib or context_tokens.")
    return told


def _bound_sentences(fit: HostFit) -> list[str]:
    known = [(item.model, item.load.prediction.reasons) for item in fit.placed if item.load.prediction]
    return [f"{model}: so much or less; {'; '.join(reasons)}." for model, reasons in known if reasons]


def _lines(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) if index < 1 else cell.rjust(width) for index, (cell, width) in enumerate(zip(row, widths)))
        for row in rows
    )


def rounded(value: float | None) -> float | None:
    """To a tenth of a MiB."""
    return None if value is None else round(value, 1)


def _gib(mib: float | None) -> str:
    return "?" if mib is None else f"{mib / GIB_IN_MIB:.2f}"
