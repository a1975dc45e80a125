"""The ids in LiteLLM's headers and metrics. It wants each once per file, and one model may stand behind several aliases."""

from __future__ import annotations


def deployment_id(host_and_model: str, alias: str) -> str:
    """``host--model--alias``; the plan's deployments say ``host--model``."""
    return f"{host_and_model}--{alias}"


def smart_id(name: str) -> str:
    """The id of a complexity router's own entry."""
    return f"smart--{name}"
