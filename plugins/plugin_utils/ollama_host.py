"""What the role ``ollama`` decides about one host: its engine's environment, the room it needs, what is whose in its store."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..module_utils.engine_variables import PLACES, decides_memory
from ..module_utils.ollama_names import same_model
from .admission_rules import VERSION, rules_for

# A file that is fetched stays beside the store, which has a copy of its own.
COPIES = {"ollama": 1, "file": 1, "url": 2, "wheel": 2}
# Who asks, before the server in an address; Go's proxies do without the scheme as well.
CREDENTIALS = re.compile(r"//[^/\s]*@|^[^/\s]+:[^/\s]*@")


def version_refusal(version: str) -> str | None:
    """Why the plan's proof cannot hold for a version of the engine, or None."""
    if not VERSION.fullmatch(version):
        return f"got the engine version {version!r}; expected one such as 0.33.0 or 0.33.0-rc1, without a v"
    rules, said = rules_for(version)
    return None if rules else said


def engine_environment(own: Mapping[str, Any], settings: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, str]:
    """The engine's whole environment: the role's ``own``, the plan's ``settings``, and ``more`` of the user.

    Raises ValueError where ``more`` says something else than one of the others, decides memory where the plan leaves a
    variable unset, or holds a user or password: it is no secret, Ollama itself writes all of it into its log.
    """
    telling = [name for name in sorted(more) if CREDENTIALS.search(str(more[name]))]
    if telling:
        raise ValueError(
            f"got {', '.join(telling)} with a user or password (not shown) in ollama_environment; expected none: Ollama writes "
            "its environment into its log. Name a proxy that lets this host in by its address, or one on the host that signs in"
        )
    decided = {name: str(value) for name, value in {**settings, **own}.items()}
    asked = {name: str(value) for name, value in more.items()}
    unset = {name: None for name in asked if decides_memory(name)}
    expected = {**unset, **decided}
    differing = [name for name in sorted(asked) if expected.get(name, asked[name]) != asked[name]]
    if differing:
        told = ", ".join(_contradiction(name, asked[name], expected[name]) for name in differing)
        raise ValueError(
            f"got {told} in ollama_environment; expected only what nothing else decides. Memory is decided by llm_host and "
            "llm_models, addresses and directories by the role's variables: say it there"
        )
    return {**asked, **decided}


def _contradiction(name: str, asked: str, decided: str | None) -> str:
    place = f", its place is {PLACES[name]}" if name in PLACES else ""
    return f"{name}={asked} (decided: {'unset' if decided is None else decided}{place})"


def foreign_models(installed: Iterable[str], resident: Sequence[Mapping[str, Any]]) -> list[str]:
    """Names in the store that no resident model of the plan is, nor is made from."""
    ours = {same_model(name) for model in resident for name in names_of(model)}
    return sorted(name for name in installed if same_model(name) not in ours)


def names_of(model: Mapping[str, Any]) -> list[str]:
    """The names that a resident model has in the store: its own and the one that it is derived from."""
    source = model["source"]
    return [name for name in (model["engine_model"], source.get("name"), (model.get("derived") or {}).get("from")) if name]


def missing_mib(installed: Iterable[str], resident: Sequence[Mapping[str, Any]]) -> float:
    """Room in MiB that models take which are not in the store yet; a model of unknown size counts nothing.

    Models of one source share its blob.
    """
    there = {same_model(name) for name in installed}
    wanted: dict[str, float] = {}
    for model in resident:
        if not any(same_model(name) in there for name in names_of(model)):
            size = (model.get("declared_file_bytes") or 0) / 2**20 or (model.get("fit") or {}).get("weights_mib") or 0.0
            wanted[repr(sorted(model["source"].items()))] = size * COPIES.get(model["source"]["kind"], 1)
    return sum(wanted.values())
