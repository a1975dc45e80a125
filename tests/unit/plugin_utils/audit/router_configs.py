"""Configurations for the tests of the audit, written as changes of one that nothing is wrong with."""

from __future__ import annotations

import copy
from typing import Any

from plugins.plugin_utils.audit.check import check
from tests import yaml_text

PINNED = "1.106.2"


def deployment(group: str, host: str, model: str | None = None, mode: str = "chat", **params: Any) -> dict[str, Any]:
    """An entry of a model list as it should be."""
    own = {"model": f"openai/{model or group}", "api_base": f"http://{host}:11434/v1", "api_key": "none", "timeout": 60, **params}
    return {"model_name": group, "litellm_params": own, "model_info": {"id": f"{host}--{model or group}--{group}", "mode": mode}}


def right() -> dict[str, Any]:
    """Three hosts, two chat groups on two hosts each, one chain, embeddings apart."""
    return {
        "model_list": [
            deployment("fast", "banana", order=1),
            deployment("fast", "clementine", order=2),
            deployment("slow", "star", order=1),
            deployment("slow", "cranberry", order=2),
            deployment("embedding", "banana", mode="embedding", order=1),
            deployment("embedding", "clementine", mode="embedding", order=2),
        ],
        "router_settings": {"routing_strategy": "simple-shuffle", "num_retries": 0, "fallbacks": [{"fast": ["slow"]}]},
        "litellm_settings": {"drop_params": True},
        "general_settings": {"master_key": "os.environ/LITELLM_MASTER_KEY"},
    }


def changed(*changes: tuple[str, Any]) -> dict[str, Any]:
    """The right configuration with values put at paths such as ``model_list.0.litellm_params.order``; a value of ... goes."""
    config = copy.deepcopy(right())
    for path, value in changes:
        place: Any = config
        value = copy.deepcopy(value)
        *parts, last = [int(part) if part.isdigit() else part for part in path.split("/")]
        for part in parts:
            place = place.setdefault(part, {}) if isinstance(place, dict) else place[part]
        if value is ...:
            del place[last]
        elif isinstance(place, list) and last == len(place):
            place.append(value)
        else:
            place[last] = value
    return config


def text(config: object) -> bytes:
    """A configuration as the file's content."""
    return yaml_text.written(config).encode() if not isinstance(config, str) else config.encode()


def rules(config: object, release: str = PINNED, severities: tuple[str, ...] = ("error", "warning", "advice")) -> list[str]:
    """The rules that fire, each once."""
    found = check(text(config), release)
    return sorted({item["rule"] for item in found if item["severity"] in severities and not item["rule"].startswith("release-")})
