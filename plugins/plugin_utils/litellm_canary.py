"""What a canary of a LiteLLM configuration is started with, and whom it is asked for."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from .litellm_serving import UNSAID_TIMEOUT_S, router_timeout_s, seconds

# Modes that can be asked with a few words. LiteLLM has more (rerank, image_generation, audio_speech …).
ASKED_MODES = ("chat", "completion", "embedding")
# Settings with one of these words in their names lead to what the proxy that serves leads to as well: cooldowns and verdicts in
# Redis, a cache, a database, somebody who is told. Probes would ask every engine a second time.
SHARED_WORDS = ("redis", "cache", "caching", "callback", "alert", "health_check", "database", "spend_", "_in_db")
SECTIONS = ("router_settings", "litellm_settings", "general_settings")
# A deployment whose model is one of LiteLLM's routers sends on to other names.
ROUTER_PROVIDER = "auto_router/"
# What lets clients in; a canary is asked by its administrator.
AUTHENTICATION = {
    "general_settings": ("custom_auth", "custom_auth_run_common_checks"),
    "litellm_settings": ("enable_post_custom_auth_checks",),
}
OWN_AUTHENTICATION = "homelab_llm_auth.user_api_key_auth"


def canary_work(config: Mapping[str, Any], serving: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The canary's own `config`, its `digest` without clients, the `questions`, and the sentences of what is `not_asked`.

    `serving` is the configuration of the proxy that serves: what stands in both as it is can be asked there too.
    """
    own = canary_config(config)
    groups = _groups(own)
    named = list(_names(own, groups))
    return {
        "config": own,
        "digest": _digest(own),
        "questions": [
            *_deployments(own, (serving or {}).get("model_list") or []),
            *(item for item in named if _can_be_asked(item)),
        ],
        "not_asked": [_why_not(item) for item in named if not _can_be_asked(item)],
    }


def canary_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """A copy that shares nothing with those who serve, each of its deployments with an id that no group is named like."""
    own = {name: copy.deepcopy(value) for name, value in config.items() if not _is_shared(name)}
    for section in SECTIONS:
        if own.get(section):
            own[section] = {name: value for name, value in own[section].items() if not _is_shared(name)}
    # One no, of a model that is being loaded, is no reason to leave its deployment out of the next question.
    own["router_settings"] = {**(own.get("router_settings") or {}), "disable_cooldowns": True}
    names = {entry["model_name"] for entry in own.get("model_list") or []}
    for number, entry in enumerate(own.get("model_list") or []):
        information = entry["model_info"] = dict(entry.get("model_info") or {})
        if not information.get("id") or information["id"] in names:
            information["id"] = f"canary-{number}"
    return own


def _is_shared(name: str) -> bool:
    return any(word in name for word in SHARED_WORDS)


def _digest(own: Mapping[str, Any]) -> str:
    """Stands for everything that the canary tries. Who the clients are is nothing of it."""
    body = {name: dict(own.get(name) or {}) if name in SECTIONS else value for name, value in own.items()}
    if body.get("general_settings", {}).get("custom_auth") == OWN_AUTHENTICATION:
        for section, names in AUTHENTICATION.items():
            for name in names:
                body.get(section, {}).pop(name, None)
    return hashlib.sha256(json.dumps({key: value for key, value in body.items() if value}, sort_keys=True).encode()).hexdigest()


def _deployments(own: Mapping[str, Any], serving: list[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """A question for each deployment by its id, which nobody else answers."""
    served = {str((entry.get("model_info") or {}).get("id")): entry for entry in serving}
    for entry in own.get("model_list") or []:
        found = {
            "model": str(entry["model_info"]["id"]),
            "name": str(entry["model_name"]),
            "mode": _mode(entry),
            "timeout_s": _timeout_s(own, entry),
            "address": _address(entry),
            "exact": True,
            "unchanged": _same(entry, served.get(str(entry["model_info"]["id"]))),
            "behind": [],
        }
        if not _is_router(entry) and _can_be_asked(found):
            yield found


def _names(own: Mapping[str, Any], groups: Mapping[str, list[Mapping[str, Any]]]) -> Iterator[dict[str, Any]]:
    """A question for each name that a client may call; `behind` are the ids that it may lead to."""
    aliases = (own.get("router_settings") or {}).get("model_group_alias") or {}
    targets = {str(alias): str(target["model"] if isinstance(target, Mapping) else target) for alias, target in aliases.items()}
    for name, group in [*((name, name) for name in groups), *targets.items()]:
        if group in groups:
            behind = [entry for entry in _behind(groups, group) if _mode(entry) in ASKED_MODES]
            yield {
                "model": name,
                "name": name,
                "mode": _mode(groups[group][0]),
                "timeout_s": sum(_timeout_s(own, entry) for entry in behind or groups[group]),
                "address": "",
                "exact": False,
                "unchanged": False,
                "behind": [str(entry["model_info"]["id"]) for entry in behind],
            }


def _behind(groups: Mapping[str, list[Mapping[str, Any]]], name: str) -> list[Mapping[str, Any]]:
    """The deployments that a name leads to, through as many of LiteLLM's routers as there are."""
    reached, ahead, found = {name}, [name], []
    while ahead:
        for entry in groups[ahead.pop()]:
            if not _is_router(entry):
                found.append(entry)
                continue
            more = {text for text in _texts(entry["litellm_params"]) if text in groups} - reached
            reached |= more
            ahead.extend(sorted(more))
    return found


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)


def _groups(own: Mapping[str, Any]) -> dict[str, list[Mapping[str, Any]]]:
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for entry in own.get("model_list") or []:
        groups.setdefault(str(entry["model_name"]), []).append(entry)
    return groups


def _can_be_asked(question: Mapping[str, Any]) -> bool:
    return "*" not in question["name"] and question["mode"] in ASKED_MODES


def _why_not(question: Mapping[str, Any]) -> str:
    why = "is a pattern" if "*" in question["name"] else f"has the mode {question['mode']}"
    return f"{question['name']} {why}, which a few words do not try"


def _same(entry: Mapping[str, Any], served: Mapping[str, Any] | None) -> bool:
    return served is not None and (entry["litellm_params"], _mode(entry)) == (served.get("litellm_params"), _mode(served))


def _is_router(entry: Mapping[str, Any]) -> bool:
    return str(entry["litellm_params"].get("model")).startswith(ROUTER_PROVIDER)


def _address(entry: Mapping[str, Any]) -> str:
    """Where its engine is; empty where the configuration does not say it itself."""
    address = str(entry["litellm_params"].get("api_base") or "")
    return address if address.startswith(("http://", "https://")) else ""


def _mode(entry: Mapping[str, Any]) -> str:
    return str((entry.get("model_info") or {}).get("mode") or "chat")


def _timeout_s(own: Mapping[str, Any], entry: Mapping[str, Any]) -> float:
    return seconds(entry["litellm_params"].get("timeout")) or router_timeout_s(own) or UNSAID_TIMEOUT_S
