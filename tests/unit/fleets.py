"""Small intents for tests: plain data as the inventory's variables hold it."""

from __future__ import annotations

import copy
from typing import Any

from plugins.plugin_utils.intent import Intent

SHAPE = {
    "architecture": "llama",
    "block_count": 30,
    "embedding_length": 576,
    "head_count": 9,
    "head_count_kv": 3,
    "context_length": 8192,
}
VARIABLES: dict[str, Any] = {
    "llm_models": {
        "small": {
            "source": {"kind": "file", "path": "/nowhere/small.gguf"},
            "context_tokens": 4096,
            "declared": {"file_bytes": 98362432, "shape": SHAPE, "source": "test"},
        },
        "vectors": {
            "source": {"kind": "ollama", "name": "vectors"},
            "mode": "embedding",
            "context_tokens": 512,
            "declared": {"memory_gib": 0.5, "source": "test"},
        },
        "big": {
            "source": {"kind": "ollama", "name": "big:30b"},
            "context_tokens": 8192,
            "declared": {"memory_gib": 20, "source": "test"},
        },
    },
    "llm_workloads": {
        "coding": {"description": "code", "prompts": [{"id": "one", "text": "Write code."}]},
        "tools_fast": {"description": "tools", "prompts": [{"id": "one", "text": "Use a tool."}]},
        "embedding": {"description": "vectors", "mode": "embedding", "prompts": [{"id": "one", "text": "text"}]},
    },
    "llm_policy": {"headroom_gib": 0.5},
    "llm_assignments": {
        "coding": [{"model": "big", "host": "gpus"}, {"model": "small", "host": "mini"}],
        "tools_fast": [{"model": "small", "host": "mini"}, {"model": "big", "host": "gpus"}],
        "embedding": [{"model": "vectors", "host": "gpus"}],
    },
    "llm_router": {"port": 4000},
}
HOSTS: dict[str, Any] = {
    "mini": {
        "engine": "llama_cpp",
        "base_port": 8100,
        "accelerators": [{"name": "ram", "kind": "cpu", "memory_gib": 4}],
    },
    "gpus": {
        "engine": "ollama",
        "url": "http://gpus:11434",
        "accelerators": [
            {"name": "gpu0", "kind": "gpu", "memory_gib": 24, "reserved_gib": 1},
            {"name": "gpu1", "kind": "gpu", "memory_gib": 24, "reserved_gib": 1},
        ],
    },
}


def intent(changes: dict[str, Any] | None = None, **given: Any) -> Intent:
    """The small lab with values set by dotted path: ``{"llm_models.small.parallel": 2}``; None removes the key."""
    data = {**copy.deepcopy(VARIABLES), "hosts": copy.deepcopy(HOSTS)}
    for path, value in (changes or {}).items():
        *parents, last = [int(part) if part.isdigit() else part for part in path.split(".")]
        target: Any = data
        for part in parents:
            target = target[part]
        if value is None:
            del target[last]
        else:
            target[last] = value
    hosts = data.pop("hosts")
    defaults = {"addresses": {name: f"{name}.lan" for name in hosts}, "router_hosts": ("mini",)}
    return Intent(variables=data, hosts=hosts, **{**defaults, **given})
