"""The complexity router."""

from __future__ import annotations

from typing import Any

from tests.rules.hosts import GONE, UP
from tests.rules.rows import Row, all_failed, asked, chat, config, not_asked, ollama, openai, since, until

SIMPLE = [{"role": "user", "content": "Hello!"}]
HARD = [{"role": "user", "content": "Think step by step and reason through this: prove it, then explain your reasoning."}]
UP_A_TIER = [{"role": "user", "content": "LITELLM ESCALATE Hello!"}]


def smart(settings: dict[str, Any], first: str = "fast", then: str = "slow", default: str = "fast") -> dict[str, Any]:
    """A complexity router: simple to `first`, all else to `then`."""
    tiers = {"SIMPLE": first, "MEDIUM": then, "COMPLEX": then, "REASONING": then}
    params = {"model": "auto_router/complexity_router", "complexity_router_config": {"tiers": tiers, **settings}}
    return {"model_name": "smart", "litellm_params": {**params, "complexity_router_default_model": default}}


def routed(settings: dict[str, Any], fast: dict[str, Any], slow: dict[str, Any], **router: Any) -> str:
    return config([fast, slow, smart(settings)], router={"num_retries": 0, **router})


FAST, SLOW = openai("fast", "a"), openai("slow", "b")
SMALL, LARGE = ollama("fast", "a"), {**ollama("slow", "b"), "litellm_params": {"model": "ollama_chat/n", "api_base": "@b"}}
OFF = {"context_compaction": False}
LOWER = {"tiers": {"simple": "fast", "medium": "slow", "complex": "slow", "reasoning": "slow"}}


def named(fallbacks: list[dict[str, list[str]]]) -> str:
    """The tier fast is down, rest is up; fast is an alias of a group as tiers often are."""
    entries = [openai("fast", "a"), openai("slow", "b"), openai("rest", "c"), smart({})]
    return config(entries, router={"num_retries": 0, "fallbacks": fallbacks})


ROWS = [
    Row("complexity-compaction", routed({}, SMALL, LARGE), routed(OFF, SMALL, LARGE), (chat("smart", messages=SIMPLE),),
        all_failed, since("1.106.2")),
    Row("complexity-alias", routed({}, FAST, SLOW, model_group_alias={"clever": "smart"}),
        routed({}, FAST, SLOW).replace('"smart"', '"clever"'), (chat("clever", messages=SIMPLE),), all_failed, until("1.98.1")),
    Row("complexity-fallback-key", named([{"fast": ["rest"]}]), named([{"smart": ["rest"]}, {"fast": ["rest"]}]),
        (chat("smart", messages=SIMPLE),), all_failed, until("1.98.1"), {"a": GONE, "b": UP, "c": UP}),
    Row("complexity-tier-names", routed(LOWER, FAST, SLOW), routed({}, FAST, SLOW), (chat("smart", messages=HARD),),
        not_asked("b")),
    Row("complexity-escalation", routed({}, FAST, SLOW), routed({"escalation_keywords": []}, FAST, SLOW),
        (chat("smart", messages=UP_A_TIER),), asked("b"), since("1.98.1")),
]  # fmt: skip
