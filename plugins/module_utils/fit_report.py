"""A host's fit as plain data and as a table that a person understands, in 100 columns."""

from __future__ import annotations

import os
import textwrap
from collections import Counter
from typing import Any, Mapping, Sequence

from .fit_remedies import Remedy
from .memory import PARTS, PoolParts
from .memory_settings import Settings
from .packing import GIB_IN_MIB, Budget, HostFit, Placed

WIDTH = 100
COLUMNS = {
    "weights_mib": "weights",
    "kv_cache_mib": "kv cache",
    "state_mib": "state",
    "compute_mib": "compute",
    "output_mib": "output",
    "projector_mib": "projector",
    "overhead_mib": "process",
    "prompt_cache_mib": "prompts",
    "checkpoint_mib": "checkpoints",
}
# Other parts have a column only where one of them is not shown as 0.00.
ALWAYS = frozenset({"weights_mib", "kv_cache_mib", "compute_mib", "overhead_mib"})
SHOWN_MIB = 0.005 * GIB_IN_MIB


def models_data(fit: HostFit, settings: Mapping[str, Settings] | None = None) -> list[dict[str, Any]]:
    """Each placed model: its settings, where it is, its parts in each memory, how exact that is, and what of it spills."""
    return [_model_data(item, (settings or {}).get(item.model)) for item in fit.placed]


def _model_data(item: Placed, settings: Settings | None) -> dict[str, Any]:
    found = item.load.prediction
    return {
        "model": item.model,
        "settings": settings_data(settings) if settings else {},
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


def settings_data(settings: Settings) -> dict[str, Any]:
    """What decides a model's memory, every default of the engine written out."""
    keys = ("context_tokens", "parallel", "batch_tokens", "ubatch_tokens", "flash_attention", "kv_type_k", "kv_type_v")
    more = ("embedding", "mmap", "cache_ram_mib", "engine", "engine_version")
    return {key: getattr(settings, key) for key in (*keys, *more)}


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
                "reserved_mib": rounded(budget.reserved_mib),
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


def fit_table(
    fit: HostFit, budgets: Sequence[Budget], settings: Mapping[str, Settings] | None = None, found: Sequence[Remedy] = ()
) -> str:
    """Models with their parts, accelerators with their sums, and a sentence for everything that does not fit. In GiB."""
    blocks = [_model_lines(fit, settings or {}), _aligned(_accelerator_rows(fit, budgets))]
    told = [
        *_spill_sentences(fit),
        *_mac_sentences(fit, budgets),
        *remedy_sentences(found, short_names(fit)),
        *_bound_sentences(fit),
    ]
    sentences = [textwrap.fill(text, WIDTH, subsequent_indent="  ", break_long_words=False) for text in told]
    return "\n\n".join("\n".join(block) for block in (*blocks, sentences) if block)


def headline(fit: HostFit) -> str:
    """What does not fit, in one sentence."""
    names = short_names(fit)
    lacking = [names[item.model] for item in fit.placed if item.spilled_mib > 0]
    if not lacking:
        return "The host's own memory is too small for what the models need of it beside the accelerators."
    verb = "does" if len(lacking) == 1 else "do"
    rest = "" if len(lacking) == len(fit.placed) else " while the others are in memory"
    return f"{' and '.join(lacking)} {verb} not fit{rest}."


def short_names(fit: HostFit) -> dict[str, str]:
    """Models as the table calls them: of a path the last part, unless two would be called alike."""
    models = [item.model for item in fit.placed]
    last = {model: os.path.basename(model) if model.startswith(("/", "~", ".")) or "://" in model else model for model in models}
    counts = Counter(last.values())
    return {model: name if name and counts[name] == 1 else model for model, name in last.items()}


def _model_lines(fit: HostFit, settings: Mapping[str, Settings]) -> list[str]:
    """For each model a line with its name and settings, then one for each memory that it takes."""
    names, used = short_names(fit), {item.model: _shown_pools(item) for item in fit.placed}
    pools = [pool for found in used.values() for pool in found]
    shown = [part for part in PARTS if part in ALWAYS or any(getattr(pool, part) >= SHOWN_MIB for pool in pools)]
    rows = [["GiB", *(COLUMNS[part] for part in shown), "total"]]
    titles: dict[int, list[str]] = {}
    for item in fit.placed:
        titles[len(rows)] = _title(names[item.model], item, settings.get(item.model))
        rows += [_pool_row(pool, shown) for pool in used[item.model]]
        if item.load.prediction is None:
            rows += [[f"  {name}", *["?"] * len(shown), _gib(size)] for name, size in item.load.accelerator_mib]
    lines = []
    for index, line in enumerate(_aligned(rows)):
        lines += [*titles.get(index, []), line]
    return lines


def _pool_row(pool: PoolParts, shown: Sequence[str]) -> list[str]:
    return [f"  {pool.name}", *(_gib(getattr(pool, part)) for part in shown), _gib(pool.total_mib)]


def _shown_pools(item: Placed) -> list[PoolParts]:
    return [pool for pool in item.load.prediction.pools if pool.total_mib] if item.load.prediction else []


def _title(name: str, item: Placed, settings: Settings | None) -> list[str]:
    """The name and how it is loaded; two lines where one is not wide enough."""
    words = [settings_words(settings)] if settings else []
    found = item.load.prediction
    if found and 0 < found.offloaded_layers < found.layer_count:
        words.append(f"{found.offloaded_layers} of {found.layer_count} layers offloaded")
    said = ", ".join(words)
    together = f"{name}: {said}" if said else name
    return [together] if len(together) <= WIDTH else [f"{name}:", f" {said}"]


def settings_words(settings: Settings) -> str:
    """How a model is loaded, as far as it decides the memory."""
    parallel = f" x {settings.parallel} in parallel" if settings.parallel > 1 else ""
    types = sorted({settings.kv_type_k, settings.kv_type_v})
    return f"{settings.context_tokens} tokens{parallel}, batch {settings.ubatch_tokens}, kv cache {' and '.join(types)}"


def _accelerator_rows(fit: HostFit, budgets: Sequence[Budget]) -> list[list[str]]:
    rows = [["GiB", "memory", "reserved", "headroom", "budget", "needed", "free", "verdict"]]
    for budget, item in zip(budgets, accelerators_data(fit, budgets)):
        sizes = [budget.memory_mib, budget.reserved_mib, budget.headroom_mib, budget.budget_mib]
        rows.append([budget.name, *map(_gib, (*sizes, item["needed_mib"], item["free_mib"])), item["verdict"]])
    if not any(budget.kind == "cpu" for budget in budgets):
        free = None if fit.ram_budget_mib is None else fit.ram_budget_mib - fit.ram_needed_mib
        verdict = "not known" if free is None else "fits" if free >= 0 else "over"
        rows.append(["host", "", "", "", _gib(fit.ram_budget_mib), _gib(fit.ram_needed_mib), _gib(free), verdict])
    return rows


def _spill_sentences(fit: HostFit) -> list[str]:
    names, told = short_names(fit), []
    for item in fit.placed:
        if item.spilled_mib > 0:
            layers = f" ({item.spilled_layers} of {_layer_count(item)} layers)" if item.spilled_layers else ""
            where = " and would run on the CPU, which is slow" if item.spilled_layers else ""
            told.append(f"{names[item.model]}: {_gib(item.spilled_mib)} GiB{layers} find no room{where}.")
    # On a host without accelerators both are the same.
    if fit.ram_missing_mib and round(fit.ram_missing_mib - fit.spilled_mib, 1):
        told.append(f"The host's own memory lacks {_gib(fit.ram_missing_mib)} GiB.")
    return told


def _layer_count(item: Placed) -> str:
    return str(item.load.prediction.layer_count) if item.load.prediction else "its"


def _mac_sentences(fit: HostFit, budgets: Sequence[Budget]) -> list[str]:
    """Where it is macOS that keeps memory from models."""
    return [
        f"macOS lets its GPU use {_gib(budget.budget_mib + budget.headroom_mib)} of {_gib(budget.memory_mib)} GiB; "
        "sysctl iogpu.wired_limit_mb raises it (wired_limit_gib here)."
        for budget in budgets
        if not fit.fits and budget.library == "metal" and budget.budget_mib < budget.ram_mib
    ]


def remedy_sentences(found: Sequence[Remedy], names: Mapping[str, str]) -> list[str]:
    """What would make it fit."""
    mending = [item for item in found if not item.least]
    if mending:
        return [f"It would fit with {', or with '.join(_words(item, names) for item in mending)}."]
    rest = "Take a smaller quantisation or another model, put fewer on this host, or give it more memory."
    return [
        f"No setting is enough{f': with {_words(item, names)}' if item.settings else ''} {_gib(item.missing_mib)} GiB still "
        f"find no room. {rest}"
        for item in found
    ]


def _words(remedy: Remedy, names: Mapping[str, str]) -> str:
    said = " ".join(f"{key}={value}" for key, value in remedy.settings.items())
    return f"{said} for {names[remedy.model]}" if remedy.model else said


def _bound_sentences(fit: HostFit) -> list[str]:
    """Why figures are bounds; models with the same reasons together."""
    names = short_names(fit)
    models: dict[tuple[str, ...], list[str]] = {}
    for item in fit.placed:
        if item.load.prediction and item.load.prediction.reasons:
            models.setdefault(item.load.prediction.reasons, []).append(names[item.model])
    return [f"So much or less ({', '.join(names)}): {'; '.join(reasons)}." for reasons, names in models.items()]


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(cell.ljust(width) if index < 1 else cell.rjust(width) for index, (cell, width) in enumerate(zip(row, widths)))
        for row in rows
    ]


def rounded(value: float | None) -> float | None:
    """To a tenth of a MiB."""
    return None if value is None else round(value, 1)


def _gib(mib: float | None) -> str:
    return "?" if mib is None else "-" if mib == 0 else f"{mib / GIB_IN_MIB:.2f}"
