"""Configurations that are broken in one way each: what is changed of a right one, and the gate that has to refuse it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import yaml

Config = dict[str, Any]
NOBODY = {"api_base": "http://127.0.0.1:18999/v1"}
AUDIT, ROUTER, CANARY = "the audit (gate 1 of 3)", "LiteLLM's own router (gate 2 of 3)", "the canary (gate 3 of 3)"


def first(config: Config) -> dict[str, Any]:
    """The parameters of the first deployment."""
    return config["model_list"][0]["litellm_params"]


def another(config: Config) -> dict[str, Any]:
    """A second deployment of the first group, on another host."""
    added = copy.deepcopy(config["model_list"][0])
    added["model_info"].update(id="elsewhere--other", host="elsewhere")
    added["litellm_params"].update(order=2, api_base="http://192.0.2.1:8100/v1")
    config["model_list"].append(added)
    return added


def behind_another(config: Config) -> None:
    """Nobody is at the first deployment's port; a second host answers in its place."""
    another(config)["litellm_params"].update(api_base=first(config)["api_base"])
    first(config).update(NOBODY)


def behind_a_fallback(config: Config) -> None:
    """Nobody is at the first deployment's port; another alias answers in its place."""
    names = [entry["model_name"] for entry in config["model_list"]]
    settings(config, fallbacks=[{names[0]: [next(name for name in names if name != names[0])]}])
    first(config).update(NOBODY)


def settings(config: Config, **values: Any) -> None:
    config["router_settings"].update(values)


# Name -> what is done to a right configuration.
BREAKAGES: dict[str, Callable[[Config], Any]] = {
    "unknown strategy": lambda config: settings(config, routing_strategy="round-robin"),
    "no model_list": lambda config: config.pop("model_list"),
    "empty model_list": lambda config: config.update(model_list=[]),
    "unknown provider": lambda config: first(config).update(model="olama_chat/smollm2"),
    "model without a provider": lambda config: first(config).update(model="smollm2"),
    "alias without hidden": lambda config: settings(config, model_group_alias={"quick": {"model": "tools_fast"}}),
    "dangling alias": lambda config: settings(config, model_group_alias={"quick": "tools_slow"}),
    "fallback to nothing": lambda config: settings(config, fallbacks=[{"coding": ["nobody"]}]),
    "fallback of nothing": lambda config: settings(config, fallbacks=[{"nobody": ["coding"]}]),
    "fallbacks as a mapping": lambda config: settings(config, fallbacks={"coding": ["tools_fast"]}),
    "fallback of an embedding to a chat": lambda config: settings(config, fallbacks=[{"embedding": ["coding"]}]),
    "default_fallbacks as text": lambda config: settings(config, default_fallbacks="coding"),
    "rpm as text": lambda config: first(config).update(rpm="many"),
    "timeout as text": lambda config: first(config).update(timeout="abc"),
    "order as text": lambda config: first(config).update(order="1st"),
    "order mixed": lambda config: another(config)["litellm_params"].pop("order"),
    "two same ids": lambda config: another(config)["model_info"].update(id=config["model_list"][0]["model_info"]["id"]),
    "no timeout": lambda config: (first(config).pop("timeout"), config["router_settings"].pop("timeout")),
    "no api_key": lambda config: first(config).pop("api_key"),
    "variable that is not set": lambda config: first(config).update(api_key="os.environ/NOBODY_SET_THIS"),
    "embedding through ollama_chat": lambda config: config["model_list"][-1]["litellm_params"].update(model="ollama_chat/small"),
    "unknown router setting": lambda config: settings(config, routing_stategy="simple-shuffle"),
    "health interval of the router": lambda config: settings(config, health_check_interval=30),
    "entry without litellm_params": lambda config: config["model_list"][0].pop("litellm_params"),
    "no module of custom_auth": lambda config: config["general_settings"].update(custom_auth="my_auth.user_api_key_auth"),
    "custom_auth half checked": lambda config: config["general_settings"].pop("custom_auth_run_common_checks"),
}
# What no look at the file can tell: it names an engine or a model that is not there.
ENGINE_BREAKAGES: dict[str, Callable[[Config], Any]] = {
    "wrong port": lambda config: first(config).update(NOBODY),
    "wrong port before a second host": behind_another,
    "wrong port before a fallback": behind_a_fallback,
    # An engine of chats has no vectors; one of vectors was seen to chat.
    "engine of another mode": lambda config: config["model_list"][-1]["litellm_params"].update(
        api_base=first(config)["api_base"]
    ),
}


def broken(config: Config, change: Callable[[Config], Any]) -> Config:
    """The configuration with one thing changed."""
    wanted = copy.deepcopy(config)
    change(wanted)
    return wanted


def text_of(config: Config) -> str:
    return yaml.safe_dump(config, sort_keys=False)
