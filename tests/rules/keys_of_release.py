"""What one release of LiteLLM knows: names of settings, providers, strategies and models, as JSON on standard output.

Run with the interpreter of an environment that has LiteLLM, and with LITELLM_LOCAL_MODEL_COST_MAP=True. Names that are declared
are asked for; most others are only read somewhere in its sources, and are found there by the expression that reads them.
"""

from __future__ import annotations

import ast
import gc
import importlib
import inspect
import json
import re
import typing
from collections.abc import Callable, Collection
from pathlib import Path

import litellm
import redis
from litellm import Router

from tests.rules.sources import Sources, assigned

PACKAGE = Path(litellm.__file__).parent
SOURCES = Sources(PACKAGE.parent)
read_from = SOURCES.read_from
CALLS = "completion", "embedding", "transcription", "speech", "image_generation", "rerank", "responses", "text_completion"
# What a setting can be; the module's other names are code.
PLAIN = (type(None), bool, int, float, str, list, dict, set, tuple)
NO_KEYS = {"self", "args", "kwargs"}
# Before there was a constant for them, load_config listed these itself.
MANAGED_OUTSIDE = {"model_list", "search_tools", "assistants_config", "router_general_settings", "ignore_invalid_deployments"}


def fields(module: str, name: str) -> set[str]:
    """What a pydantic model or a typed dictionary of the release declares; nothing where it has none of that name."""
    try:
        kind = getattr(importlib.import_module(module), name, None)
    except ImportError:
        return set()
    declared = getattr(kind, "model_fields", None)
    if declared is None:
        return set(typing.get_type_hints(kind)) if isinstance(kind, type) and hasattr(kind, "__total__") else set()
    return set(declared) | {field.alias for field in declared.values() if field.alias}


def arguments(function: Callable[..., object]) -> set[str]:
    return set(inspect.signature(function).parameters) - NO_KEYS


def router_settings() -> set[str]:
    try:
        names = set(importlib.import_module("litellm.router_api").router_init_args())
    except ImportError:
        names = set(Router.get_valid_args())
    outside = getattr(importlib.import_module("litellm.constants"), "ROUTER_SETTINGS_MANAGED_OUTSIDE_CONFIG", set())
    return names - MANAGED_OUTSIDE - set(outside)


def general_settings() -> set[str]:
    declared = fields("litellm.proxy._types", "ConfigGeneralSettings")
    names = declared | read_from(lambda name: name.endswith("general_settings"))
    return names | SOURCES.read_elsewhere("general_settings")


def litellm_settings() -> set[str]:
    """What the module itself has as a value, what the code asks the module for, and what the proxy treats by name."""
    body = SOURCES.trees["litellm/__init__.py"].body
    names = {name for statement in body for name in assigned(statement)[0]} | SOURCES.asked_of_module()
    imports = [node for node in body if isinstance(node, ast.ImportFrom)]
    names |= {alias.asname or alias.name for node in imports for alias in node.names} & set(dir(litellm))
    values = {name for name in names if not name.startswith("_") and isinstance(getattr(litellm, name, None), PLAIN)}
    return values | SOURCES.load_config_keys() | read_from(lambda name: name.endswith("litellm_settings"))


def litellm_params() -> set[str]:
    """Declared ones, those of every kind of call, those that the router or the proxy read, and those of providers."""
    names = set(litellm.types.utils.all_litellm_params) | {"stream", "messages", "input", "order", "weight"}
    for kind in ("LiteLLM_Params", "GenericLiteLLMParams", "LiteLLMParamsTypedDict", "CredentialLiteLLMParams"):
        names |= fields("litellm.types.router", kind)
    for call in CALLS:
        names |= arguments(getattr(litellm, call))
    names |= set(importlib.import_module("litellm.constants").DEFAULT_CHAT_COMPLETION_PARAM_VALUES)
    return names | SOURCES.provider_parameters() | read_from(lambda name: name.endswith("litellm_params"))


def model_info() -> set[str]:
    declared = fields("litellm.types.router", "ModelInfo") | fields("litellm.types.utils", "ModelInfo")
    return declared | read_from(lambda name: name.endswith("model_info"))


def complexity_router_config() -> set[str]:
    return fields("litellm.router_strategy.complexity_router.config", "ComplexityRouterConfig")


def cache_params() -> set[str]:
    names = arguments(importlib.import_module("litellm.caching.caching").Cache.__init__)
    # What it does not know it hands to the Redis client.
    names |= arguments(inspect.unwrap(redis.Redis.__init__))
    return {name for name in names | read_from(lambda name: name == "cache_params") if not name.startswith("_")}


def sections() -> set[str]:
    return fields("litellm.proxy._types", "ConfigYAML") | {"include"} | SOURCES.section_names()


def routing_strategies() -> set[str]:
    """Those that the router takes, of all that its types name."""
    named = {member.value for member in importlib.import_module("litellm.types.router").RoutingStrategy}
    annotation = str(inspect.signature(Router.__init__).parameters["routing_strategy"].annotation)
    named |= set(re.findall(r"'([a-z0-9-]+)'", annotation.replace('"', "'"))) | {"lar1"}
    return {name for name in named if taken(lambda name=name: Router(model_list=[], routing_strategy=name))}


def taken(call: Callable[[], object]) -> bool:
    try:
        call()
    except Exception:  # LiteLLM refuses with exceptions of many kinds
        return False
    return True


def providers() -> set[str]:
    listed = {str(getattr(provider, "value", provider)) for provider in litellm.provider_list}
    try:
        return listed | set(importlib.import_module("litellm.llms.openai_like.json_loader").JSONProviderRegistry.list_providers())
    except ImportError:
        return listed


def bare_models() -> set[str]:
    """Models whose provider is found without a prefix. Those of a provider are not asked for: some log in when asked."""
    lists = [getattr(litellm, name) for name in dir(litellm) if name.endswith("_models")]
    names = {*litellm.model_cost, *litellm.model_list}.union(*(listed for listed in lists if isinstance(listed, list | set)))
    prefixes = providers()
    candidates = {name for name in names if isinstance(name, str) and name.split("/")[0] not in prefixes}
    return {name for name in candidates if taken(lambda name=name: litellm.get_llm_provider(name))}


SECTIONS: dict[str, Callable[[], Collection[str]]] = {
    kind.__name__: kind
    for kind in (
        router_settings, general_settings, litellm_settings, cache_params, litellm_params, model_info, complexity_router_config,
        sections, routing_strategies, providers, bare_models,
    )
}  # fmt: skip


def main() -> None:
    # Collecting garbage over millions of nodes takes longer than all the rest.
    gc.disable()
    # Else it prints advice where the answer goes.
    litellm.suppress_debug_info = True
    print(json.dumps({name: sorted(kind()) for name, kind in SECTIONS.items()}))


if __name__ == "__main__":
    main()
