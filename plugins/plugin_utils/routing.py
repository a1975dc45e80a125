"""From the plan to the configuration of LiteLLM, by the rules that hold for the pinned release.

One model group per alias, an integer ``order`` on every deployment, all that decides retries, cooldown and fallbacks written out,
a readable id per deployment. No secret: keys and passwords come from the environment.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .routing_ids import deployment_id, smart_id

# Engines without authentication still need a key in the request: the openai provider refuses to start without one.
PLACEHOLDER_KEY = "none"
# The file that the role lays beside the configuration, and its function.
CLIENT_AUTHENTICATION = "homelab_llm_auth.user_api_key_auth"
# A verdict that is older than this many rounds of probes says nothing. Below two, LiteLLM forgets verdicts between rounds.
STALE_ROUNDS = 3


def litellm_config(plan: Mapping[str, Any]) -> dict[str, Any]:
    """The content of LiteLLM's config.yaml as plain data."""
    router = plan["router"]
    deployments = [
        _deployment(alias, entry, item, router) for alias, entry in plan["aliases"].items() for item in entry["deployments"]
    ]
    return {
        "model_list": [*deployments, *(_smart(name, entry) for name, entry in router["smart"].items())],
        "router_settings": _router_settings(plan),
        "litellm_settings": _litellm_settings(router),
        "general_settings": _general_settings(router),
    }


def _deployment(alias: str, entry: Mapping[str, Any], item: Mapping[str, Any], router: Mapping[str, Any]) -> dict[str, Any]:
    parameters = {
        # Through the OpenAI endpoint of every engine: there a refused connection cools down, Ollama reads no num_ctx and no
        # keep_alive of a client, and the complexity router works. None of the three holds for ollama_chat.
        "model": f"openai/{item['engine_model']}",
        "api_base": f"{item['url']}/v1",
        "api_key": f"os.environ/{item['api_key_variable']}" if item["api_key_variable"] else PLACEHOLDER_KEY,
        "order": item["order"],
        "timeout": entry["timeout_s"],
    }
    if entry["stream_timeout_s"] is not None:
        parameters["stream_timeout"] = entry["stream_timeout_s"]
    if item["cooldown_s"] != router["cooldown_s"]:
        parameters["cooldown_time"] = item["cooldown_s"]
    information = {"id": deployment_id(item["id"], alias), "mode": entry["mode"], "host": item["host"]}
    if item["images"] is not None:
        information["supports_vision"] = item["images"]
    return {
        "model_name": alias,
        "litellm_params": parameters,
        "model_info": {**information, **_probe(router["health"], entry, item)},
    }


def _probe(health: Mapping[str, Any] | None, entry: Mapping[str, Any], item: Mapping[str, Any]) -> dict[str, Any]:
    """How a deployment is probed. What an external engine has in memory is not ours to know: a probe might load a model there."""
    if not health:
        return {}
    if item["engine"] == "external":
        return {"disable_background_health_check": True}
    tokens = {"health_check_max_tokens": health["max_tokens"]} if entry["mode"] == "chat" else {}
    return {"health_check_timeout": health["timeout_s"], **tokens}


def _smart(name: str, entry: Mapping[str, Any]) -> dict[str, Any]:
    switches = ("modality_routing", "session_affinity", "deployment_affinity", "escalation_keywords")
    rules = {"keyword_tier_rules": entry["keyword_rules"]} if entry["keyword_rules"] else {}
    return {
        "model_name": name,
        "litellm_params": {
            "model": "auto_router/complexity_router",
            "complexity_router_config": {
                "tiers": entry["tiers"],
                **rules,
                **{key: entry[key] for key in switches},
                # On by default. It asks for prices of models that have none, and fails the request.
                "context_compaction": False,
                # On by default. It puts what a price list says in place of the client's own limit.
                "max_tokens_from_tier_model": False,
            },
            "complexity_router_default_model": entry["default"],
        },
        "model_info": {"id": smart_id(name)},
    }


def _router_settings(plan: Mapping[str, Any]) -> dict[str, Any]:
    router = plan["router"]
    return {
        "routing_strategy": "simple-shuffle",
        "num_retries": router["num_retries"],
        "timeout": router["timeout_s"],
        "allowed_fails": router["allowed_fails"],
        "cooldown_time": router["cooldown_s"],
        "max_fallbacks": router["max_fallbacks"],
        **({"fallbacks": chains} if (chains := list(_chains(plan))) else {}),
    }


def _chains(plan: Mapping[str, Any]) -> Iterator[dict[str, list[str]]]:
    """One mapping of one key for each name that a client can use and that somebody else may answer."""
    for names in (plan["aliases"], plan["router"]["smart"]):
        yield from ({name: list(entry["fallbacks"])} for name, entry in names.items() if entry["fallbacks"])


def _litellm_settings(router: Mapping[str, Any]) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "drop_params": True,
        "turn_off_message_logging": True,
        # The OpenAI library asks a failing engine for embeddings three times, a second in all, whatever num_retries says.
        "DEFAULT_MAX_RETRIES": 0,
    }
    if router["prometheus"]:
        settings |= {"callbacks": ["prometheus"], "require_auth_for_metrics_endpoint": True}
    if router["json_logs"]:
        settings["json_logs"] = True
    if router["clients"]:
        settings["enable_post_custom_auth_checks"] = True
    return settings


def _general_settings(router: Mapping[str, Any]) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "master_key": "os.environ/LITELLM_MASTER_KEY",
        # Without it the proxy asks every engine for its models at start and every five minutes.
        "disable_model_info_refresh": True,
    }
    if router["clients"]:
        # Without both checks a key's list of models hides names and refuses nothing.
        settings |= {"custom_auth": CLIENT_AUTHENTICATION, "custom_auth_run_common_checks": True}
    if router["health"]:
        interval_s = router["health"]["interval_s"]
        settings |= {
            "background_health_checks": True,
            "health_check_interval": interval_s,
            "enable_health_check_routing": True,
            "health_check_staleness_threshold": STALE_ROUNDS * interval_s,
        }
    if router["redis"]:
        settings["coordination_redis"] = _redis(router["redis"])
        if router["health"]:
            settings["use_shared_health_check"] = True
    return settings


def _redis(redis: Mapping[str, Any]) -> dict[str, Any]:
    password = {"password": "os.environ/REDIS_PASSWORD"} if redis["password"] else {}
    return {"host": redis["host"], "port": redis["port"], **password, **({"ssl": True} if redis["tls"] else {})}
