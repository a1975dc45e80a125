"""What survives which hosts: our layout, the conventional one, unordered groups, old releases, loops."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from plugins.plugin_utils.audit.config import Config
from plugins.plugin_utils.audit.survival import MOST_ROWS, Row, followed, survival, survival_table
from plugins.plugin_utils.litellm_release import parse_release

from .router_configs import deployment

FOLDER = Path(__file__).parents[3] / "fixtures" / "router"
OURS = {
    "model_list": [deployment("chat", "a", order=1, timeout=10), deployment("chat", "b", order=2, timeout=10)],
    "router_settings": {"num_retries": 0},
}
CONVENTIONAL = {
    "model_list": [deployment("chat", "a", timeout=10), deployment("spare", "b", timeout=20)],
    "router_settings": {"num_retries": 2, "fallbacks": [{"chat": ["spare"]}]},
}
UNORDERED = {"model_list": [deployment("chat", "a", timeout=10), deployment("chat", "b", timeout=10)]}
LOOP = {
    "model_list": [deployment("chat", "a", timeout=1), deployment("spare", "b", timeout=1)],
    "router_settings": {"num_retries": 0, "fallbacks": [{"chat": ["spare"]}, {"spare": ["chat"]}]},
}
BOUNDLESS = {"model_list": [deployment("chat", "a", order=1), deployment("chat", "b", order=2)]}
for item in BOUNDLESS["model_list"]:
    del item["litellm_params"]["timeout"]


def routed(config: dict[str, Any], **settings: Any) -> dict[str, Any]:
    return {**config, "router_settings": {**config.get("router_settings", {}), **settings}}


def with_spare(config: dict[str, Any], **settings: Any) -> dict[str, Any]:
    """One more host, c."""
    return routed({**config, "model_list": [*config["model_list"], deployment("spare", "c", timeout=5)]}, **settings)


def own_retries(config: dict[str, Any], retries: int) -> dict[str, Any]:
    """The first deployment has a number of its own."""
    first, *others = config["model_list"]
    return {**config, "model_list": [{**first, "litellm_params": {**first["litellm_params"], "num_retries": retries}}, *others]}


DEFAULTED = {
    "model_list": [deployment(name, host, timeout=5) for name, host in (("chat", "a"), ("spare", "b"), ("last", "c"))],
    "router_settings": {"num_retries": 0, "fallbacks": [{"chat": ["spare"]}], "default_fallbacks": ["last"]},
}
DEFAULTED["model_list"][0]["litellm_params"]["timeout"] = 10
CARRIED = {
    "model_list": [
        *(deployment("chat", host, order=order, timeout=10) for host, order in (("a", 1), ("b", 2))),
        *(deployment("spare", host, order=order, timeout=10) for host, order in (("c", 1), ("d", 2))),
    ],
    "router_settings": {"num_retries": 0, "fallbacks": [{"chat": ["spare"]}]},
}
TIERS = {
    "model": "auto_router/complexity_router",
    "complexity_router_config": {"tiers": dict.fromkeys(("SIMPLE", "MEDIUM", "COMPLEX", "REASONING"), "fast")},
}
ROUTED = {
    "model_list": [
        *(deployment("fast", host, order=order, timeout=10) for host, order in (("a", 1), ("b", 2))),
        {"model_name": "chat", "litellm_params": TIERS},
    ],
    "router_settings": {"num_retries": 0},
}
EQUAL = {
    "model_list": [deployment("chat", host, order=1, timeout=10) for host in ("a", "b")],
    "router_settings": {"num_retries": 0},
}
SHARED = {"model_list": [deployment("chat", "a", "shared", timeout=10), deployment("other", "b", "shared", timeout=10)]}


def row(config: dict[str, Any], down: str, alias: str = "chat", release: str = "1.106.2") -> Row:
    rows = survival(Config(config), parse_release(release), most_down=3)
    return next(item for item in rows if item.alias == alias and item.down == tuple(sorted(down.split())))


# Configuration, hosts down, release: served, for certain, by which host, attempts, seconds at most.
CASES: dict[str, tuple[dict[str, Any], str, str, tuple[bool, bool, str | None, int, float | None]]] = {
    "ours-none": (OURS, "", "1.106.2", (True, True, "a", 1, 0.0)),
    "ours-first": (OURS, "a", "1.106.2", (True, True, "b", 2, 10.0)),
    "ours-second": (OURS, "b", "1.106.2", (True, True, "a", 1, 0.0)),
    "ours-both": (OURS, "a b", "1.106.2", (False, True, None, 2, 20.0)),
    "ours-router-timeout": (routed(BOUNDLESS, timeout=7, num_retries=0), "a", "1.106.2", (True, True, "b", 2, 7.0)),
    "ours-no-timeout": (routed(BOUNDLESS, num_retries=0), "a", "1.106.2", (True, True, "b", 2, None)),
    # Three attempts of 10 s, and pauses of at most 0.5 s and 1 s with their jitter.
    "conventional": (CONVENTIONAL, "a", "1.106.2", (True, True, "b", 4, 32.625)),
    "conventional-no-retries": (routed(CONVENTIONAL, num_retries=0), "a", "1.106.2", (True, True, "b", 2, 10.0)),
    "conventional-both": (routed(CONVENTIONAL, num_retries=0), "a b", "1.106.2", (False, True, None, 2, 30.0)),
    "unordered-luck": (routed(UNORDERED, num_retries=2), "a", "1.106.2", (True, False, "b", 3, 20.0)),
    "unordered-no-retries": (routed(UNORDERED, num_retries=0), "a", "1.106.2", (True, False, "b", 1, 0.0)),
    "unordered-weighted": (
        routed(UNORDERED, enable_weighted_failover=True, num_retries=0),
        "a",
        "1.106.2",
        (True, True, "b", 2, 10.0),
    ),
    # Retries come first, and may pick the dead one each time.
    "unordered-weighted-retries": (routed(UNORDERED, enable_weighted_failover=True), "a", "1.106.2", (True, True, "b", 4, 30.0)),
    # Measured on 1.106.2: 38 of 40 requests failed.
    "unordered-weighted-other-strategy": (
        routed(UNORDERED, enable_weighted_failover=True, num_retries=0, routing_strategy="latency-based-routing"),
        "a",
        "1.106.2",
        (True, False, "b", 1, 0.0),
    ),
    "unordered-weighted-routing-group": (
        routed(
            UNORDERED,
            enable_weighted_failover=True,
            num_retries=0,
            routing_groups=[{"group_name": "x", "models": ["chat"], "routing_strategy": "least-busy"}],
        ),
        "a",
        "1.106.2",
        (True, False, "b", 1, 0.0),
    ),
    # Weighted failover counts as a fallback.
    "unordered-weighted-too-deep": (
        routed(UNORDERED, enable_weighted_failover=True, num_retries=0, max_fallbacks=0),
        "a",
        "1.106.2",
        (True, False, "b", 1, 0.0),
    ),
    # Whatever is picked first, the chain serves.
    "unordered-chained": (
        with_spare(UNORDERED, num_retries=0, fallbacks=[{"chat": ["spare"]}]),
        "a",
        "1.106.2",
        (True, True, "c", 2, 10.0),
    ),
    # A number in quotes is none: the first fallback ends with a TypeError, and so does the first retry.
    "fallbacks-as-text": (routed(OURS, max_fallbacks="5"), "a", "1.106.2", (False, True, None, 1, 10.0)),
    "chain-with-fallbacks-as-text": (
        routed(CONVENTIONAL, num_retries=0, max_fallbacks="5"),
        "a",
        "1.106.2",
        (False, True, None, 1, 10.0),
    ),
    "retries-as-text": (routed(CONVENTIONAL, num_retries="2"), "a", "1.106.2", (True, True, "b", 2, 10.0)),
    "equal-orders": (EQUAL, "a", "1.106.2", (True, False, "b", 1, 0.0)),
    # The router's number of retries is not that of the deployment.
    "own-retries-none": (own_retries(CONVENTIONAL, 0), "a", "1.106.2", (True, True, "b", 2, 10.0)),
    "own-retries-more": (own_retries(routed(CONVENTIONAL, num_retries=0), 1), "a", "1.106.2", (True, True, "b", 3, 20.875)),
    "policy-of-retries": (
        routed(CONVENTIONAL, num_retries=0, retry_policy={"TimeoutErrorRetries": 1}),
        "a",
        "1.106.2",
        (True, True, "b", 3, 20.875),
    ),
    # From about 1.103.11 on the default does not stand behind a chain.
    "default-behind-a-dead-chain": (DEFAULTED, "a b", "1.106.2", (False, True, None, 2, 15.0)),
    "default-behind-a-dead-chain-before": (DEFAULTED, "a b", "1.98.1", (True, True, "c", 3, 15.0)),
    "default-behind-a-dead-chain-long-before": (DEFAULTED, "a b", "1.83.14", (True, True, "c", 3, 15.0)),
    # The second level of chat fails last, so spare is entered at its second level, which is down.
    "level-carried": (CARRIED, "a b d", "1.98.1", (False, True, None, 3, 30.0)),
    "level-carried-before": (CARRIED, "a b d", "1.83.14", (False, True, None, 4, 40.0)),
    "level-not-carried": (CARRIED, "a b d", "1.106.2", (True, True, "c", 3, 20.0)),
    # Levels of a tier are asked from about 1.103.11 on.
    "tier-levels": (ROUTED, "a", "1.106.2", (True, True, "b", 2, 10.0)),
    "tier-levels-before": (ROUTED, "a", "1.98.1", (False, True, None, 1, 10.0)),
    # Two groups with one model: any of their deployments is taken for it.
    "model-string": (
        with_spare(SHARED, num_retries=0, fallbacks=[{"chat": ["openai/shared"]}]),
        "a",
        "1.106.2",
        (True, False, "b", 2, 10.0),
    ),
    "unordered-weighted-unknown": (routed(UNORDERED, enable_weighted_failover=True), "a", "1.83.14", (True, False, "b", 3, 20.0)),
    "old-order-ignored": (OURS, "a", "1.82.6", (True, False, "b", 1, 0.0)),
    "old-order-checked-without-failover": (
        routed(OURS, enable_pre_call_checks=True),
        "a",
        "1.82.6",
        (False, True, None, 1, 10.0),
    ),
    # Measured (reference 2.4): 6 on 1.83.14, 2 on 1.109.1.
    "loop-old": (LOOP, "a b", "1.83.14", (False, True, None, 6, 6.0)),
    "loop-new": (LOOP, "a b", "1.109.1", (False, True, None, 2, 2.0)),
}


@pytest.mark.parametrize("name", CASES)
def test_row(name: str) -> None:
    config, down, release, expected = CASES[name]
    found = row(config, down, release=release)
    assert (found.served, found.certain, found.host, found.attempts, found.seconds) == expected


def test_the_article_s_eighteen_attempts() -> None:
    """Measured (reference, claim 13): 18 for one request of reasoning_slow with both big hosts down."""
    config = yaml.safe_load((FOLDER / "article_first.yaml").read_bytes())
    found = row(config, "ollama star", "reasoning_slow", "1.109.1")
    assert (found.served, found.attempts) == (False, 18)


def test_an_embedding_never_falls_to_a_chat_model() -> None:
    config = {**OURS, "model_list": [*OURS["model_list"], deployment("vectors", "c", mode="embedding")]}
    assert not row(routed(config, default_fallbacks=["chat"]), "c", "vectors").served


def test_the_default_serves_names_without_a_chain() -> None:
    config = {**OURS, "model_list": [*OURS["model_list"], deployment("other", "c", timeout=5)]}
    assert row(routed(config, default_fallbacks=["chat"]), "c", "other").host == "a"


def test_the_table() -> None:
    lines = survival_table(survival(Config(OURS), parse_release("1.106.2")))
    assert lines == [
        "none down: 1 of 1 served, at most 0 s late",
        "a down: 1 of 1 served, at most 10 s late",
        "b down: 1 of 1 served, at most 0 s late",
        "a and b down: 0 of 1 served, at most 0 s late; lost: chat",
    ]


def test_plain() -> None:
    assert row(OURS, "a").plain() == {
        "down": ["a"], "alias": "chat", "served": True, "certain": True, "by": "chat: openai/chat", "host": "b",
        "attempts": 2, "seconds": 10.0,
    }  # fmt: skip


LARGE = [
    ("small", 4, 4, None),
    ("names", 400, 40, "single hosts"),
    ("hosts", 60, 60, "60 names and single hosts of the first 40"),
]


@pytest.mark.parametrize(("names", "hosts", "said"), [case[1:] for case in LARGE], ids=[case[0] for case in LARGE])
def test_a_large_file_is_followed_in_part(names: int, hosts: int, said: str | None) -> None:
    config = Config({"model_list": [deployment(f"g{number}", f"h{number % hosts}") for number in range(names)]})
    rows = survival(config, parse_release("1.106.2"))
    assert len(rows) <= MOST_ROWS
    assert {item.alias for item in rows if not item.down} <= set(config.groups)
    note = followed(config)
    assert (note is None) == (said is None)
    assert said is None or said in (note or "")


GROUPED = routed(OURS, model_group_alias={"voice": "any"}, routing_groups=[{"group_name": "any", "models": ["chat"]}])
TOLD = [
    ("group-of-a-strategy", GROUPED, {"chat"}),
    ("models-of-a-database", {**routed(OURS, model_group_alias={"voice": "x"}), "include": ["more.yaml"]}, {"chat"}),
    ("nothing-answers", routed(OURS, model_group_alias={"voice": "any"}), {"chat", "voice"}),
]


@pytest.mark.parametrize(("config", "names"), [case[1:] for case in TOLD], ids=[case[0] for case in TOLD])
def test_what_nobody_can_say_is_left_out(config: dict[str, Any], names: set[str]) -> None:
    assert {row.alias for row in survival(Config(config), parse_release("1.106.2"))} == names
