"""Fallbacks: how they are keyed, what they lead to, how deep they go, what stands before them."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from tests.rules.hosts import BROKEN, GONE, UP
from tests.rules.releases import Seen
from tests.rules.rows import Row, all_failed, asked, chat, config, embed, not_asked, ollama, openai, since

ALIAS = {"model_group_alias": {"x": "g"}}
BOTH = [{"g": ["h"]}, {"x": ["h"]}]
A_GONE = {"a": GONE, "b": UP}
CHAIN = [f"g{number}" for number in range(1, 8)]


def falls(fallbacks: list[dict[str, list[str]]], retries: int = 0, **router: Any) -> str:
    """g on host a, h on host b."""
    return config([openai("g", "a"), openai("h", "b")], router={"num_retries": retries, "fallbacks": fallbacks, **router})


def three(fallbacks: list[dict[str, list[str]]], **litellm: Any) -> str:
    entries = [openai("g", "a"), openai("h", "b"), openai("k", "c")]
    return config(entries, router={"num_retries": 0, "fallbacks": fallbacks}, litellm=litellm)


def chain(fallbacks: list[dict[str, list[str]]]) -> str:
    entries = [openai(name, "b" if name == CHAIN[-1] else "a") for name in CHAIN]
    return config(entries, router={"num_retries": 0, "fallbacks": fallbacks})


def levels(most: int) -> str:
    """g is down, and so is the first level of h."""
    entries = [openai("g", "a"), openai("h", "c", order=1), openai("h", "b", order=2)]
    return config(entries, router={"num_retries": 0, "max_fallbacks": most, "fallbacks": [{"g": ["h"]}]})


def carried(*second: dict[str, Any]) -> str:
    """Both levels of g are down; k has its first level on c, and what else is given."""
    entries = [openai("g", "a", order=1), openai("g", "b", order=2), openai("k", "c", order=1), *second]
    # 1.82.6 looks at order with pre-call checks only.
    return config(entries, router={"num_retries": 0, "enable_pre_call_checks": True, "fallbacks": [{"g": ["k"]}]})


def vectors(target: dict[str, Any]) -> str:
    entries = [openai("vectors", "a", model_info={"mode": "embedding"}), target]
    return config(entries, router={"num_retries": 0, "fallbacks": [{"vectors": [target["model_name"]]}]})


def of_chat(seen: Seen) -> bool:
    """The vectors, if there are any, are those of a chat model: the request that host b got names it."""
    return all_failed(seen) or any(body.get("model") == "m" for body in seen.bodies("b"))


OTHER = openai("other", "b", model_info={"mode": "embedding"})
OTHER["litellm_params"]["model"] = "openai/vectors"

ROWS = [
    Row("fallback-alias-uncovered", falls([{"g": ["h"]}], **ALIAS), falls(BOTH, **ALIAS), (chat("x"),), all_failed,
        hosts=A_GONE, case="alias"),
    Row("fallback-alias-uncovered", falls([{"x": ["h"]}], **ALIAS), falls(BOTH, **ALIAS), (chat("g"),), all_failed,
        hosts=A_GONE, case="group"),
    Row("fallback-target-unknown", falls([{"g": ["nowhere"]}]), falls([{"g": ["h"]}]), (chat("g"),), all_failed, hosts=A_GONE),
    Row("fallback-target-unknown", three([{"g": ["nowhere", "h"]}], default_fallbacks=["k"]),
        three([{"g": ["h"]}], default_fallbacks=["k"]), (chat("g"),), asked("c"), hosts={"a": GONE, "b": UP, "c": UP},
        case="default"),
    Row("fallback-key-repeated", three([{"g": ["h"]}, {"g": ["k"]}]), three([{"g": ["h", "k"]}]), (chat("g"),), not_asked("c"),
        hosts={"a": GONE, "b": GONE, "c": UP}),
    Row("fallback-too-deep", chain([{name: [after]} for name, after in pairwise(CHAIN)]),
        chain([{CHAIN[0]: CHAIN[1:]}]), (chat(CHAIN[0]),), all_failed, hosts={"a": BROKEN, "b": UP}),
    Row("fallback-too-deep", levels(1), levels(2), (chat("g"),), all_failed, since("1.83.14"), {"a": GONE, "b": UP, "c": GONE},
        case="order", right_from="1.83.14"),
    Row("order-level-carried", carried(openai("k", "d", order=2)), carried(), (chat("g"),), not_asked("c"),
        ("1.83.14", "1.98.1"), {"a": GONE, "b": GONE, "c": UP, "d": UP}, right_from="1.83.14"),
    Row("fallback-embedding-chat", vectors(ollama("talk", "b")), vectors(OTHER), (embed("vectors"),), of_chat, hosts=A_GONE,
        case="ollama"),
    Row("fallback-embedding-chat", vectors(openai("talk", "b")), vectors(OTHER), (embed("vectors"),), of_chat, hosts=A_GONE,
        case="openai"),
    Row("retries-before-fallback", falls([{"g": ["h"]}], retries=2), falls([{"g": ["h"]}], retries=0), (chat("g"),),
        lambda seen: seen.hosts["a"] > 1, hosts={"a": BROKEN, "b": UP}),
]  # fmt: skip
