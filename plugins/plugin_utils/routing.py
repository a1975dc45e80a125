"""From the plan to the configuration of LiteLLM, by the rules that hold for the pinned release.

One model group per alias, an integer ``order`` on every deployment, everything that decides retries and cooldown written
out, a readable id per deployment.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Engines without authentication still need a key in the request: the openai provider refuses to start without one.
PLACEHOLDER_KEY = "none"


def litellm_config(plan: Mapping[str, Any]) -> dict[str, Any]:
    """The content of LiteLLM's config.yaml as plain data. It holds no secret: the master key comes from the environment."""
    router = plan["router"]
    settings: dict[str, Any] = {
        "routing_strategy": "simple-shuffle",
        "num_retries": router["num_retries"],
        "timeout": router["timeout_s"],
        "allowed_fails": router["allowed_fails"],
        "cooldown_time": router["cooldown_s"],
        "enable_weighted_failover": True,
    }
    fallbacks = [{alias: list(entry["fallbacks"])} for alias, entry in plan["aliases"].items() if entry["fallbacks"]]
    if fallbacks:
        settings["fallbacks"] = fallbacks
    return {
        "model_list": [
            _deployment(alias, entry, item) for alias, entry in plan["aliases"].items() for item in entry["deployments"]
        ],
        "router_settings": settings,
        "litellm_settings": {"drop_params": True, "turn_off_message_logging": True},
        "general_settings": {
            "master_key": "os.environ/LITELLM_MASTER_KEY",
            # Without it the proxy asks every engine for its models at start and every five minutes.
            "disable_model_info_refresh": True,
        },
    }


def _deployment(alias: str, entry: Mapping[str, Any], item: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "model_name": alias,
        "litellm_params": {
            "model": f"openai/{item['engine_model']}",
            "api_base": f"{item['url']}/v1",
            "api_key": PLACEHOLDER_KEY,
            "order": item["order"],
            "timeout": entry["timeout_s"],
        },
        "model_info": {"id": deployment_id(alias, item), "mode": entry["mode"]},
    }


def deployment_id(alias: str, item: Mapping[str, Any]) -> str:
    """The id in headers and metrics. LiteLLM wants each once per file, and one model may stand behind several aliases."""
    return f"{item['id']}--{alias}"
