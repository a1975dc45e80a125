"""What the sources of one release of LiteLLM read, found by the expressions that read it; nothing of it is imported or run."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Callable, Iterator
from pathlib import Path

# Parsing the rest takes half a minute and finds nothing.
WORTH_READING = re.compile("_settings|_params|model_info|attr\\(litellm|[A-Z]_(?:KEY|SETTING)\\b|Config\\b")
READERS = {"get", "pop", "setdefault", "has"}
# Columns of a row of the database that the server also calls config.
NO_SECTIONS = {"force_reload", "interval_hours"}
Function = ast.FunctionDef | ast.AsyncFunctionDef


def text_of(node: ast.expr | None) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


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


class Sources:
    """The sources in a folder that holds litellm/, as it is installed or as a wheel unpacks."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @functools.cached_property
    def trees(self) -> dict[str, ast.Module]:
        """Every source file that may read a setting, by its path. The enterprise part reads the same settings."""
        paths = sorted(path for name in ("litellm", "litellm_enterprise") for path in (self.folder / name).rglob("*.py"))
        texts = {str(path.relative_to(self.folder)): path.read_text(encoding="utf-8") for path in paths}
        return {path: ast.parse(text) for path, text in texts.items() if WORTH_READING.search(text)}

    def tree(self, path: str) -> ast.Module | None:
        """One file, whether or not it reads settings."""
        file = self.folder / path
        return ast.parse(file.read_text(encoding="utf-8")) if file.is_file() else None

    @functools.cached_property
    def constants(self) -> dict[str, str]:
        """Names of module-level texts: X_SETTING = "x" is read as general_settings.get(X_SETTING)."""
        found: dict[str, str] = {}
        for tree in self.trees.values():
            for names, value in map(assigned, tree.body):
                if (text := text_of(value)) is not None:
                    found.update(dict.fromkeys((name for name in names if name.strip("_").isupper()), text))
        return found

    def key_of(self, node: ast.expr) -> str | None:
        return self.constants.get(node.id) if isinstance(node, ast.Name) else text_of(node)

    def reads(self, node: ast.AST) -> Iterator[tuple[str, str]]:
        """(what is read from, key) of an expression that reads a key."""
        if isinstance(node, ast.Subscript):
            pair = (node.value, node.slice)
        elif isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.In | ast.NotIn):
            pair = (node.comparators[0], node.left)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in READERS and node.args:
            pair = (node.func.value, node.args[0])
        else:
            return
        key = self.key_of(pair[1])
        if key is not None:
            yield name_of(pair[0]), key

    @functools.cached_property
    def expressions(self) -> tuple[tuple[str, ast.expr], ...]:
        """Every expression that may read a key, with its file."""
        kinds = (ast.Subscript, ast.Compare, ast.Call)
        return tuple((path, node) for path, tree in self.trees.items() for node in ast.walk(tree) if isinstance(node, kinds))

    @functools.cached_property
    def all_reads(self) -> tuple[tuple[str, str, str], ...]:
        """(file, what is read from, key) over the whole release."""
        return tuple((path, *pair) for path, node in self.expressions for pair in self.reads(node))

    def read_from(self, wanted: Callable[[str], bool], folder: str = "") -> set[str]:
        return {key for path, name, key in self.all_reads if folder in path and wanted(name)}

    def read_elsewhere(self, ending: str) -> set[str]:
        """Keys that the proxy reads from a section under another name: one of its own, or that of a parameter."""
        found: set[str] = set()
        for function in self.proxy_functions:
            names = self._own_names(function, ending) | self._parameters(function, ending)
            nodes = ast.walk(function) if names else ()
            found |= {key for node in nodes for name, key in self.reads(node) if name in names}
        return found

    @functools.cached_property
    def proxy_functions(self) -> tuple[Function, ...]:
        trees = (tree for path, tree in self.trees.items() if path.startswith("litellm/proxy/"))
        return tuple(
            node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        )

    def _own_names(self, function: Function, ending: str) -> set[str]:
        """``g = general_settings or {}``."""
        given = (assigned(node) for node in ast.walk(function) if isinstance(node, ast.Assign | ast.AnnAssign))
        plain = ((names, value) for names, value in given if isinstance(value, ast.Name | ast.Attribute | ast.BoolOp))
        return {name for names, value in plain if value is not None and name_of(value).endswith(ending) for name in names}

    def _parameters(self, function: Function, ending: str) -> set[str]:
        names = [item.arg for item in (*function.args.posonlyargs, *function.args.args)]
        every = {*names, *(item.arg for item in function.args.kwonlyargs)}
        places = self._passed(ending).get(function.name, set())
        shift = 1 if names[:1] in (["self"], ["cls"]) else 0
        at = {names[place + shift] for place in places if isinstance(place, int) and place + shift < len(names)}
        return at | {place for place in places if place in every}

    @functools.lru_cache(maxsize=16)  # noqa: B019
    def _passed(self, ending: str) -> dict[str, set[int | str]]:
        """Function -> where it is given the section: the number of an argument, or its name."""
        found: dict[str, set[int | str]] = {}
        for path, node in self.expressions:
            if isinstance(node, ast.Call) and path.startswith("litellm/proxy/"):
                name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                places = [number for number, item in enumerate(node.args) if plain_name(item).endswith(ending)]
                words = [item.arg for item in node.keywords if item.arg and plain_name(item.value).endswith(ending)]
                if places or words:
                    found.setdefault(name, set()).update(places, words)
        return found

    def load_config_keys(self) -> set[str]:
        """Keys that the proxy compares with one by one while it takes litellm_settings: `key == "callbacks"`."""
        loads = [
            node
            for node in ast.walk(self.trees["litellm/proxy/proxy_server.py"])
            if isinstance(node, ast.AsyncFunctionDef) and node.name == "load_config"
        ]
        compared = [node for load in loads for node in ast.walk(load) if isinstance(node, ast.Compare)]
        return {text for node in compared if name_of(node.left) == "key" and (text := text_of(node.comparators[0]))}

    def asked_of_module(self) -> set[str]:
        """Names that the code asks the module for as texts: getattr(litellm, "x", None)."""
        calls = [node for path, node in self.expressions if isinstance(node, ast.Call) and len(node.args) > 1]
        asks = [node for node in calls if isinstance(node.func, ast.Name) and node.func.id in ("getattr", "hasattr")]
        return {text for node in asks if name_of(node.args[0]) == "litellm" and (text := self.key_of(node.args[1]))}

    def provider_parameters(self) -> set[str]:
        """What a provider takes beyond OpenAI's parameters: declared by its Config class or popped from optional_params."""
        names = self.read_from(lambda name: name in ("optional_params", "non_default_params"), "litellm/llms/")
        for path, tree in self.trees.items():
            if path.startswith("litellm/llms/"):
                kinds = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef) and node.name.endswith("Config")]
                names |= {name for kind in kinds for statement in kind.body for name in assigned(statement)[0]}
        return {name for name in names if not name.startswith("_")}

    def section_names(self) -> set[str]:
        """Top-level keys of the file, read from the configuration by the server or its command."""
        readers = ("config", "_config", "config_data", "proxy_config", "raw_config")
        files = ("proxy_server.py", "proxy_cli.py")
        return {
            name for file in files for name in self.read_from(lambda name: name in readers, f"litellm/proxy/{file}")
        } - NO_SECTIONS


def plain_name(node: ast.expr) -> str:
    """The name of what is handed on as it is; empty for what is read from it."""
    if isinstance(node, ast.BoolOp):
        return plain_name(node.values[0])
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""
