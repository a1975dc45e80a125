"""What one release of LiteLLM knows: names of settings, providers, strategies and models, as JSON on standard output.

Run with the interpreter of an environment that has LiteLLM, and with LITELLM_LOCAL_MODEL_COST_MAP=True. Names that are declared
are asked for; most others are only read somewhere in its sources, and are found there by the expression that reads them.
"""

from __future__ import annotations

import ast
import functools
import gc
import importlib
import inspect
import json
import re
import typing
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

import litellm
import redis
from litellm import Router

PACKAGE = Path(litellm.__file__).parent
# The enterprise part comes with litellm[proxy] and reads the same settings.
SOURCES = (PACKAGE, PACKAGE.parent / "litellm_enterprise")
# Parsing the rest takes half a minute and finds nothing.
WORTH_READING = re.compile("_settings|_params|model_info|attr\\(litellm|[A-Z]_(?:KEY|SETTING)\\b|Config\\b")
READERS = {"get", "pop", "setdefault", "has"}
CALLS = "completion", "embedding", "transcription", "speech", "image_generation", "rerank", "responses", "text_completion"
# What a setting can be; the module's other names are code.
PLAIN = (type(None), bool, int, float, str, list, dict, set, tuple)
NO_KEYS = {"self", "args", "kwargs"}
# Columns of a row of the database that the server also calls config.
NO_SECTIONS = {"force_reload", "interval_hours"}
# Before there was a constant for them, load_config listed these itself.
MANAGED_OUTSIDE = {"model_list", "search_tools", "assistants_config", "router_general_settings", "ignore_invalid_deployments"}


@functools.cache
def trees() -> dict[str, ast.Module]:
    """Every source file of the release that may read a setting, by its path within the package."""
    paths = sorted(path for root in SOURCES for path in root.rglob("*.py"))
    texts = {str(path.relative_to(PACKAGE.parent)): path.read_text(encoding="utf-8") for path in paths}
    return {path: ast.parse(text) for path, text in texts.items() if WORTH_READING.search(text)}


def text_of(node: ast.expr | None) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


@functools.cache
def constants() -> dict[str, str]:
    """Names of module-level texts: X_SETTING = "x" is read as general_settings.get(X_SETTING)."""
    found: dict[str, str] = {}
    for tree in trees().values():
        for names, value in map(assigned, tree.body):
            if (text := text_of(value)) is not None:
                found.update(dict.fromkeys((name for name in names if name.strip("_").isupper()), text))
    return found


def assigned(node: ast.stmt) -> tuple[list[str], ast.expr | None]:
    """The plain names that a statement assigns, and the value."""
    if isinstance(node, ast.AnnAssign):
        return ([node.target.id] if isinstance(node.target, ast.Name) else []), node.value
    if isinstance(node, ast.Assign):
        return [target.id for target in node.targets if isinstance(target, ast.Name)], node.value
    return [], None


def name_of(node: ast.expr) -> str:
    """What is read from: `x`, `a.x`, `a["x"]`, `a.get("x")` and `(x or {})` are all x."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return node.attr
    if isinstance(node, ast.BoolOp):
        return name_of(node.values[0])
    if isinstance(node, ast.Subscript):
        return text_of(node.slice) or ""
    if isinstance(node, ast.Call) and node.args:
        reads = isinstance(node.func, ast.Attribute) and node.func.attr in READERS
        return (text_of(node.args[0]) or "") if reads else name_of(node.args[-1])
    return ""


def key_of(node: ast.expr) -> str | None:
    return constants().get(node.id) if isinstance(node, ast.Name) else text_of(node)


def reads(node: ast.AST) -> Iterator[tuple[str, str]]:
    """(what is read from, key) of an expression that reads a key."""
    if isinstance(node, ast.Subscript):
        pair = (node.value, node.slice)
    elif isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.In | ast.NotIn):
        pair = (node.comparators[0], node.left)
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in READERS and node.args:
        pair = (node.func.value, node.args[0])
    else:
        return
    key = key_of(pair[1])
    if key is not None:
        yield name_of(pair[0]), key


@functools.cache
def expressions() -> tuple[tuple[str, ast.expr], ...]:
    """Every expression that may read a key, with its file."""
    kinds = (ast.Subscript, ast.Compare, ast.Call)
    return tuple((path, node) for path, tree in trees().items() for node in ast.walk(tree) if isinstance(node, kinds))


@functools.cache
def all_reads() -> tuple[tuple[str, str, str], ...]:
    """(file, what is read from, key) over the whole release."""
    return tuple((path, *pair) for path, node in expressions() for pair in reads(node))


def read_from(wanted: Callable[[str], bool], folder: str = "") -> set[str]:
    return {key for path, name, key in all_reads() if folder in path and wanted(name)}


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
    return declared | read_from(lambda name: name.endswith("general_settings"))


def load_config_keys() -> set[str]:
    """Keys that the proxy compares with one by one while it takes litellm_settings: `key == "callbacks"`."""
    loads = [
        node
        for node in ast.walk(trees()["litellm/proxy/proxy_server.py"])
        if isinstance(node, ast.AsyncFunctionDef) and node.name == "load_config"
    ]
    compared = [node for load in loads for node in ast.walk(load) if isinstance(node, ast.Compare)]
    return {text for node in compared if name_of(node.left) == "key" and (text := text_of(node.comparators[0]))}


def asked_of_module() -> set[str]:
    """Names that the code asks the module for as texts: getattr(litellm, "x", None)."""
    calls = [node for path, node in expressions() if isinstance(node, ast.Call) and len(node.args) > 1]
    asks = [node for node in calls if isinstance(node.func, ast.Name) and node.func.id in ("getattr", "hasattr")]
    return {text for node in asks if name_of(node.args[0]) == "litellm" and (text := key_of(node.args[1]))}


def litellm_settings() -> set[str]:
    """What the module itself has as a value, what the code asks the module for, and what the proxy treats by name."""
    body = trees()["litellm/__init__.py"].body
    names = {name for statement in body for name in assigned(statement)[0]} | asked_of_module()
    imports = [node for node in body if isinstance(node, ast.ImportFrom)]
    names |= {alias.asname or alias.name for node in imports for alias in node.names} & set(dir(litellm))
    values = {name for name in names if not name.startswith("_") and isinstance(getattr(litellm, name, None), PLAIN)}
    return values | load_config_keys() | read_from(lambda name: name.endswith("litellm_settings"))


def provider_parameters() -> set[str]:
    """What a provider takes beyond OpenAI's parameters: declared by its Config class or popped from optional_params."""
    names = read_from(lambda name: name in ("optional_params", "non_default_params"), "litellm/llms/")
    for path, tree in trees().items():
        if path.startswith("litellm/llms/"):
            kinds = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef) and node.name.endswith("Config")]
            names |= {name for kind in kinds for statement in kind.body for name in assigned(statement)[0]}
    return {name for name in names if not name.startswith("_")}


def litellm_params() -> set[str]:
    """Declared ones, those of every kind of call, those that the router or the proxy read, and those of providers."""
    names = set(litellm.types.utils.all_litellm_params) | {"stream", "messages", "input", "order", "weight"}
    for kind in ("LiteLLM_Params", "GenericLiteLLMParams", "LiteLLMParamsTypedDict", "CredentialLiteLLMParams"):
        names |= fields("litellm.types.router", kind)
    for call in CALLS:
        names |= arguments(getattr(litellm, call))
    names |= set(importlib.import_module("litellm.constants").DEFAULT_CHAT_COMPLETION_PARAM_VALUES)
    return names | provider_parameters() | read_from(lambda name: name.endswith("litellm_params"))


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
    """Top-level keys of the file, read from the configuration by the server or its command."""
    readers = ("config", "_config", "config_data", "proxy_config", "raw_config")
    names = fields("litellm.proxy._types", "ConfigYAML") | {"include"}
    for file in ("proxy_server.py", "proxy_cli.py"):
        names |= read_from(lambda name: name in readers, f"litellm/proxy/{file}")
    return names - NO_SECTIONS


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
