"""What a release of LiteLLM knows, read from its wheel: nothing of it is installed, imported or run.

For releases that nobody has to run here. It is generous: names that are code count as settings too, so that what a release takes
is never called unknown; a name that is missing is one that its sources do not have.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from tests.rules.sources import Sources, assigned, text_of

CALLS = "completion", "embedding", "transcription", "speech", "image_generation", "rerank", "responses", "text_completion"
NO_KEYS = {"self", "args", "kwargs", "_host"}
MANAGED_OUTSIDE = {"model_list", "search_tools", "assistants_config", "router_general_settings", "ignore_invalid_deployments"}
COSTS = ("litellm/model_prices_and_context_window_backup.json", "litellm/cost.json")


class Wheel:
    """An unpacked wheel."""

    def __init__(self, folder: Path) -> None:
        self.sources = Sources(folder)
        self._read = self.sources.read_from

    def classes(self, path: str) -> dict[str, ast.ClassDef]:
        tree = self.sources.tree(path)
        return {node.name: node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)} if tree else {}

    def fields(self, path: str, name: str) -> set[str]:
        """What a class declares, and those of the same file that it is made of."""
        kinds, found, waiting = self.classes(path), set[str](), [name]
        while waiting:
            kind = kinds.pop(waiting.pop(), None)
            for statement in kind.body if kind else ():
                if isinstance(statement, ast.AnnAssign):
                    found |= {*assigned(statement)[0], *aliases(statement.value)}
            waiting += [base.id for base in (kind.bases if kind else ()) if isinstance(base, ast.Name)]
        return found

    def arguments(self, path: str, name: str, of: str | None = None) -> set[str]:
        """Those of every function of that name in a file, or in one of its classes."""
        root: ast.ClassDef | ast.Module | None = self.classes(path).get(of) if of else self.sources.tree(path)
        kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
        functions = [node for node in (root.body if root else ()) if isinstance(node, kinds) and node.name == name]
        return {item.arg for one in functions for item in (*one.args.args, *one.args.kwonlyargs)} - NO_KEYS

    def router_settings(self) -> set[str]:
        return (
            self.arguments("litellm/router.py", "__init__", "Router")
            | self.arguments("litellm/router_python_core.py", "__init__", "PythonCore")
        ) - MANAGED_OUTSIDE

    def general_settings(self) -> set[str]:
        names = self.fields("litellm/proxy/_types.py", "ConfigGeneralSettings") | self.sources.read_elsewhere("general_settings")
        return names | self._read(lambda name: name.endswith("general_settings"))

    def litellm_settings(self) -> set[str]:
        body = self.sources.trees["litellm/__init__.py"].body
        names = {name for statement in body for name in assigned(statement)[0]} | self.sources.asked_of_module()
        imports = [node for node in body if isinstance(node, ast.ImportFrom)]
        names |= {alias.asname or alias.name for node in imports for alias in node.names}
        # What is written like a class is one.
        plain = {name for name in names if re.fullmatch("[a-z][a-z0-9_]*|[A-Z][A-Z0-9_]*", name)}
        return plain | self.sources.load_config_keys() | self._read(lambda name: name.endswith("litellm_settings"))

    def cache_params(self) -> set[str]:
        """The Redis client's own are not in the wheel."""
        names = self.arguments("litellm/caching/caching.py", "__init__", "Cache") | self._read(
            lambda name: name == "cache_params"
        )
        return {name for name in names if not name.startswith("_")}

    def litellm_params(self) -> set[str]:
        names = {"stream", "messages", "input", "order", "weight"} | self.listed("litellm/types/utils.py", "all_litellm_params")
        for kind in ("LiteLLM_Params", "GenericLiteLLMParams", "LiteLLMParamsTypedDict", "CredentialLiteLLMParams"):
            names |= self.fields("litellm/types/router.py", kind)
        for path in self.sources.trees:
            if path.count("/") <= 2 and path.endswith(("main.py", "text_completion.py")):
                names |= {name for call in CALLS for name in self.arguments(path, call)}
        names |= self.listed("litellm/constants.py", "DEFAULT_CHAT_COMPLETION_PARAM_VALUES")
        return names | self.sources.provider_parameters() | self._read(lambda name: name.endswith("litellm_params"))

    def model_info(self) -> set[str]:
        names = self.fields("litellm/types/router.py", "ModelInfo") | self.fields("litellm/types/utils.py", "ModelInfo")
        names |= self.fields("litellm/types/utils.py", "ModelInfoBase")
        return names | self._read(lambda name: name.endswith("model_info"))

    def complexity_router_config(self) -> set[str]:
        return self.fields("litellm/router_strategy/complexity_router/config.py", "ComplexityRouterConfig")

    def sections(self) -> set[str]:
        return self.fields("litellm/proxy/_types.py", "ConfigYAML") | {"include"} | self.sources.section_names()

    def routing_strategies(self) -> set[str]:
        """Those that its types name."""
        return self.members("litellm/types/router.py", "RoutingStrategy") | {
            text
            for path in ("litellm/router.py", "litellm/router_python_core.py")
            for text in self.literals(path, "routing_strategy")
        }

    def literals(self, path: str, argument: str) -> set[str]:
        tree = self.sources.tree(path)
        nodes = [node for node in ast.walk(tree) if isinstance(node, ast.arg) and node.arg == argument] if tree else []
        return {text for node in nodes if node.annotation for text in texts(node.annotation) if re.fullmatch("[a-z0-9-]+", text)}

    def members(self, path: str, name: str) -> set[str]:
        kind = self.classes(path).get(name)
        return {text for statement in (kind.body if kind else ()) if (text := text_of(assigned(statement)[1]))}

    def listed(self, path: str, name: str) -> set[str]:
        """The texts of a list or mapping of a module."""
        tree = self.sources.tree(path)
        values = [assigned(node)[1] for node in (tree.body if tree else ()) if name in assigned(node)[0]]
        return {text for value in values if value for text in texts(value)}

    def providers(self) -> set[str]:
        file = self.sources.folder / "litellm" / "llms" / "openai_like" / "providers.json"
        return self.members("litellm/types/utils.py", "LlmProviders") | set(json.loads(file.read_text(encoding="utf-8")))

    def bare_models(self) -> set[str]:
        files = [self.sources.folder / name for name in COSTS]
        models = {name for file in files if file.is_file() for name in json.loads(file.read_text(encoding="utf-8"))}
        prefixes = self.providers()
        return {name for name in models if name.split("/")[0] not in prefixes}


def texts(node: ast.AST) -> set[str]:
    return {text for item in ast.walk(node) if isinstance(item, ast.expr) and (text := text_of(item))}


def aliases(value: ast.expr | None) -> set[str]:
    """``Field(alias="x")``."""
    words = value.keywords if isinstance(value, ast.Call) else []
    return {text for word in words if word.arg in ("alias", "validation_alias") and (text := text_of(word.value))}


# Sections of which a wheel does not tell all: what the enterprise part reads, which is a wheel of its own, what the Redis client
# takes, what is put together while it is imported, what it finds a provider for. There the names of the release below count too.
IN_PART = (
    "general_settings", "litellm_settings", "model_info", "cache_params", "litellm_params", "routing_strategies", "bare_models",
)  # fmt: skip


def keys_of_wheel(folder: Path, below: Mapping[str, Collection[str]]) -> dict[str, list[str]]:
    """Section -> names, of an unpacked wheel; ``below``: those of the release below it."""
    wheel = Wheel(folder)
    kinds: dict[str, Callable[[], Collection[str]]] = {
        kind.__name__: kind
        for kind in (
            wheel.router_settings, wheel.general_settings, wheel.litellm_settings, wheel.cache_params, wheel.litellm_params,
            wheel.model_info, wheel.complexity_router_config, wheel.sections, wheel.routing_strategies, wheel.providers,
            wheel.bare_models,
        )
    }  # fmt: skip
    return {name: sorted({*kind(), *(below[name] if name in IN_PART else ())}) for name, kind in kinds.items()}
