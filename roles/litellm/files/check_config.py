# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ask LiteLLM's own router whether it takes a configuration: `check_config.py FILE [SECRETS]` ends with 0 or says why not.

Run with the interpreter and the variables of the environment that will serve the file; SECRETS has more of them, one NAME=value a
line. Nothing is contacted.
"""

from __future__ import annotations

import importlib
import inspect
import os
import sys
from collections.abc import Iterator
from typing import Any

import yaml

REFERENCE = "os.environ/"
# Stands for the key that only the service reads.
PLACEHOLDER_KEY = "sk-only-for-the-check"
# Of the router's settings: what it would connect to as soon as it is built.
CONNECTING = ("redis", "cache", "caching")


class Refused(Exception):
    """The configuration would not serve; the message says what was found and expected."""


def load(path: str) -> dict[str, Any]:
    """The file as data."""
    with open(path, encoding="utf-8") as file:
        try:
            config = yaml.safe_load(file)
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise Refused(f"it is no YAML: {error}") from error
    if not isinstance(config, dict) or not isinstance(config.get("model_list"), list) or not config["model_list"]:
        raise Refused("it has no model_list; expected a list with one deployment or more")
    for number, entry in enumerate(config["model_list"]):
        if not isinstance(entry, dict) or not entry.get("model_name") or not isinstance(entry.get("litellm_params"), dict):
            raise Refused(f"model_list[{number}] is no deployment; expected model_name and litellm_params")
    for name in ("router_settings", "litellm_settings", "general_settings"):
        if not isinstance(config.get(name) or {}, dict):
            raise Refused(f"{name} is {type(config[name]).__name__}; expected a mapping")
    return config


def check_ids(config: dict[str, Any]) -> None:
    """LiteLLM wants each deployment's id once."""
    ids = [(entry.get("model_info") or {}).get("id") for entry in config["model_list"]]
    twice = sorted({item for item in ids if item is not None and ids.count(item) > 1})
    if twice:
        raise Refused(f"model_info.id {', '.join(twice)} occurs more than once; expected each once")


def references(value: Any) -> Iterator[str]:
    """The variables that a configuration takes values from, wherever they stand."""
    if isinstance(value, str) and value.startswith(REFERENCE):
        yield value[len(REFERENCE) :]
    elif isinstance(value, dict):
        for item in value.values():
            yield from references(item)
    elif isinstance(value, list):
        for item in value:
            yield from references(item)


def check_environment(config: dict[str, Any]) -> None:
    """LiteLLM takes an unset variable for nothing at all, without a word."""
    unset = sorted({name for name in references(config) if name not in os.environ})
    if unset:
        told = ", ".join(unset)
        raise Refused(f"it takes values from {told}, which the proxy does not have; set them in litellm_secrets or _environment")


def check_custom_auth(config: dict[str, Any], folder: str) -> None:
    """The function that knows the clients' keys has to be there; LiteLLM looks beside the file."""
    named = (config.get("general_settings") or {}).get("custom_auth")
    if named is None:
        return
    module, _dot, function = str(named).rpartition(".")
    sys.path.insert(0, folder)
    try:
        found = getattr(importlib.import_module(module), function)
    except Exception as error:  # whatever it is, the proxy would meet it too
        raise Refused(f"general_settings.custom_auth {named} cannot be had: {type(error).__name__}: {error}") from error
    if not callable(found):
        raise Refused(f"general_settings.custom_auth {named} is no function")


def build_router(config: dict[str, Any]) -> Any:
    """LiteLLM's router. The proxy drops settings and deployments that its router does not take; here they end the check."""
    from litellm import Router

    settings = config.get("router_settings") or {}
    unknown = sorted(set(settings) - set(inspect.signature(Router.__init__).parameters))
    if unknown:
        raise Refused(f"router_settings has {', '.join(unknown)}, which LiteLLM's router does not know and would drop")
    alone = {name: value for name, value in settings.items() if not any(word in name for word in CONNECTING)}
    try:
        router = Router(model_list=config["model_list"], **alone)
    except Exception as error:  # whatever it is, the proxy would meet it too
        raise Refused(f"LiteLLM's router refuses it: {type(error).__name__}: {error}") from error
    kept, wanted = len(router.model_list), len(config["model_list"])
    if kept != wanted:
        raise Refused(f"LiteLLM's router kept {kept} of {wanted} deployments")
    return router


def asked_names(config: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Every name that the configuration sends requests to, and where it stands."""
    settings, general = config.get("router_settings") or {}, config.get("litellm_settings") or {}
    for alias, target in (settings.get("model_group_alias") or {}).items():
        yield target["model"] if isinstance(target, dict) else target, f"router_settings.model_group_alias.{alias}"
    for section, values in (("router_settings", settings), ("litellm_settings", general)):
        for kind in ("fallbacks", "context_window_fallbacks", "content_policy_fallbacks"):
            for entry in values.get(kind) or []:
                for name, targets in entry.items():
                    # "*" stands for every name.
                    asked = [*targets, *([name] if name != "*" else [])]
                    yield from ((target, f"{section}.{kind} of {name}") for target in asked)
        yield from ((target, f"{section}.default_fallbacks") for target in values.get("default_fallbacks") or [])
    for entry in config["model_list"]:
        tiers = (entry["litellm_params"].get("complexity_router_config") or {}).get("tiers") or {}
        for tier, target in tiers.items():
            yield from ((name, f"tier {tier} of {entry['model_name']}") for name in tier_names(target))


def tier_names(target: Any) -> list[str]:
    """The groups of one tier: a name, several, or a mapping that has them under `model`."""
    found = target if isinstance(target, list) else [target]
    return [str(item.get("model") if isinstance(item, dict) else item) for item in found]


def check_names(config: dict[str, Any], router: Any) -> None:
    """LiteLLM starts with names that lead nowhere and refuses the request."""
    leads = [(name, where) for name, where in asked_names(config) if not router.get_model_list(model_name=name)]
    if leads:
        told = "; ".join(f"{name} ({where})" for name, where in leads)
        raise Refused(f"no deployment answers to {told}; expected the model_name of one")


def take_secrets(path: str) -> None:
    """Variables that stand in no argument and in no caller's environment."""
    with open(path, encoding="utf-8") as file:
        pairs = [line.partition("=") for line in file.read().splitlines() if not line.startswith("#")]
    os.environ.update({name: value for name, sign, value in pairs if sign})


def main() -> int:
    for path in sys.argv[2:]:
        take_secrets(path)
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    os.environ.setdefault("LITELLM_MODE", "PRODUCTION")
    os.environ.setdefault("LITELLM_MASTER_KEY", PLACEHOLDER_KEY)
    try:
        config = load(sys.argv[1])
        check_ids(config)
        check_environment(config)
        check_custom_auth(config, os.path.dirname(os.path.abspath(sys.argv[1])))
        check_names(config, build_router(config))
    except Refused as refused:
        print(refused, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
