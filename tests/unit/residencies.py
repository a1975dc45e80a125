"""Receipts of an Ollama for tests, and an Ollama that is only thought of: so many slots, the first name goes first."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from plugins.module_utils.connection import RequestFailed
from plugins.module_utils.residency import full_name
from plugins.module_utils.resident_set import Expected

FOREVER = "2319-03-03T20:21:20.220386838Z"
SOON = "2026-11-21T20:46:41.10Z"
DIGESTS = {letter: letter * 64 for letter in "abcdef"}


def loaded(name: str, **changes: Any) -> dict[str, Any]:
    """One model of /api/ps as a receipt has it; its digest is its name's first letter."""
    base = {
        "name": full_name(name),
        "digest": DIGESTS.get(name[0], "0" * 64),
        "context_tokens": 4096,
        "size_bytes": 100,
        "size_vram_bytes": 100,
        "expires_at": FOREVER,
    }
    return {**base, **changes}


def stored(name: str, **changes: Any) -> dict[str, Any]:
    """One model of /api/tags as a receipt has it."""
    base = {"name": full_name(name), "digest": DIGESTS.get(name[0], "0" * 64), "trained_context_tokens": None}
    return {**base, **changes}


def sight(*models: dict[str, Any], installed: list[dict[str, Any]] | None = None, error: str | None = None) -> dict[str, Any]:
    """A receipt. Without ``installed`` the store has what is loaded and the models a to f."""
    names = {item["name"]: stored(item["name"], digest=item["digest"]) for item in models}
    return {
        "engine": "ollama",
        "resident": None,
        "models": list(models),
        "installed": [*{**{full_name(name): stored(name) for name in DIGESTS}, **names}.values()]
        if installed is None
        else installed,
        "available": [],
        "instance": None,
        "counters": {},
        "version": "0.33.0",
        "error": {"kind": "connect", "message": error, "status": None} if error else None,
    }


def wanted(*names: str, **changes: Any) -> list[Expected]:
    """Models to be kept, in this order."""
    return [Expected(name, **{"context_tokens": 4096, "load_order": place, **changes}) for place, name in enumerate(names, 1)]


@dataclass
class ThoughtEngine:
    """Keeps so many models; another one pushes out the first of the alphabet. ``broken`` cannot be loaded, ``vram`` is what
    is left for each model in GPU memory when so many are loaded."""

    slots: int = 3
    broken: tuple[str, ...] = ()
    split_after: int | None = None
    dead: bool = False
    models: dict[str, dict[str, Any]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def look(self) -> dict[str, Any]:
        return sight(error="no connection") if self.dead else sight(*self.models.values())

    def load(self, name: str, embedding: bool) -> None:
        self.asked.append(f"{'embed' if embedding else 'load'} {name}")
        if self.dead:
            raise RequestFailed("connect", "no connection")
        if name in self.broken:
            raise RequestFailed("http", "status 500: it is broken", 500)
        known = self.models.get(name)
        if known is None and len(self.models) >= self.slots:
            del self.models[min(self.models)]
        split = known is None and self.split_after is not None and len(self.models) >= self.split_after
        in_gpu = known["size_vram_bytes"] if known else 50 if split else 100
        self.models[name] = loaded(name, size_vram_bytes=in_gpu)

    def unload(self, name: str, digest: str | None, limit_s: float | None = None) -> None:
        self.asked.append(f"unload {name.removesuffix(':latest')}")
        self.models.pop(name.removesuffix(":latest"), None)
