"""A LiteLLM configuration as it is found on disk, read without trusting a single type.

Whatever is of the wrong type reads as absent here; the rules about shapes look at the data itself.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from ..problems import Path
from .addresses import host_of, is_chatter, is_embedder, is_environment, is_public
from .litellm_keys import modes
from .vendors import is_vendor

NOTHING: Mapping[str, Any] = {}
OLLAMA = frozenset({"ollama", "ollama_chat"})
OLLAMA_PORT = 11434
# Providers whose address is always a vendor's.
CLOUDS = frozenset({"azure", "azure_ai", "azure_text", "databricks", "snowflake", "cloudflare", "watsonx", "sagemaker", "oci"})
# Nobody means to ask more often.
MOST_TIMES = 1000
# What a deployment does by its mode (those of LiteLLM's list of models); of the others nobody can say who else answers.
KINDS = {
    **dict.fromkeys(("chat", "completion", "responses"), "chat"),
    **dict.fromkeys(("image_generation", "image_edit"), "image"),
    **{
        mode: mode
        for mode in ("audio_speech", "audio_transcription", "embedding", "moderation", "ocr", "rerank", "video_generation")
    },
}
CHAINS = ("fallbacks", "context_window_fallbacks", "content_policy_fallbacks")
# The sections in which LiteLLM looks for chains; the first one that has them wins.
CHAIN_SECTIONS = ("router_settings", "litellm_settings")


def mapping(value: object) -> Mapping[str, Any]:
    """The value if it is a mapping, else an empty one."""
    return value if isinstance(value, dict) else NOTHING


def text(value: object) -> str | None:
    """The value if it is text that says something."""
    return value if isinstance(value, str) and value.strip() else None


def number(value: object) -> float | None:
    """The value as LiteLLM reads a number: finite ones, and text that is one."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if math.isfinite(found) else None


def count(value: object) -> int | None:
    """The value as a number of times; LiteLLM compares it as it stands, and text with a number is an error."""
    return value if isinstance(value, int) and 0 <= value <= MOST_TIMES else None


def is_no_count(value: object) -> bool:
    """Whether it is a number or text with which LiteLLM cannot count; what a variable says is not known here."""
    return isinstance(value, (float, str)) and not is_environment(value)


def is_true(value: object) -> bool:
    """Whether a switch is on: LiteLLM takes any value that is not empty, and some writers put text there."""
    return value is True or (isinstance(value, str) and value.strip().lower() == "true")


# Two entries are never the same one, however alike; comparing them would be slow in a group of hundreds.
@dataclass(frozen=True, eq=False)
class Deployment:
    """One entry of the model list."""

    path: Path
    group: str
    model: str
    params: Mapping[str, Any]
    info: Mapping[str, Any]
    # What litellm_credential_name brings where the parameters themselves say nothing, and where that stands in the file.
    credential: Mapping[str, Any] = field(default_factory=dict)
    credential_path: Path = ()

    @cached_property
    def prefix(self) -> str | None:
        """What stands before the first slash of the model, or what custom_llm_provider says."""
        head, slash, _rest = self.model.partition("/")
        return text(self.given("custom_llm_provider")) or (head if slash else None)

    def given(self, name: str) -> Any:
        """A parameter: its own, else that of its credential."""
        return self.params[name] if name in self.params else self.credential.get(name)

    def place_of(self, name: str) -> Path:
        """Where a parameter stands, or belongs."""
        shared = name not in self.params and name in self.credential
        return (*self.credential_path, name) if shared else (*self.path, "litellm_params", name)

    @cached_property
    def engine_model(self) -> str:
        """The model as its engine knows it."""
        return self.model.partition("/")[2] or self.model

    @property
    def is_router(self) -> bool:
        """Whether it is one of LiteLLM's own routers instead of a model on a host."""
        return self.model.startswith("auto_router/")

    @property
    def is_complexity_router(self) -> bool:
        return self.model == "auto_router/complexity_router"

    @cached_property
    def mode(self) -> str | None:
        """What it is said to be, here or in LiteLLM's own list of models; one in litellm_params says what was meant."""
        said = text(self.info.get("mode")) or text(self.params.get("mode"))
        return said or modes().get(self.model) or modes().get(self.engine_model)

    @cached_property
    def is_embedding(self) -> bool:
        """By its mode, or where it has none by the name of the model."""
        return self.mode == "embedding" if self.mode else is_embedder(self.engine_model)

    @cached_property
    def kind(self) -> str | None:
        """What it does: by its mode, or where it has none by its provider and its name; None where they do not say."""
        if self.mode:
            return KINDS.get(self.mode)
        chats = self.prefix == "ollama_chat" or is_chatter(self.engine_model)
        return "embedding" if self.is_embedding else "chat" if chats else None

    @property
    def timeout_s(self) -> float | None:
        """Its own; text is taken as a number, a variable is not known here."""
        return number(self.params.get("timeout")) or number(self.params.get("request_timeout"))

    @property
    def retries(self) -> int | None:
        """Its own, which counts instead of the router's."""
        value = number(self.params.get("num_retries"))
        return int(value) if value is not None and 0 <= value <= MOST_TIMES else None

    @property
    def has_timeout(self) -> bool:
        return any(self.params.get(name) is not None for name in ("timeout", "request_timeout"))

    @property
    def base(self) -> str | None:
        return text(self.given("api_base")) or text(self.given("base_url"))

    @property
    def order(self) -> Any:
        """As LiteLLM's filter sees it: of litellm_params, else of model_info."""
        own = self.params.get("order")
        return own if own is not None else self.info.get("order")

    @cached_property
    def host(self) -> str:
        """What goes down as one: the host that model_info names, else that of the address; a vendor's cloud by its name.

        On loopback every port is a host: several machines behind tunnels look like that, and so does a lab on one machine.
        """
        named = text(self.info.get("host"))
        return named.lower() if named else host_of(self.base or self._own_base) or f"{self.prefix or self.model} (cloud)"

    @cached_property
    def is_cloud(self) -> bool:
        """Whether it is a vendor's: nobody switches that off, and it does not come back by being asked later."""
        if self.prefix in OLLAMA:
            return self.base is not None and is_vendor(self.base)
        return self.base is None or self.prefix in CLOUDS or is_public(self.base)

    @property
    def _own_base(self) -> str | None:
        return f"http://localhost:{OLLAMA_PORT}" if self.prefix in OLLAMA else None


@dataclass(frozen=True)
class Target:
    """A name in a chain."""

    name: str
    path: Path


@dataclass(frozen=True)
class Chain:
    """Whom a name falls back to. ``key`` None: the default of all names."""

    kind: str
    key: str | None
    targets: tuple[Target, ...]
    path: Path


class Config:
    """The configuration. All of it answers for any data; what has no sense is left out."""

    def __init__(self, data: object, stores_models: bool = False) -> None:
        """``stores_models``: whether the proxy's environment has it read models from a database."""
        self.data = mapping(data)
        self._stores_models = stores_models

    def section(self, name: str) -> Mapping[str, Any]:
        """A section of settings."""
        return mapping(self.data.get(name))

    def setting(self, name: str, *sections: str) -> Any:
        """The first value that one of the sections has."""
        return next((value for section in sections if (value := self.section(section).get(name)) is not None), None)

    def place(self, name: str, *sections: str) -> Path:
        """Where a setting stands, or would stand in the first of the sections."""
        found = (section for section in sections if self.section(section).get(name) is not None)
        return (next(found, sections[0]), name)

    @cached_property
    def deployments(self) -> tuple[Deployment, ...]:
        """The entries that have a name and a model."""
        entries = self.data.get("model_list")
        found = (self._deployment(index, entry) for index, entry in enumerate(entries if isinstance(entries, list) else ()))
        return tuple(item for item in found if item)

    def _deployment(self, index: int, entry: object) -> Deployment | None:
        params = mapping(mapping(entry).get("litellm_params"))
        group, model = text(mapping(entry).get("model_name")), text(params.get("model"))
        if not group or not model:
            return None
        name = params.get("litellm_credential_name")
        path, shared = self._credentials.get(name, ((), NOTHING)) if isinstance(name, str) else ((), NOTHING)
        return Deployment(("model_list", index), group, model, params, mapping(mapping(entry).get("model_info")), shared, path)

    @cached_property
    def _credentials(self) -> dict[str, tuple[Path, Mapping[str, Any]]]:
        """Name -> where the values stand, and the values; the first of a name counts."""
        entries = self.data.get("credential_list")
        found: dict[str, tuple[Path, Mapping[str, Any]]] = {}
        for index, entry in enumerate(entries if isinstance(entries, list) else ()):
            if name := text(mapping(entry).get("credential_name")):
                found.setdefault(
                    name, (("credential_list", index, "credential_values"), mapping(mapping(entry).get("credential_values")))
                )
        return found

    @cached_property
    def has_models_elsewhere(self) -> bool:
        """Whether a database or other files may bring models that this file does not name."""
        stored = self._stores_models or is_true(self.section("general_settings").get("store_model_in_db"))
        return stored or bool(self.data.get("include"))

    @cached_property
    def models(self) -> tuple[Deployment, ...]:
        """The entries that are a model on a host."""
        return tuple(item for item in self.deployments if not item.is_router)

    @cached_property
    def hosts_by_kind(self) -> tuple[frozenset[str], frozenset[str]]:
        """The hosts of chat models, and those of embeddings."""
        kinds = (item for item in self.models if not item.is_embedding), (item for item in self.models if item.is_embedding)
        chats, embeddings = (frozenset(item.host for item in kind) for kind in kinds)
        return chats, embeddings

    @cached_property
    def groups(self) -> dict[str, tuple[Deployment, ...]]:
        """Name of a group -> its entries."""
        found: dict[str, list[Deployment]] = {}
        for item in self.deployments:
            found.setdefault(item.group, []).append(item)
        return {name: tuple(items) for name, items in found.items()}

    @cached_property
    def complexity_routers(self) -> tuple[Deployment, ...]:
        return tuple(item for item in self.deployments if item.is_complexity_router)

    @cached_property
    def aliases(self) -> dict[str, str]:
        """Alias -> the group that it stands for."""
        found: dict[str, str] = {}
        for alias, target in mapping(self.section("router_settings").get("model_group_alias")).items():
            name = text(target) or text(mapping(target).get("model"))
            if name and isinstance(alias, str):
                found[alias] = name
        return found

    @cached_property
    def aliases_of(self) -> dict[str, tuple[str, ...]]:
        """Group -> the aliases that stand for it."""
        found: dict[str, list[str]] = {}
        for alias, group in self.aliases.items():
            found.setdefault(group, []).append(alias)
        return {group: tuple(names) for group, names in found.items()}

    def alias_path(self, alias: str) -> Path:
        return ("router_settings", "model_group_alias", alias)

    @cached_property
    def chains(self) -> tuple[Chain, ...]:
        """Every chain that is written as LiteLLM reads it, of the section that counts."""
        found = [chain for kind in CHAINS for chain in self._keyed(kind)]
        return (*found, *self._default())

    def _keyed(self, kind: str) -> list[Chain]:
        entries, path = self.setting(kind, *CHAIN_SECTIONS), self.place(kind, *CHAIN_SECTIONS)
        return [
            Chain(kind, None if key == "*" else key, _targets(names, (*path, index, key)), (*path, index, key))
            for index, entry in enumerate(entries if isinstance(entries, list) else ())
            for key, names in mapping(entry).items()
            if isinstance(key, str)
        ]

    def _default(self) -> list[Chain]:
        names = self.setting("default_fallbacks", *CHAIN_SECTIONS)
        path = self.place("default_fallbacks", *CHAIN_SECTIONS)
        return [Chain("default_fallbacks", None, _targets(names, path), path)] if isinstance(names, list) and names else []

    @cached_property
    def callable(self) -> tuple[str, ...]:
        """Every name that a client sees: groups and aliases, each once, in their order."""
        return tuple(dict.fromkeys([*self.groups, *self.aliases]))

    @property
    def strategy(self) -> str:
        """How LiteLLM picks one of several; see reference 2.1 for the default."""
        return text(self.section("router_settings").get("routing_strategy")) or "simple-shuffle"

    def strategy_of(self, name: str) -> str:
        """How it picks one of that name: routing_groups may say otherwise than the rest."""
        return self._strategies.get(name) or self.strategy

    @cached_property
    def _strategies(self) -> dict[str, str | None]:
        """Name -> the strategy of the first of the routing groups that has it."""
        listed = self.section("router_settings").get("routing_groups")
        found: dict[str, str | None] = {}
        for group in listed if isinstance(listed, list) else ():
            models = mapping(group).get("models")
            for name in models if isinstance(models, list) else ():
                if isinstance(name, str):
                    found.setdefault(name, text(mapping(group).get("routing_strategy")))
        return found

    @cached_property
    def timeout_s(self) -> float | None:
        """The limit of every request that has no other (Router._get_non_stream_timeout of 1.106.2)."""
        router = self.section("router_settings")
        default = mapping(router.get("default_litellm_params")).get("timeout")
        shared = (self.section("litellm_settings").get("request_timeout"), router.get("timeout"), default)
        return next((value for item in shared if (value := number(item))), None)

    @cached_property
    def retries(self) -> int:
        """How often it asks again; LiteLLM's default is 2 (router_python_core.py:1875 of 1.109.1)."""
        value = self.setting("num_retries", *CHAIN_SECTIONS)
        known = count(value)
        return known if known is not None else 0 if is_no_count(value) else 2

    @property
    def callbacks(self) -> tuple[str, ...]:
        """The names of all callbacks."""
        found: list[str] = []
        for name in ("callbacks", "success_callback", "failure_callback"):
            value = self.section("litellm_settings").get(name)
            found += [item for item in (value if isinstance(value, list) else [value]) if isinstance(item, str)]
        return tuple(found)


def _targets(names: object, path: Path) -> tuple[Target, ...]:
    """Names may also be mappings that bring parameters of their own."""
    listed = enumerate(names if isinstance(names, list) else ())
    named = ((index, text(item) or text(mapping(item).get("model"))) for index, item in listed)
    return tuple(Target(name, (*path, index)) for index, name in named if name)
