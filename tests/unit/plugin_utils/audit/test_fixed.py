"""Mends to their end: those that need others get them, and none is kept after which something new is wrong."""

from __future__ import annotations

from typing import Any

import pytest

from plugins.plugin_utils.audit.check import audit
from plugins.plugin_utils.audit.fixed import fixed

from .router_configs import PINNED, changed, deployment, text

PROBING = ("general_settings/background_health_checks", True)
WRONG_ORDER = ("model_list/0/litellm_params/order", "1")
POLICY = ("router_settings/allowed_fails_policy", {"TimeoutErrorAllowedFails": 1})
SLOW = ("general_settings/health_check_interval", 900)

# What is wrong, what is mended, and what is left.
CASES: list[tuple[str, tuple[tuple[str, Any], ...], list[str], set[str]]] = [
    ("one", (WRONG_ORDER,), ["order-type"], set()),
    ("needs-another", (PROBING, SLOW), ["health-without-routing", "health-staleness"], set()),
    ("makes-what-has-no-mend", (PROBING, POLICY), [], {"health-without-routing"}),
    ("the-others-are-kept", (PROBING, POLICY, WRONG_ORDER), ["order-type"], {"health-without-routing"}),
    (
        "two-steps",
        (("litellm_settings/enable_background_health_checks", "true"), SLOW),
        ["health-section", "health-without-routing", "health-staleness"],
        set(),
    ),
    (
        "a-dead-chain-stays-dead",
        (("general_settings/fallbacks", [{"fast": ["nobody"]}]), ("router_settings/fallbacks", ...)),
        [],
        {"fallback-section"},
    ),
    (
        "a-path-that-nobody-knows",
        (("model_list/0/litellm_params/api_base", "http://banana:11434/api"),),
        [],
        {"openai-api-base-no-v1"},
    ),
    ("nothing", (), [], set()),
]


@pytest.mark.parametrize(("changes", "mended", "left"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_to_the_end(changes: tuple[tuple[str, Any], ...], mended: list[str], left: set[str]) -> None:
    content = text(changed(*changes))
    found = audit(content, PINNED)
    result, done = fixed(content, found)
    again = audit(result.encode(), PINNED)
    assert [item.rule for item in done] == mended
    assert {item.rule for item in again.findings if item.severity != "advice"} == left
    assert {item.rule for item in again.findings} <= {item.rule for item in found.findings}
    assert fixed(result.encode(), again) == (result, [])


def test_advice_is_no_harm() -> None:
    """A name that is served again has only one host: that is said, and the mend is kept."""
    vectors = deployment("vectors", "moon", "nomic-embed-text", "embedding")
    vectors["litellm_params"] |= {"model": "ollama_chat/nomic-embed-text", "api_base": "http://moon:11434"}
    content = text(changed(("model_list/6", vectors)))
    result, done = fixed(content, audit(content, PINNED))
    assert [item.rule for item in done] == ["ollama-chat-embedding"]
    assert [item.rule for item in audit(result.encode(), PINNED).findings] == ["alias-on-one-host"]


def test_a_tier_keeps_its_comment() -> None:
    content = b"""\
model_list:
- {model_name: a, litellm_params: {model: openai/x, api_key: none, timeout: 9}}
- model_name: smart
  litellm_params:
    model: auto_router/complexity_router
    complexity_router_config:
      escalation_keywords: []
      tiers:
        SIMPLE: a
        medium: a   # in the middle
        COMPLEX: a
        REASONING: a
general_settings: {master_key: os.environ/K}
"""
    result, done = fixed(content, audit(content, PINNED))
    assert [item.rule for item in done] == ["complexity-tier-names"]
    assert result == content.decode().replace("medium:", "MEDIUM:")
