"""The two configurations of the articles: every claim about them that the file itself shows (reference/litellm.md 1)."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from plugins.plugin_utils.audit.check import audit
from plugins.plugin_utils.audit.config import Config
from plugins.plugin_utils.audit.survival import survival
from plugins.plugin_utils.litellm_release import parse_release

FOLDER = Path(__file__).parents[3] / "fixtures" / "router"
ALL = ("1.82.6", "1.83.14", "1.98.1", "1.104.0", "1.106.2", "1.109.1")


@cache
def findings(name: str, release: str) -> list[tuple[str, str, str]]:
    """Severity, rule and path, without what is known of the release itself."""
    found = audit((FOLDER / f"article_{name}.yaml").read_bytes(), release).findings
    return [(item.severity, item.rule, item.path) for item in found if not item.rule.startswith("release-")]


def data(name: str) -> dict[str, Any]:
    return yaml.safe_load((FOLDER / f"article_{name}.yaml").read_bytes())


# Number of the claim, rule, severity, a place that it names, releases with it, releases without.
FIRST = [
    (
        "1-order-ignored",
        "order-ignored",
        "error",
        "model_list[0].litellm_params.order",
        ("1.80.11", "1.82.6"),
        ("1.83.0", "1.109"),
    ),
    ("4-embedding-prefix", "ollama-chat-embedding", "error", "model_list[5].litellm_params.model", ALL, ()),
    ("4-embedding-prefix-second", "ollama-chat-embedding", "error", "model_list[6].litellm_params.model", ALL, ()),
    ("6-router-by-its-own-name", "complexity-own-name", "advice", "model_list[7].model_name", ALL, ()),
    ("8-no-health-check", "check-provider-endpoint", "advice", "litellm_settings.check_provider_endpoint", ALL, ()),
    ("9-wrong-name", "health-section", "error", "litellm_settings.enable_background_health_checks", ALL, ()),
    ("9-wrong-section", "health-section", "error", "litellm_settings.health_check_interval", ALL, ()),
    ("11-embeddings", "default-fallback-embedding", "error", "litellm_settings.default_fallbacks", ALL, ()),
    ("12-keyed-by-alias", "fallback-alias-uncovered", "error", "router_settings.fallbacks[0].reasoning_fast", ALL, ()),
    ("13-one-group", "fallback-same-group", "error", "router_settings.fallbacks[1].reasoning_slow", ALL, ()),
    ("13-one-group-tools", "fallback-same-group", "error", "router_settings.fallbacks[3].tools_slow", ALL, ()),
    ("13-one-group-coding", "fallback-same-group", "error", "router_settings.fallbacks[4].coding", ALL, ()),
    ("13-attempts", "attempts-multiplied", "advice", "router_settings.fallbacks[1].reasoning_slow", ALL, ()),
    (
        "levels",
        "order-level-carried",
        "advice",
        "router_settings.fallbacks[2].tools_fast[0]",
        ("1.83.14", "1.98.1"),
        ("1.82.6", "1.106.2"),
    ),
    (
        "14-master-key",
        "master-key-missing",
        "error",
        "general_settings.master_key",
        ("1.104.0", "1.106.2", "1.109.1"),
        ("1.82.6", "1.103.11"),
    ),
    ("timeout", "timeout-missing", "error", "model_list[0].litellm_params.timeout", ALL, ()),
    # One deployment of qwen3.5:9b, two retries, and then the default.
    ("retries", "retries-before-fallback", "warning", "litellm_settings.default_fallbacks", ALL, ()),
    ("mode", "mode-completion", "advice", "model_list[0].model_info.mode", ALL, ()),
    (
        "escalation",
        "complexity-escalation",
        "warning",
        "model_list[7].litellm_params.complexity_router_config.escalation_keywords",
        ("1.106.2",),
        ("1.82.6",),
    ),
    (
        "tiers-of-a-router",
        "complexity-fallback-key",
        "error",
        "router_settings.fallbacks[0].reasoning_fast",
        ("1.91.5",),
        ("1.109",),
    ),
]


@pytest.mark.parametrize(
    ("rule", "severity", "path", "with_it", "without"), [case[1:] for case in FIRST], ids=[c[0] for c in FIRST]
)
def test_the_first_configuration(rule: str, severity: str, path: str, with_it: tuple[str, ...], without: tuple[str, ...]) -> None:
    assert [release for release in with_it if (severity, rule, path) not in findings("first", release)] == []
    assert [release for release in without if rule in {item[1] for item in findings("first", release)}] == []


def test_nothing_else_is_said_of_the_first_configuration() -> None:
    """Its complexity router is right: each tier leads to two deployments, and no alias leads to it."""
    said = {rule for release in ALL for _severity, rule, _path in findings("first", release)}
    assert said == {case[1] for case in FIRST}


def test_nothing_is_said_about_order_where_the_release_looks_at_it() -> None:
    assert [item for item in findings("first", "1.109") if item[1].startswith(("order", "unordered"))] == []


FINAL = [
    ("no-new-host", "fallback-same-hosts", "error", "router_settings.fallbacks[1].reasoning_slow", ALL, ()),
    ("no-new-host-tools", "fallback-same-hosts", "error", "router_settings.fallbacks[3].tools_slow", ALL, ()),
    ("no-new-host-coding", "fallback-same-hosts", "error", "router_settings.fallbacks[4].coding", ALL, ()),
    ("lost-with-cranberry", "alias-on-one-host", "advice", "router_settings.model_group_alias.reasoning_slow", ("1.109",), ()),
    ("lost-with-cranberry-coding", "alias-on-one-host", "advice", "router_settings.model_group_alias.coding", ("1.109",), ()),
    (
        "router-alias",
        "complexity-alias",
        "error",
        "router_settings.model_group_alias.smart",
        ("1.83.14", "1.98.1"),
        ("1.103.11", "1.109"),
    ),
    ("retries", "retries-before-fallback", "warning", "router_settings.fallbacks[5].research", ALL, ()),
    ("keyed-by-alias", "fallback-alias-uncovered", "error", "router_settings.fallbacks[5].research", ALL, ()),
    ("embeddings", "default-fallback-embedding", "error", "litellm_settings.default_fallbacks", ALL, ()),
    ("health", "health-section", "error", "litellm_settings.enable_background_health_checks", ALL, ()),
    ("order-ignored", "order-ignored", "error", "model_list[0].litellm_params.order", ("1.82.6",), ("1.83.0", "1.109")),
    ("master-key", "master-key-missing", "error", "general_settings.master_key", ("1.109",), ("1.98.1",)),
    ("timeout", "timeout-missing", "error", "model_list[5].litellm_params.timeout", ALL, ()),
    (
        "compaction",
        "complexity-compaction",
        "error",
        "model_list[9].litellm_params.complexity_router_config.context_compaction",
        ("1.104.9", "1.109"),
        ("1.103.11",),
    ),
]


@pytest.mark.parametrize(
    ("rule", "severity", "path", "with_it", "without"), [case[1:] for case in FINAL], ids=[c[0] for c in FINAL]
)
def test_the_final_configuration(rule: str, severity: str, path: str, with_it: tuple[str, ...], without: tuple[str, ...]) -> None:
    assert [release for release in with_it if (severity, rule, path) not in findings("final", release)] == []
    assert [release for release in without if rule in {item[1] for item in findings("final", release)}] == []


@pytest.mark.parametrize("release", ALL)
@pytest.mark.parametrize("mended", ["ollama-chat-embedding", "fallback-same-group", "complexity-own-name"])
def test_what_the_final_configuration_mended(mended: str, release: str) -> None:
    assert mended in {rule for _severity, rule, _path in findings("first", release)}
    assert mended not in {rule for _severity, rule, _path in findings("final", release)}


def test_chains_with_another_host_are_not_blamed() -> None:
    """reasoning_fast escapes to banana, tools_fast and research lead from other hosts to cranberry."""
    blamed = {path for _severity, rule, path in findings("final", "1.109") if rule.startswith("fallback-same")}
    assert not blamed & {
        f"router_settings.fallbacks[{index}].{name}" for index, name in ((0, "reasoning_fast"), (2, "tools_fast"))
    }
    assert "router_settings.fallbacks[5].research" not in blamed


# The tables of reference/benchmarking.md 0.1: alias -> model and its hosts in their order.
TABLE = {
    "tools_fast": ("nemotron-3-nano:4b", ["banana", "clementine"]),
    "tools_slow": ("gemma4:26b", ["ollama"]),
    "reasoning_fast": ("gemma4:latest", ["ollama"]),
    "reasoning_slow": ("gemma4:26b", ["ollama"]),
    "coding": ("qwen3.5:35b", ["ollama"]),
    "research": ("gpt-oss:120b", ["star"]),
    "vision": ("qwen3.5:9b", ["banana"]),
    "embedding": ("embeddinggemma", ["clementine", "banana"]),
}
CHAINS = {
    "reasoning_fast": ["reasoning_slow", "tools_fast", "coding"],
    "reasoning_slow": ["tools_slow", "coding"],
    "tools_fast": ["tools_slow", "reasoning_fast", "coding"],
    "tools_slow": ["reasoning_slow", "coding"],
    "coding": ["reasoning_slow", "tools_slow"],
    "research": ["reasoning_slow", "coding"],
}


@pytest.mark.parametrize("alias", TABLE)
def test_the_final_fixture_is_the_article_s(alias: str) -> None:
    config = Config(data("final"))
    group, hosts = TABLE[alias]
    items = sorted(config.groups[group], key=lambda item: item.order or 0)
    assert config.aliases[alias] == group
    assert [item.host for item in items] == hosts
    assert {item.engine_model for item in items} == {group}


def test_the_final_fixture_has_the_article_s_chains() -> None:
    chains = Config(data("final")).chains
    assert {chain.key: [target.name for target in chain.targets] for chain in chains if chain.kind == "fallbacks"} == CHAINS


def test_what_survives_cranberry() -> None:
    """As the article's table of chains has it: three names have nowhere to go, reasoning_fast escapes to tools_fast."""
    rows = survival(Config(data("final")), parse_release("1.109"), most_down=1)
    lost = {row.alias for row in rows if row.down == ("ollama",) and not row.served}
    assert lost & set(TABLE) == {"reasoning_slow", "tools_slow", "coding"}
    fast = next(row for row in rows if row.down == ("ollama",) and row.alias == "reasoning_fast")
    assert (fast.served, fast.host) == (True, "banana")
