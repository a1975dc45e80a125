"""Residency receipts: what an engine says it has loaded, taken right before and right after a sample."""

from __future__ import annotations

import json
from typing import Any, Dict, cast

from .connection import Endpoint, RequestFailed
from .events import cleaned
from .stream import get

RECEIPT_TIMEOUT_S = 10.0
# Counters of llama.cpp that only a new process sets back.
LLAMA_CPP_COUNTERS = ("llamacpp:prompt_tokens_total", "llamacpp:tokens_predicted_total", "llamacpp:n_decode_total")
Receipt = Dict[str, Any]


def take(endpoint: Endpoint, engine: str, engine_model: str) -> Receipt:
    """The engine's own word on what is loaded now.

    Returns engine, resident (True, False, or None where the engine cannot tell), models (a list of mappings with name,
    digest, context_tokens, size_bytes, size_vram_bytes), instance (differs after a restart), counters, and error.
    """
    receipt: Receipt = {
        "engine": engine,
        "resident": None,
        "models": [],
        "instance": None,
        "counters": {},
        "version": None,
        "error": None,
    }
    readers = {"llama_cpp": _llama_cpp, "ollama": _ollama}
    try:
        readers.get(engine, _external)(endpoint, engine_model, receipt)
    except RequestFailed as failure:
        receipt["error"] = failure.as_dict()
    return cast(Receipt, cleaned(receipt))


def _json(endpoint: Endpoint, path: str) -> dict[str, Any]:
    text = get(endpoint, path, RECEIPT_TIMEOUT_S)
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RequestFailed("malformed", f"GET {path}: not JSON: {error}") from error
    if not isinstance(value, dict):
        raise RequestFailed("malformed", f"GET {path}: got {type(value).__name__}; expected an object")
    return value


def _optional(endpoint: Endpoint, path: str) -> str | None:
    """An endpoint that a server may have switched off; a dead server is still an error."""
    try:
        return get(endpoint, path, RECEIPT_TIMEOUT_S)
    except RequestFailed as failure:
        if failure.kind == "http":
            return None
        raise


def _mappings(value: Any) -> list[dict[str, Any]]:
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


def _model(name: Any, **known: Any) -> dict[str, Any]:
    """A loaded model; a field that is missing or of another type than expected is None."""
    return {
        "name": str(name),
        **{field: text_or_none(known.get(field)) for field in ("digest", "expires_at")},
        **{field: whole_or_none(known.get(field)) for field in ("context_tokens", "size_bytes", "size_vram_bytes")},
    }


def text_or_none(value: Any) -> str | None:
    """A non-empty text, else None."""
    return value if isinstance(value, str) and value else None


def whole_or_none(value: Any) -> int | None:
    """A whole number, else None."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _llama_cpp(endpoint: Endpoint, engine_model: str, receipt: Receipt) -> None:
    """A llama.cpp server has one model for its whole life: it is resident as soon as the server is healthy."""
    healthy = _json(endpoint, "/health").get("status") == "ok"
    served = _mappings(_json(endpoint, "/v1/models").get("data"))
    props = json_or_none(_optional(endpoint, "/props")) or {}
    settings = props.get("default_generation_settings")
    context = settings.get("n_ctx") if isinstance(settings, dict) else None
    names: set[str] = set()
    for entry in served:
        meta, aliases = entry.get("meta"), entry.get("aliases")
        size = meta.get("size") if isinstance(meta, dict) else None
        receipt["models"].append(_model(entry.get("id"), context_tokens=context, size_bytes=size))
        names.update(str(name) for name in [entry.get("id")] + (aliases if isinstance(aliases, list) else []))
    receipt["resident"] = healthy and engine_model in names
    # A new process draws a new marker, so it tells one life of a server from the next.
    receipt["instance"] = text_or_none(props.get("media_marker"))
    receipt["version"] = text_or_none(props.get("build_info"))
    receipt["counters"] = counters_of(_optional(endpoint, "/metrics"))


def _ollama(endpoint: Endpoint, engine_model: str, receipt: Receipt) -> None:
    for entry in _mappings(_json(endpoint, "/api/ps").get("models")):
        receipt["models"].append(
            _model(
                entry.get("name") or entry.get("model"),
                digest=entry.get("digest"),
                context_tokens=entry.get("context_length"),
                size_bytes=entry.get("size"),
                size_vram_bytes=entry.get("size_vram"),
                expires_at=entry.get("expires_at"),
            )
        )
    receipt["models"].sort(key=lambda model: str(model["name"]))
    receipt["resident"] = full_name(engine_model) in {full_name(model["name"]) for model in receipt["models"]}
    version = json_or_none(_optional(endpoint, "/api/version")) or {}
    receipt["version"] = text_or_none(version.get("version"))


def _external(endpoint: Endpoint, engine_model: str, receipt: Receipt) -> None:
    """/v1/models of a foreign engine lists what can be asked for; whether it is loaded is not known."""
    served = _mappings((json_or_none(_optional(endpoint, "/v1/models")) or {}).get("data"))
    receipt["models"] = [_model(entry.get("id")) for entry in served]


def full_name(name: str) -> str:
    """Ollama's name with its tag: ``gemma4`` means ``gemma4:latest``."""
    return name if ":" in name.rsplit("/", 1)[-1] else name + ":latest"


def json_or_none(text: str | None) -> dict[str, Any] | None:
    """The mapping in an optional reply, None where there is none."""
    try:
        value = json.loads(text) if text else None
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def counters_of(metrics: str | None) -> dict[str, float]:
    """The counters of a Prometheus text that tell one process from the next."""
    found = {}
    for line in (metrics or "").splitlines():
        name, _space, value = line.partition(" ")
        if name in LLAMA_CPP_COUNTERS:
            try:
                found[name] = float(value)
            except ValueError:
                continue
    return found


def restarted(earlier: Receipt | None, later: Receipt | None) -> bool | None:
    """Whether the engine was started again between two receipts; None where the receipts cannot tell."""
    if not earlier or not later or earlier["error"] or later["error"]:
        return None
    if earlier["instance"] and later["instance"]:
        return bool(earlier["instance"] != later["instance"])
    shared = set(earlier["counters"]) & set(later["counters"])
    if not shared:
        return None
    return any(later["counters"][name] < earlier["counters"][name] for name in shared)
