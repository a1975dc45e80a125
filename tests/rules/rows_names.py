"""Names: providers, strategies, aliases."""

from __future__ import annotations

from typing import Any

from tests.rules.releases import Seen
from tests.rules.rows import Row, all_failed, asked, chat, config, deployment, not_started, openai


def aliases(**names: Any) -> str:
    return config([openai("g", "a"), openai("h", "b")], router={"model_group_alias": names})


def strategy(name: str) -> str:
    return config([openai("g", "a")], router={"routing_strategy": name})


def dropped(seen: Seen) -> bool:
    """The server starts with one deployment less."""
    return seen.refused is None and len(seen.facts["ids"]) < 2


ROWS = [
    Row("provider-unknown", config([openai("h", "b"), deployment("g", "olama_chat/m", "@a")]),
        config([openai("h", "b"), deployment("g", "ollama_chat/m", "@a")]), (chat("g"),), dropped),
    Row("provider-unknown", config([openai("h", "b"), deployment("g", "qwen3:8b", "@a")]),
        config([openai("h", "b"), deployment("g", "ollama_chat/qwen3:8b", "@a")]), (chat("g"),), dropped, case="bare"),
    Row("strategy-unknown", strategy("latency-based"), strategy("latency-based-routing"), (chat("g"),), not_started),
    Row("alias-without-hidden", aliases(x={"model": "g"}), aliases(x={"model": "g", "hidden": True}), (chat("x"),), not_started),
    Row("alias-chained", aliases(x="y", y="g"), aliases(x="g", y="g"), (chat("x"),), all_failed),
    Row("alias-dangling", aliases(x="nowhere"), aliases(x="g"), (chat("x"),), all_failed),
    Row("alias-shadows-group", aliases(h="g"), aliases(x="g"), (chat("h", 3),), asked("a")),
]  # fmt: skip
