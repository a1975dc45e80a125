"""Configurations that look odd and are right: nothing may be said of them but advice. Each names the release that it is for.

`make rules` builds LiteLLM's own Router of each of them (tests/rules/test_right_configs.py).
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from plugins.plugin_utils.audit.check import audit

FOLDER = Path(__file__).parents[3] / "fixtures" / "router" / "right"
FILES = sorted(FOLDER.glob("*.yaml"))
RELEASE = re.compile(r"^# LiteLLM (\S+)$", re.MULTILINE)


def release_of(file: Path) -> str:
    found = RELEASE.search(file.read_text(encoding="utf-8"))
    assert found, f"{file.name} names no release"
    return found[1]


def test_there_are_enough_of_them() -> None:
    assert len(FILES) >= 20


@pytest.mark.parametrize("file", FILES, ids=[file.stem for file in FILES])
def test_nothing_is_wrong_with(file: Path) -> None:
    found = audit(file.read_bytes(), release_of(file)).findings
    assert [(item.severity, item.rule, item.path, item.got) for item in found if item.severity != "advice"] == []


# What makes each of them odd, taken away or bent: then something is said. A file that the audit does not read cannot pass.
BENT = [
    ("order_precall", "  enable_pre_call_checks: true\n", "", "order-ignored"),
    ("order_without_strategy", "order: 5", "order: '5'", "order-type"),
    ("merges", ", api_key: unused}\n", "}\n", "openai-api-key-missing"),
    ("flow_and_quotes", "a.lan:11434/", "a.lan:11434/v1/", "ollama-api-base-v1"),
    ("clouds", "groq/llama", "grok_/llama", "provider-unknown"),
    ("custom_provider", "provider: my-npu", "provider: my-gpu", "provider-unknown"),
    ("timeouts", "  timeout: 120\n", "", "timeout-missing"),
    ("timeout_for_all", "request_timeout: 300, ", "", "timeout-missing"),
    ("rate_limits", "usage-based-routing-v2", "simple-shuffle", "rate-limit-ignored"),
    ("rate_limit_checks", "enforce_model_rate_limits, ", "", "rate-limit-ignored"),
    ("larger_context", "max_input_tokens: 65536", "max_input_tokens: 4096", "context-window-smaller"),
    ("one_host", "- middle: [small]", "- midle: [small]", "fallback-key-unknown"),
    ("chains_by_both_names", "    - gpt-4: [", "    - gpt-5: [", "fallback-alias-uncovered"),
    ("routing_groups", "least-busy", "most-busy", "routing-group-strategy"),
    ("without_keys", "hosted_vllm/Qwen", "openai/Qwen", "openai-api-key-missing"),
    ("embeddings", '"ollama/embedding', '"ollama_chat/embedding', "ollama-chat-embedding"),
    ("complexity", "        context_compaction: false\n", "", "complexity-compaction"),
    ("semantic", "      auto_router_config_path: /app/router.json\n", "", "semantic-router-incomplete"),
    ("addresses", "/gemma3:4b, api_base: os.environ/OLLAMA_A, timeout: 60, order: 1", "/g, order: 1", "timeout-missing"),
    ("text_numbers", '"60"', '"60s"', "number-type"),
    ("weighted", "enable_weighted_failover: true, ", "", "unordered-no-failover"),
    ("health", "  health_check_staleness_threshold: 2000\n", "", "health-staleness"),
    ("production", "  custom_auth_run_common_checks: true\n", "", "custom-auth-unchecked"),
    ("engine_parameters", "n_predict: 2048", "ordre: 1", "key-misspelt"),
    ("vendors_by_address", "https://api.groq.com/", "https://groq.lan/", "provider-unknown"),
    ("default_covers_alias", '    - "*": [h]\n', "", "fallback-alias-uncovered"),
    ("keys_without_provider", "openai/*\n", "opnai/*\n", "fallback-key-unknown"),
    ("unordered_chained", "c.lan", "b.lan", "unordered-no-failover"),
    ("fractional_orders", 'order: "1"', "order: 1", "order-type"),
    ("tiers_by_default", "      complexity_router_default_model: small\n", "", "complexity-tier-names"),
    ("credentials", "credential_values: {api_key: os.environ/LAB_KEY}", "credential_values: {x: 1}", "openai-api-key-missing"),
    ("own_facts", "node: star", "mdoe: chat", "key-misspelt"),
    ("vendors_unseen", "https://ollama.com", "https://ollama.lan", "timeout-missing"),
    ("include_all", "include: [shared.yaml]\n", "", "timeout-missing"),
    ("own_values", "RateLimitErrorRetries", "RateLimitRetries", "policy-key-unknown"),
    ("tags", "order: 1}", "order: 1, tiemout: 3}", "key-misspelt"),
    ("kinds", "- vectors: [vectors-2]", "- vectors: [talk]", "fallback-embedding-chat"),
    ("kinds", "- talk: [talk-2]", "- talk: [ears]", "fallback-embedding-chat"),
    ("kinds", "- ears: [ears-2]", "- ears: [talk-2]", "fallback-embedding-chat"),
    ("kinds", "- ranks: [ranks-2]", "- ranks: [vectors-2]", "fallback-embedding-chat"),
    ("kinds", "  num_retries: 0\n", "  default_fallbacks: [talk]\n", "default-fallback-embedding"),
    ("kinds", "- brush: [brush-2]", "- brush: [mouth-2]", "fallback-embedding-chat"),
    ("one_vendor", "{home: [gpt-4o]}", "{home: [house]}", "fallback-same-hosts"),
    ("tags_ordered", "enable_tag_filtering: true, ", "", "order-partial"),
    ("tags_ordered", "tags: [voice]", "tags: [voice, default]", "order-partial"),
    ("teams_ordered", "team_id: red", "team_id: blue", "order-partial"),
    # Whoever is of the team gets those of no team too, with an order.
    ("teams_ordered", "    model_info: {team_id: blue}\n", "", "order-partial"),
    ("mcp_alone", "mcp_servers:\n", "mcp_sever:\n", "model-list-missing"),
    ("pass_through", "pass_through_endpoints", "pass_trough_endpoints", "model-list-missing"),
    ("group_alias", "gpt-4: any", "gpt-4: some", "alias-dangling"),
    ("group_limits", "models: [gpt], ", "models: [home], ", "rate-limit-ignored"),
    ("group_limits", "models: [gpt], ", "models: [home], ", "parameter-misplaced"),
]


@pytest.mark.parametrize(
    ("name", "old", "new", "rule"), BENT, ids=[f"{case[0]}-{case[3]}-{number}" for number, case in enumerate(BENT)]
)
def test_the_audit_does_look_at(name: str, old: str, new: str, rule: str) -> None:
    file = FOLDER / f"{name}.yaml"
    text = file.read_text(encoding="utf-8")
    assert old in text
    found = {item.rule for item in audit(text.replace(old, new, 1).encode(), release_of(file)).findings}
    assert rule in found
