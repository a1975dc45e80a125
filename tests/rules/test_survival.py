"""What survives while hosts are down, as the audit works it out, against the Router of each release: the cases that differ."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest
import yaml

from plugins.plugin_utils.audit.config import Config
from plugins.plugin_utils.audit.survival import Row, survival
from plugins.plugin_utils.litellm_release import parse_release
from tests.rules.environments import RELEASES
from tests.rules.hosts import BROKEN, UP
from tests.rules.releases import Release
from tests.rules.rows import chat, config, ollama

# All of them are never well by chance where one in two goes wrong.
MANY = 10
TIERS = ("SIMPLE", "MEDIUM", "COMPLEX", "REASONING")


@dataclass(frozen=True)
class Case:
    """A file, the name that is asked for, and the hosts that are down."""

    name: str
    text: str
    asked: str
    down: str


def lab(entries: list[dict[str, Any]], **router: Any) -> str:
    """Nothing cools down between the requests."""
    return config(entries, router={"num_retries": 0, "disable_cooldowns": True, **router})


def levels(group: str, hosts: str) -> list[dict[str, Any]]:
    return [ollama(group, host, order=order) for order, host in enumerate(hosts, 1)]


def smart(tier: str) -> dict[str, Any]:
    settings = {"tiers": dict.fromkeys(TIERS, tier), "context_compaction": False}
    params = {"model": "auto_router/complexity_router", "complexity_router_config": settings}
    return {"model_name": "smart", "litellm_params": {**params, "complexity_router_default_model": tier}}


PAIR = [ollama("g", "a"), ollama("g", "b")]
SINGLES = [ollama("g", "a"), ollama("h", "b"), ollama("k", "c")]
BEHIND = {"fallbacks": [{"g": ["h"]}], "default_fallbacks": ["k"]}
WEIGHTED = {"enable_weighted_failover": True}
CASES = [
    Case("levels", lab(levels("g", "abc")), "g", "a b"),
    Case("default-behind-a-chain", lab(SINGLES, **BEHIND), "g", "a b"),
    Case("default-of-a-name-in-a-chain", lab(SINGLES, **BEHIND), "h", "b"),
    Case("unordered", lab(PAIR), "g", "a"),
    Case("unordered-chained", lab([*PAIR, ollama("k", "c")], fallbacks=[{"g": ["k"]}]), "g", "a"),
    Case("equal-orders", lab([ollama("g", "a", order=1), ollama("g", "b", order=1)]), "g", "a"),
    Case(
        "own-retries-none", lab([ollama("g", "a", num_retries=0), SINGLES[1]], num_retries=1, fallbacks=[{"g": ["h"]}]), "g", "a"
    ),
    Case("own-retries-one", lab([ollama("g", "a", num_retries=1), SINGLES[1]], fallbacks=[{"g": ["h"]}]), "g", "a"),
    Case("level-carried", lab([*levels("g", "ab"), *levels("h", "cd")], fallbacks=[{"g": ["h"]}]), "g", "a b d"),
    Case("level-of-none", lab([*levels("g", "ab"), *levels("h", "c")], fallbacks=[{"g": ["h"]}]), "g", "a b"),
    Case("tier-levels", lab([*levels("g", "ab"), smart("g")]), "smart", "a"),
    Case("tier-chain", lab([*SINGLES, smart("g")], fallbacks=[{"g": ["h"]}]), "smart", "a"),
    Case("router-chain", lab([*SINGLES, smart("g")], fallbacks=[{"smart": ["h"]}]), "smart", "a"),
    Case("chain-without-provider", lab([ollama("openai/x", "a"), ollama("h", "b")], fallbacks=[{"x": ["h"]}]), "openai/x", "a"),
    Case("loop", lab(SINGLES, fallbacks=[{"g": ["h"]}, {"h": ["g", "k"]}]), "g", "a b"),
    Case("too-deep", lab(SINGLES, fallbacks=[{"g": ["h"]}, {"h": ["k"]}], max_fallbacks=1), "g", "a b"),
]
# Some releases do not know the switch, and would not build the Router.
LATER = [
    Case("weighted", lab(PAIR, **WEIGHTED), "g", "a"),
    Case("weighted-latency", lab(PAIR, **WEIGHTED, routing_strategy="latency-based-routing"), "g", "a"),
    Case("weighted-too-deep", lab(PAIR, **WEIGHTED, max_fallbacks=0), "g", "a"),
]


def said(case: Case, version: str) -> Row:
    """What the audit says, with names in place of the hosts' addresses."""
    text = case.text
    for name in "abcd":
        text = text.replace(f"@{name}", f"http://{name}.example:11434")
    down = tuple(f"{name}.example" for name in case.down.split())
    rows = survival(Config(yaml.safe_load(text)), parse_release(version), most_down=3)
    return next(row for row in rows if row.alias == case.asked and row.down == down)


@pytest.mark.parametrize("case", [*CASES, *LATER], ids=[case.name for case in [*CASES, *LATER]])
def test_the_router_does_what_is_said(case: Case, release: Release) -> None:
    if case in LATER and RELEASES.index(release.version) < RELEASES.index("1.98.1"):
        pytest.skip("it has no weighted failover")
    row = said(case, release.version)
    hosts = {name: BROKEN if name in case.down.split() else UP for name in "abcd"}
    seen = release.probe(case.text, [chat(case.asked, MANY)], hosts)
    assert seen.refused is None, json.dumps(seen.refused)
    assert len(seen.answers) == MANY
    if row.certain:
        assert (seen.failed == 0, seen.failed == MANY) == (row.served, not row.served)
        assert sum(seen.hosts.values()) <= row.attempts * MANY
    else:
        assert seen.failed > 0
