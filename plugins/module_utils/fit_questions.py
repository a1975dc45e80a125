"""What the module memory_fit is asked, put into the words of the prediction: models with their settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Mapping, Sequence

from .fit_values import shown, version_of, whole
from .gguf_remote import Remote
from .memory import ModelFiles, predict
from .memory_settings import OLLAMA, Pool, Settings, for_model, resolved
from .model_source import Found, files_of_metadata, find_model, stores_here
from .packing import GIB_IN_MIB, Budget, PredictedDemand, working_set_mib
from .tensor_types import KV_CACHE_TYPES

# The context that Ollama gives a model by the memory of all accelerators together (server/routes.go of v0.15.5 to v0.34.1).
OLLAMA_CONTEXTS = ((47 * GIB_IN_MIB, 262144), (23 * GIB_IN_MIB, 32768), (0, 4096))


@dataclass(frozen=True)
class Question:
    """The models by name, each once, and where the header of each was read."""

    demands: Mapping[str, PredictedDemand]
    sources: Mapping[str, str]


def question_of(parameters: Mapping[str, Any], budgets: Sequence[Budget], environment: Mapping[str, str]) -> Question:
    """The models of a module's parameters. Raises GgufError, MemoryShapeError, SettingsError, or ValueError for odd values."""
    remote = Remote(plain_http=bool(parameters.get("plain_http"))) if parameters.get("registry", True) else None
    stores = stores_here(environment)
    demands: dict[str, PredictedDemand] = {}
    sources: dict[str, str] = {}
    for wish in wishes(parameters):
        found = _found(wish, stores, remote)
        name = _unused(str(wish.get("model") or found.files.shape.architecture), demands)
        settings = settings_of(wish, found, default_context_tokens(budgets))
        _check(name, found.files, settings)
        demands[name], sources[name] = PredictedDemand(found.files, settings), found.source
    return Question(demands, sources)


def wishes(parameters: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One dictionary per model: the module's own options, overruled by those of the model."""
    common = {key: value for key, value in parameters.items() if key not in ("models", "accelerators")}
    models = parameters.get("models")
    if models is None:
        return [_checked(common, "")]
    if not models:
        raise ValueError("got no models, expected one or more; give model, models or metadata")
    shared = {key: value for key, value in common.items() if key not in ("model", "metadata", "tensors", "file_bytes")}
    found = []
    for index, item in enumerate(models):
        own = {key: value for key, value in (item or {}).items() if value is not None}
        found.append(_checked({**shared, **own}, f"models[{index}]: "))
    return found


def _checked(wish: dict[str, Any], where: str) -> dict[str, Any]:
    model, metadata = wish.get("model"), wish.get("metadata")
    if model is not None and not str(model).strip():
        raise ValueError(f"{where}got model {shown(model)}, expected a path or a name such as gemma3:27b")
    if model is None and not metadata:
        raise ValueError(f"{where}got neither model nor metadata, expected one of them")
    if model is not None and metadata:
        raise ValueError(f"{where}got both model and metadata, expected one of them")
    if model is not None and any(not mark.isprintable() for mark in str(model)):
        raise ValueError(f"{where}got model {shown(model)}, expected a path or a name without control characters")
    return wish


def _found(wish: Mapping[str, Any], stores: Sequence[str], remote: Remote | None) -> Found:
    if wish.get("metadata"):
        return Found(files_of_metadata(wish["metadata"], wish.get("tensors"), whole(wish, "file_bytes")), "metadata", {})
    return find_model(str(wish["model"]).strip(), stores, remote)


def _unused(name: str, taken: Mapping[str, Any]) -> str:
    number = 2
    candidate = name
    while candidate in taken:
        candidate = f"{name} ({number})"
        number += 1
    return candidate


def _check(name: str, files: ModelFiles, settings: Settings) -> None:
    """Whether there is a prediction at all; a model that has none is named."""
    try:
        predict(files, settings)
    except ValueError as error:
        raise type(error)(f"{name}: {error}") from error


def default_context_tokens(budgets: Sequence[Budget]) -> int:
    """The context that Ollama gives a model which nobody gave one, on these accelerators."""
    devices = [budget for budget in budgets if budget.kind != "cpu"]
    memory_mib = sum(
        working_set_mib(budget.memory_mib, budget.wired_limit_mib) if budget.library == "metal" else budget.memory_mib
        for budget in devices
    )
    return next(context for at_least, context in OLLAMA_CONTEXTS if memory_mib >= at_least)


def settings_of(wish: Mapping[str, Any], found: Found, default_tokens: int) -> Settings:
    """How a model is loaded: what is asked, else the model's own settings, else the engine's."""
    engine = str(wish.get("engine") or OLLAMA)
    ollama = engine == OLLAMA
    own = _own(found, "num_batch") if ollama else None
    said = wish.get("embedding")
    return Settings(
        context_tokens=_context(wish, found, default_tokens if ollama else None),
        parallel=_or_one(whole(wish, "parallel")),
        batch_tokens=own if wish.get("batch_tokens") is None else whole(wish, "batch_tokens"),
        ubatch_tokens=whole(wish, "ubatch_tokens"),
        flash_attention=str(wish.get("flash_attention") or "auto"),
        kv_type_k=_kv_type(wish, "kv_type_k"),
        kv_type_v=_kv_type(wish, "kv_type_v"),
        gpu_layers=_layers(wish, found, ollama),
        embedding=embeds(found.files) if said is None else bool(said),
        mmap=None if wish.get("mmap") is None else bool(wish["mmap"]),
        cache_ram_mib=whole(wish, "cache_ram_mib"),
        engine=engine,
        engine_version=version_of(engine, wish.get("engine_version")),
    )


def _or_one(number: int | None) -> int:
    return 1 if number is None else number


def _own(found: Found, key: str) -> int | None:
    """A number that the model's own settings give; 0 and below mean that they do not."""
    number = whole(found.parameters, key)
    return number if number is not None and number > 0 else None


def _kv_type(wish: Mapping[str, Any], key: str) -> str:
    for said in (key, "kv_type"):
        if wish.get(said):
            if str(wish[said]) not in KV_CACHE_TYPES:
                raise ValueError(f"got {said} {shown(wish[said])}, expected one of {', '.join(KV_CACHE_TYPES)}")
            return str(wish[said])
    return "f16"


def _context(wish: Mapping[str, Any], found: Found, default_tokens: int | None) -> int:
    """``default_tokens``: Ollama's; None for llama.cpp, which takes the context that the model was trained with."""
    asked = whole(wish, "context_tokens")
    if asked is not None:
        return asked
    trained = found.files.shape.context_length
    if default_tokens is None:
        if not trained:
            raise ValueError("the header does not say with which context the model was trained: give context_tokens")
        return trained
    return min(_own(found, "num_ctx") or default_tokens, trained or default_tokens)


def _layers(wish: Mapping[str, Any], found: Found, ollama: bool) -> int | None:
    asked = whole(wish, "gpu_layers")
    own = whole(found.parameters, "num_gpu") if ollama else None
    chosen = asked if asked is not None else own
    return None if chosen is None or not 0 <= chosen <= len(found.files.shape.layers) else chosen


def embeds(files: ModelFiles) -> bool:
    """Whether a header says that the model is for embeddings: an encoder, or one that pools."""
    return files.shape.encoder or bool(files.shape.pooling_type)


def effective_settings(demands: Mapping[str, PredictedDemand], budgets: Sequence[Budget]) -> dict[str, Settings]:
    """How each model is loaded on these accelerators, the engine's own choices written out."""
    pools = tuple(Pool(budget.name, budget.kind, 1.0, budget.library) for budget in budgets)
    return {name: resolved(for_model(demand.settings, demand.model.shape), pools) for name, demand in demands.items()}
