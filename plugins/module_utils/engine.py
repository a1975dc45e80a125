"""A receipt of one engine with the names it can serve: what verify and install look at."""

from __future__ import annotations

from typing import Any

from .connection import Endpoint
from .residency import RECEIPT_TIMEOUT_S, full_name, json_or_none, take
from .stream import get


def engine_receipt(engine: str, url: str, model: str) -> dict[str, Any]:
    """``residency.take`` plus ``available``: names that can be asked for, None where the engine does not tell."""
    endpoint = Endpoint(url)
    try:
        receipt = take(endpoint, engine, model)
        receipt["available"] = None if receipt["error"] else _available(endpoint, engine, receipt)
    finally:
        endpoint.close()
    return receipt


def _available(endpoint: Endpoint, engine: str, receipt: dict[str, Any]) -> list[str] | None:
    if engine != "ollama":
        return [model["name"] for model in receipt["models"]] or None
    tags = json_or_none(get(endpoint, "/api/tags", RECEIPT_TIMEOUT_S)) or {}
    return sorted(full_name(str(entry.get("name"))) for entry in tags.get("models") or [])
