"""What the module memory_fit is asked, put into the words of the prediction: models with their settings, accelerators."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable, Mapping, Sequence

from .gguf_remote import Remote
from .memory import ModelFiles, predict
from .memory_settings import OLLAMA, Settings
from .model_source import Found, files_of_metadata, find_model, stores_here
from .packing import Budget, PredictedDemand

GIB_IN_MIB = 1024
# Ollama's context on hosts with less than 23 GiB of GPU memory (server/routes.go of v0.33.0); above, ask for it explicitly.
OLLAMA_CONTEXT_TOKENS = 4096
MODEL_KEYS = frozenset(
    """
    model metadata tensors file_bytes context_tokens parallel batch_tokens ubatch_tokens flash_attention kv_type kv_type_k
    kv_type_v gpu_layers embedding mmap
    """.split()  # noqa: SIM905
)


@dataclass(frozen=True)
class Question:
    """The models by name, each once, and where the header of each was read."""

    demands: Mapping[str, PredictedDemand]
    sources: Mapping[str, str]


def question_of(parameters: Mapping[str, Any], environment: Mapping[str, str]) -> Question:
    """The models of a module's parameters. Raises GgufError, MemoryShapeError, SettingsError, or ValueError for odd keys."""
    remote = Remote(plain_http=bool(parameters.get("plain_http"))) if parameters.get("registry", True) else None
    stores = stores_here(environment)
    demands: dict[str, PredictedDemand] = {}
    sources: dict[str, str] = {}
    for wish in wishes(parameters):
        found = _found(wish, stores, remote)
        name = _unused(str(wish.get("model") or found.files.shape.architecture), demands)
        settings = settings_of(wish, found)
        predict(found.files, settings)
        demands[name], sources[name] = PredictedDemand(found.files, settings), found.source
    return Question(demands, sources)


def wishes(parameters: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One dictionary per model: the module's own options, overruled by those of the model."""
    common = {key: value for key, value in parameters.items() if key not in ("models", "accelerators")}
    if not parameters.get("models"):
        return [common]
    shared = {key: value for key, value in common.items() if key not in ("model", "metadata", "tensors", "file_bytes")}
    found = []
    for index, wish in enumerate(parameters["models"]):
        unknown = sorted(set(wish) - MODEL_KEYS)
        if unknown:
            raise ValueError(f"models[{index}]: got the key {unknown[0]!r}, expected some of {', '.join(sorted(MODEL_KEYS))}")
        if not (wish.get("model") or wish.get("metadata")):
            raise ValueError(f"models[{index}]: got neither model nor metadata, expected one of them")
        found.append({**shared, **wish})
    return found


def _found(wish: Mapping[str, Any], stores: Sequence[str], remote: Remote | None) -> Found:
    if wish.get("metadata"):
        return Found(files_of_metadata(wish["metadata"], wish.get("tensors"), _whole(wish, "file_bytes")), "metadata", {})
    return find_model(str(wish["model"]), stores, remote)


def _unused(name: str, taken: Mapping[str, Any]) -> str:
    number = 2
    candidate = name
    while candidate in taken:
        candidate = f"{name} ({number})"
        number += 1
    return candidate


def settings_of(wish: Mapping[str, Any], found: Found) -> Settings:
    """How a model is loaded: what is asked, else the model's own settings, else the engine's."""
    ollama = wish.get("engine", OLLAMA) == OLLAMA
    batch = _whole(wish, "batch_tokens") or (_whole(found.parameters, "num_batch") if ollama else None)
    kv_type = str(wish.get("kv_type") or "f16")
    said = wish.get("embedding")
    return Settings(
        context_tokens=_context(wish, found, ollama),
        parallel=_whole(wish, "parallel") or 1,
        batch_tokens=batch,
        ubatch_tokens=_whole(wish, "ubatch_tokens"),
        flash_attention=str(wish.get("flash_attention") or "auto"),
        kv_type_k=str(wish.get("kv_type_k") or kv_type),
        kv_type_v=str(wish.get("kv_type_v") or kv_type),
        gpu_layers=_layers(wish, found, ollama),
        embedding=embeds(found.files) if said is None else bool(said),
        mmap=None if wish.get("mmap") is None else bool(wish["mmap"]),
        cache_ram_mib=_whole(wish, "cache_ram_mib"),
        engine=str(wish.get("engine") or OLLAMA),
        engine_version=wish.get("engine_version"),
    )


def _context(wish: Mapping[str, Any], found: Found, ollama: bool) -> int:
    asked = _whole(wish, "context_tokens")
    if asked is not None:
        return asked
    trained = found.files.shape.context_length or OLLAMA_CONTEXT_TOKENS
    return min(_whole(found.parameters, "num_ctx") or OLLAMA_CONTEXT_TOKENS, trained) if ollama else trained


def _layers(wish: Mapping[str, Any], found: Found, ollama: bool) -> int | None:
    asked = _whole(wish, "gpu_layers")
    own = _whole(found.parameters, "num_gpu") if ollama else None
    chosen = asked if asked is not None else own
    return None if chosen is None or chosen < 0 else chosen


def embeds(files: ModelFiles) -> bool:
    """Whether a header says that the model is for embeddings: an encoder, or one that pools."""
    return files.shape.encoder or bool(files.shape.pooling_type)


def _whole(values: Mapping[str, Any], key: str) -> int | None:
    """A whole number, or None where there is none. Raises ValueError for anything else."""
    value = values.get(key)
    if value is None:
        return None
    try:
        return int(value)
    except (TypeError, ValueError):
        raise ValueError(f"got {key} {value!r}, expected a whole number") from None


def budgets_of(said: Sequence[Mapping[str, Any]] | None, headroom_gib: float, here: Callable[[], list[Budget]]) -> list[Budget]:
    """The accelerators that were described, else those of this machine. Raises ValueError where nothing is left of one."""
    headroom_mib = headroom_gib * GIB_IN_MIB
    if said:
        found = [_budget(item, headroom_mib) for item in said]
    else:
        found = [_with_headroom(budget, headroom_mib) for budget in here()]
    if not found:
        raise ValueError("how much memory this machine has cannot be told: describe its accelerators")
    names = [budget.name for budget in found]
    if len(set(names)) < len(names):
        raise ValueError(f"got accelerators {', '.join(names)}, expected names that differ")
    empty = next((budget for budget in found if budget.budget_mib <= 0), None)
    if empty:
        raise ValueError(f"nothing is left of the accelerator {empty.name}: correct memory_gib, reserved_gib or headroom_gib")
    return found


def _budget(item: Mapping[str, Any], headroom_mib: float) -> Budget:
    own, limit = item.get("headroom_gib"), item.get("wired_limit_gib")
    kind = str(item["kind"])
    return Budget(
        name=str(item["name"]),
        kind=kind,
        memory_mib=float(item["memory_gib"]) * GIB_IN_MIB,
        reserved_mib=float(item.get("reserved_gib") or 0) * GIB_IN_MIB,
        headroom_mib=headroom_mib if own is None else float(own) * GIB_IN_MIB,
        wired_limit_mib=None if limit is None else float(limit) * GIB_IN_MIB,
        backend={"gpu": str(item.get("backend") or "cuda"), "unified": "metal", "cpu": "cpu"}[kind],
    )


def _with_headroom(budget: Budget, headroom_mib: float) -> Budget:
    return Budget(
        budget.name,
        budget.kind,
        budget.memory_mib,
        budget.reserved_mib,
        headroom_mib,
        budget.bandwidth_gb_s,
        budget.wired_limit_mib,
        budget.backend,
    )
