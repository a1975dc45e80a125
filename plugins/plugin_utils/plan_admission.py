"""The second proof of a host in the plan: its engine will not evict any of its models, and what has to be set for that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..module_utils.engine_variables import SERVER
from ..module_utils.memory_settings import OLLAMA_VERSION
from ..module_utils.packing import Budget
from .admission import Candidate, Change, EngineHost, Measure, Mend, Replay, ServerSettings, mend, replay
from .admission_intent import candidate, engine_host, measuring, server_settings
from .fit import Wanted
from .fleet import Host, Model
from .problems import Problem

# These end a residency by themselves or by the next request of another model; a timer alone is a setting to be made.
REFUSED = frozenset({"evicts", "refused", "spills", "reloads"})
# What the engine's settings are called in the inventory.
VARIABLES = {
    **{variable: f"llm_host.server.{name}" for name, variable in SERVER.items()},
    "main_gpu": "llm_models.{target}.main_gpu",
    "num_ctx": "llm_models.{target}.context_tokens",
    "num_batch": "llm_models.{target}.batch_tokens",
}
FREE = frozenset({"order"})


@dataclass(frozen=True)
class Admitted:
    """What the plan says of a host's admission, the order in which its models are loaded, and why it is refused if it is."""

    document: dict[str, Any]
    order: tuple[str, ...]
    problem: Problem | None = None


def admission(
    host_name: str,
    host: Host,
    models: Mapping[str, tuple[Model, str]],
    sizes: Mapping[str, Wanted],
    pools: list[Budget],
    changeable: frozenset[str] = frozenset(),
) -> Admitted:
    """Replay the engine's scheduler on models in the order in which they are given.

    ``models``: name -> (model, the engine's name for it); ``sizes``: what each takes. Sizes of all models must be known,
    and they must fit. An order in which all stay is taken, and so are the settings in ``changeable``; everything else that
    has to change is said, not done.
    """
    order = tuple(models)
    if host.engine == "llama_cpp":
        return Admitted(_known(True, "stays", "one process per model: nothing is evicted", order), order)
    if host.engine == "external":
        return Admitted(_known(None, "unknown", "nobody knows how an external engine keeps its models", order), order)
    differing = _differing(host_name, {name: model for name, (model, _engine_model) in models.items()})
    if differing:
        return Admitted(_known(None, "unknown", differing.got, order), order, differing)
    return _replayed(host_name, host, models, sizes, pools, FREE | changeable)


def not_asked(reason: str, order: Sequence[str]) -> dict[str, Any]:
    """The answer where the question does not arise."""
    return _known(None, "unknown", reason, order)


def _known(stays: bool | None, verdict: str, reason: str, order: Sequence[str]) -> dict[str, Any]:
    nothing: dict[str, Any] = {"engine_version": None, "rules": None, "settings": {}, "mend": None}
    return {"stays": stays, "verdict": verdict, "reason": reason, **nothing, "load_order": list(order), "events": [], "notes": []}


def _differing(host_name: str, models: Mapping[str, Model]) -> Problem | None:
    """One Ollama has one number of sequences and one type of cache for all of its models."""
    chat = {name: model for name, model in models.items() if model.mode == "chat"}
    for key, variable in (("parallel", "OLLAMA_NUM_PARALLEL"), ("kv_type", "OLLAMA_KV_CACHE_TYPE")):
        asked = chat if key == "parallel" else models
        if len({getattr(model, key) for model in asked.values()}) > 1:
            told = ", ".join(f"{name} {getattr(model, key)}" for name, model in asked.items())
            return Problem(
                ("hosts", host_name, "llm_host"),
                f"models with different {key} on one Ollama ({told})",
                f"one value for all of them: it is {variable}, which the whole engine has",
                f"Give them the same {key} in llm_models, or move one to another host.",
            )
    return None


def _replayed(
    host_name: str,
    host: Host,
    models: Mapping[str, tuple[Model, str]],
    sizes: Mapping[str, Wanted],
    pools: list[Budget],
    free: frozenset[str],
) -> Admitted:
    version = host.engine_version or OLLAMA_VERSION
    engine = engine_host(host, pools)
    wished = [candidate(name, engine_model, model, sizes[name]) for name, (model, engine_model) in models.items()]
    chat = [model for model, _engine_model in models.values() if model.mode == "chat"] or [m for m, _name in models.values()]
    settings = server_settings(host, chat[0].parallel, chat[0].kv_type) if chat else ServerSettings()
    measure = measuring(sizes, pools)
    found = replay(engine, settings, version, wished, measure=measure)
    mended = _mended(engine, settings, version, wished, measure) if found.stays is False else None
    if mended and mended.found and {change.setting for change in mended.changes} <= free:
        found, settings, wished, mended = mended.replays[0], mended.settings, list(mended.models), None
    document = _document(found, mended, version, host, settings, _loading(wished, mended))
    problem = _problem(host_name, found, mended) if found.verdict in REFUSED else None
    return Admitted(document, tuple(document["load_order"]), problem)


def _mended(engine: EngineHost, settings: ServerSettings, version: str, wished: list[Candidate], measure: Measure) -> Mend:
    """What keeps all models as they are asked for; failing that, what does with shorter contexts."""
    found = mend(engine, settings, version, wished, measure=measure)
    if found.found:
        return found
    shorter = mend(engine, settings, version, [replace(item, needed_context_tokens=None) for item in wished], measure=measure)
    return shorter if shorter.found else found


def _loading(wished: Sequence[Candidate], mended: Mend | None) -> list[str]:
    return [model.name for model in (mended.models if mended and mended.found else wished)]


def _document(
    found: Replay, mended: Mend | None, version: str, host: Host, settings: ServerSettings, order: list[str]
) -> dict[str, Any]:
    assumed = [] if host.engine_version else [f"engine_version is not said: {version} is taken"]
    return {
        "stays": found.stays,
        "verdict": found.verdict,
        "reason": found.reason,
        "engine_version": version,
        "rules": found.rules,
        "settings": {**environment(mended.settings if mended and mended.found else settings), **_cache_limit(host)},
        "mend": _mend(mended) if mended else None,
        "load_order": order,
        "events": [{"kind": event.kind, "model": event.model, "sentence": event.sentence} for event in found.events],
        "notes": [*assumed, *found.notes],
    }


def _cache_limit(host: Host) -> dict[str, str]:
    """The prompt cache of each model takes host memory: of a configured engine its limit is written out too."""
    return {} if host.cache_ram_mib is None else {"LLAMA_ARG_CACHE_RAM": str(host.cache_ram_mib)}


def environment(settings: ServerSettings) -> dict[str, str]:
    """The variables of the engine's environment with which the mend holds; what is unset has no entry."""
    names = {
        "max_loaded_models": "OLLAMA_MAX_LOADED_MODELS",
        "num_parallel": "OLLAMA_NUM_PARALLEL",
        "context_length": "OLLAMA_CONTEXT_LENGTH",
        "keep_alive": "OLLAMA_KEEP_ALIVE",
        "sched_spread": "OLLAMA_SCHED_SPREAD",
        "flash_attention": "OLLAMA_FLASH_ATTENTION",
        "kv_cache_type": "OLLAMA_KV_CACHE_TYPE",
        "fit_target_mib": "LLAMA_ARG_FIT_TARGET",
    }
    said = {variable: getattr(settings, name) for name, variable in names.items() if getattr(settings, name) is not None}
    if settings.gpu_overhead_mib is not None:
        said["OLLAMA_GPU_OVERHEAD"] = round(settings.gpu_overhead_mib * 2**20)
    return {variable: _plain(value) for variable, value in said.items()}


def _plain(value: Any) -> str:
    return str(int(value)) if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)


def _mend(mended: Mend) -> dict[str, Any]:
    changes = [_change(change) for change in mended.changes]
    return {"found": mended.found, "reason": mended.reason, "changes": changes, "tried": list(mended.tried)}


def _change(change: Change) -> dict[str, Any]:
    variable = VARIABLES.get(change.setting)
    return {
        "setting": change.setting,
        "target": change.target,
        "before": change.before,
        "value": change.value,
        "variable": variable.format(target=change.target) if variable else None,
        "reason": change.sentence,
    }


def _problem(host_name: str, found: Replay, mended: Mend | None) -> Problem:
    """The refusal of a set that fits but would not stay, with what mends it."""
    verbs = {"evicts": "evict one", "spills": "leave a part in RAM", "refused": "refuse one", "reloads": "load one again"}
    return Problem(
        ("hosts", host_name, "llm_host"),
        f"a resident set that fits, of which Ollama would {verbs[found.verdict]}: {found.reason.rstrip('.')}",
        "a set of which all models stay",
        remedy(mended),
    )


def remedy(mended: Mend | None) -> str:
    """What to write, in one or two sentences."""
    if mended is None or not mended.found:
        tried = f" Tried without success: {'; '.join(mended.tried)}." if mended and mended.tried else ""
        return (
            "Serve one of them with llama.cpp, which evicts nothing (a host of its own in the inventory, engine: llama_cpp), "
            f"move it to another machine, take a smaller one, or shorten its context_tokens.{tried}"
        )
    return "All stay with: " + "; ".join(_told(change) for change in mended.changes) + "."


def _told(change: Change) -> str:
    variable = VARIABLES.get(change.setting)
    if change.setting == "order":
        return f"loading in the order {change.value} (the plan sees to it)"
    if change.setting == "instance":
        return f"an Ollama of its own on {change.target} for {change.value}, as a host of its own in the inventory"
    value = f"{change.setting}={change.value}"
    if variable is None:
        return f"{value} for {change.target}"
    written = variable.format(target=change.target)
    where = "in the engine's environment" if change.target == "server" else f"for {change.target}"
    return f"{value} {where} ({written}: {change.value}; {change.sentence.rstrip('.')})"
