"""A rule of the audit and what shows that it is right on a real LiteLLM: a wrong file, a right one, requests, what goes wrong."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.rules.environments import RELEASES
from tests.rules.hosts import UP, Is
from tests.rules.releases import Seen

# The fields that stand beside litellm_params.
BESIDE = ("model_info", "model_name")


@dataclass(frozen=True)
class Row:
    """``shown``: the releases that go wrong with ``bad``; ``right`` works on those from ``right_from`` on.

    ``said``: where the audit speaks, if that is not where it goes wrong; each such row is a difference to be mended there.
    """

    rule: str
    bad: str
    right: str
    calls: tuple[dict[str, Any], ...]
    wrong: Callable[[Seen], bool]
    shown: tuple[str, ...] = RELEASES
    hosts: Mapping[str, Is] = field(default_factory=lambda: {"a": UP, "b": UP})
    case: str = ""
    right_from: str = RELEASES[0]
    said: tuple[str, ...] | None = None

    @property
    def name(self) -> str:
        return f"{self.rule}-{self.case}" if self.case else self.rule


def since(first: str) -> tuple[str, ...]:
    return RELEASES[RELEASES.index(first) :]


def until(last: str) -> tuple[str, ...]:
    return RELEASES[: RELEASES.index(last) + 1]


def chat(model: str, times: int = 1, **more: Any) -> dict[str, Any]:
    return {"kind": "chat", "model": model, "times": times, **more}


def embed(model: str, times: int = 1) -> dict[str, Any]:
    return {"kind": "embedding", "model": model, "times": times}


def openai(group: str, host: str, **more: Any) -> dict[str, Any]:
    """A deployment behind the OpenAI endpoint of a host."""
    return deployment(group, "openai/m", f"@{host}/v1", **{"api_key": "none", **more})


def ollama(group: str, host: str, prefix: str = "ollama_chat", **more: Any) -> dict[str, Any]:
    """A deployment behind a host's own endpoint."""
    return deployment(group, f"{prefix}/m", f"@{host}", **more)


def deployment(group: str, model: str, address: str, **more: Any) -> dict[str, Any]:
    """An entry of model_list; a parameter that is None is left out."""
    beside = {key: more.pop(key) for key in BESIDE if key in more}
    params = {"model": model, "api_base": address, **more}
    return {"model_name": group, "litellm_params": {key: value for key, value in params.items() if value is not None}, **beside}


def config(entries: Iterable[Mapping[str, Any]], **sections: Mapping[str, Any] | None) -> str:
    """A file: one entry or section a line. `router=` is router_settings, and so on."""
    lines = ["model_list:", *(f"- {json.dumps(entry)}" for entry in entries)]
    return "\n".join([*lines, *(f"{name}_settings: {json.dumps(value)}" for name, value in sections.items() if value)]) + "\n"


def some_failed(seen: Seen) -> bool:
    return seen.failed > 0


def all_failed(seen: Seen) -> bool:
    return seen.failed == len(seen.answers)


def not_started(seen: Seen) -> bool:
    return seen.refused is not None


def asked(host: str) -> Callable[[Seen], bool]:
    """The host was asked at least once."""
    return lambda seen: seen.hosts[host] > 0


def not_asked(host: str) -> Callable[[Seen], bool]:
    return lambda seen: seen.refused is None and seen.hosts[host] == 0
