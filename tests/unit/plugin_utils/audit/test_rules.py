"""Every rule: a configuration in which that one thing is wrong, and the releases around the edge of its range."""

from __future__ import annotations

import datetime
from typing import Any

import pytest

from plugins.plugin_utils.audit.check import RULES, STACK_RULES, check

from .router_configs import PINNED, changed, deployment, right, rules, text

FIRST = "model_list/0/litellm_params"
ROUTER = {
    "model_name": "smart",
    "litellm_params": {
        "model": "auto_router/complexity_router",
        "complexity_router_config": {
            "context_compaction": False,
            "escalation_keywords": [],
            "tiers": {"SIMPLE": "fast", "MEDIUM": "fast", "COMPLEX": "slow", "REASONING": "slow"},
        },
        "complexity_router_default_model": "fast",
    },
}
SMART = ("model_list/6", ROUTER)
SMART_CONFIG = "model_list/6/litellm_params/complexity_router_config"
ONE_HOST = ("model_list/6", deployment("single", "star", "other"))
ALIAS = "router_settings/model_group_alias"
CHAINS = "router_settings/fallbacks"
PRECALL = ("router_settings/enable_pre_call_checks", True)
WEIGHTED = ("router_settings/enable_weighted_failover", True)
UNORDERED = ((f"{FIRST}/order", ...), ("model_list/1/litellm_params/order", ...))
# Nothing stands behind fast, which else is chained to slow.
UNCHAINED = ((CHAINS, []),)
PROBED = (("general_settings/background_health_checks", True),)
TAGGED = ((f"{FIRST}/tags", ["free"]), ("model_list/1/litellm_params/tags", ["paid"]))
DEFAULTED = ("router_settings/default_fallbacks", ["fast"])
NO_MODE = ("model_list/0/model_info/mode", ...)
CREDENTIAL = (
    ("credential_list", [{"credential_name": "lab", "credential_values": {"api_base": "http://banana:11434"}}]),
    (f"{FIRST}/litellm_credential_name", "lab"),
)
RERANK = ("model_list/6", deployment("single", "star", "other", mode="rerank"))
# So that the reranker alone is left to the default.
EMBEDDED = (CHAINS, [{"embedding": ["embedding"]}])
PROBED_GROUPS = "general_settings/background_health_check_model_groups"
WILD = ("model_list/6", deployment("openai/*", "star", "*"))
ONE_CHAINED = (ONE_HOST, (CHAINS, [{"single": ["fast"]}]))

# rule, what is changed, the releases in which it fires, those in which it does not.
CASES: list[tuple[str, tuple[tuple[str, Any], ...], tuple[str, ...], tuple[str, ...]]] = [
    ("order-type", ((f"{FIRST}/order", "1"),), (PINNED, "1.83.0"), ("1.82.6",)),
    ("order-type", ((f"{FIRST}/order", "1"), PRECALL), (PINNED, "1.82.6"), ()),
    ("order-type", ((f"{FIRST}/order", "10"), ("model_list/1/litellm_params/order", "9")), (PINNED,), ()),
    # Those compare as they should.
    ("order-type", ((f"{FIRST}/order", 1.5),), (), (PINNED,)),
    ("order-type", ((f"{FIRST}/order", "1"), ("model_list/1/litellm_params/order", "2")), (), (PINNED,)),
    ("order-type", ((f"{FIRST}/order", True),), (PINNED,), ()),
    ("order-misplaced", (("model_list/0/order", 1), (f"{FIRST}/order", ...)), (PINNED,), ()),
    ("order-partial", ((f"{FIRST}/order", ...),), (PINNED, "1.83.0"), ("1.82.6",)),
    ("order-partial", ((f"{FIRST}/order", ...), PRECALL), (PINNED, "1.82.6"), ()),
    ("tags-ignored", TAGGED, (PINNED, "1.82.6"), ()),
    ("tags-ignored", TAGGED[:1], (PINNED,), ()),
    ("tags-ignored", (*TAGGED, ("router_settings/enable_tag_filtering", True)), (), (PINNED,)),
    ("tags-ignored", (*TAGGED, (f"{FIRST}/enable_tag_filtering", True)), (), (PINNED,)),
    ("tags-ignored", (*TAGGED, ("general_settings/database_url", "os.environ/DB")), (), (PINNED,)),
    ("tags-ignored", ((f"{FIRST}/tags", ["free"]), ("model_list/1/litellm_params/tags", ["free"])), (), (PINNED,)),
    ("health-group-unknown", ((PROBED_GROUPS, ["nosuch"]),), (PINNED, "1.103.11"), ("1.98.1",)),
    ("health-group-unknown", ((PROBED_GROUPS, ["fast", "voice"]), (ALIAS, {"voice": "fast"})), (PINNED,), ()),
    ("health-group-unknown", ((PROBED_GROUPS, ["fast", "slow"]),), (), (PINNED,)),
    ("order-ignored", (), ("1.80.11", "1.82.6"), ("1.83.0", "1.109", PINNED)),
    ("order-ignored", (("router_settings/routing_strategy", "latency-based-routing"),), ("1.82.6",), ("1.83.0",)),
    ("order-ignored", (("router_settings/enable_pre_call_checks", True),), (), ("1.82.6",)),
    (
        "order-ignored",
        (("router_settings/enable_pre_call_checks", True), (f"{FIRST}/order", ...), ("model_list/0/model_info/order", 1)),
        ("1.82.6",),
        (PINNED,),
    ),
    ("unordered-no-failover", UNORDERED, (), (PINNED, "1.82.6")),
    ("unordered-no-failover", (*UNORDERED, ("router_settings/fallbacks", [])), (PINNED, "1.82.6"), ()),
    ("unordered-no-failover", (*UNCHAINED, ("model_list/1/litellm_params/order", 1)), (PINNED,), ()),
    ("unordered-no-failover", (*UNORDERED, *UNCHAINED, WEIGHTED), ("1.83.14", "1.82.6"), (PINNED, "1.98.1")),
    (
        "unordered-no-failover",
        (*UNORDERED, *UNCHAINED, WEIGHTED, ("router_settings/routing_strategy", "latency-based-routing")),
        (PINNED, "1.98.1"),
        (),
    ),
    ("unordered-no-failover", (*UNORDERED, *UNCHAINED, *TAGGED), (PINNED,), ()),
    ("unordered-no-failover", (*UNORDERED, *UNCHAINED, *TAGGED, ("router_settings/enable_tag_filtering", True)), (), (PINNED,)),
    ("unordered-no-failover", (*UNORDERED, *UNCHAINED, ("model_list/0/model_info/team_id", "a")), (), (PINNED,)),
    ("parameter-misplaced", (("model_list/0/weight", 3),), (PINNED, "1.82.6"), ()),
    ("parameter-misplaced", (("model_list/0/rpm", 3),), (PINNED, "1.82.6"), ()),
    (
        "parameter-misplaced",
        (("model_list/0/rpm", 3), ("router_settings/routing_strategy", "usage-based-routing-v2")),
        (),
        (PINNED,),
    ),
    ("strategy-unknown", (("router_settings/routing_strategy", "latency-based"),), (PINNED, "1.82.6"), ()),
    ("strategy-unknown", (("router_settings/routing_strategy", ["simple-shuffle"]),), (PINNED,), ()),
    ("rate-limit-ignored", ((f"{FIRST}/rpm", 10),), (PINNED,), ()),
    ("routing-group-strategy", (("router_settings/routing_groups", [{"routing_strategy": "fastest"}]),), (PINNED,), ()),
    ("ollama-chat-embedding", (("model_list/4/litellm_params/model", "ollama_chat/embeddinggemma"),), (PINNED, "1.82.6"), ()),
    (
        "ollama-generate-tools",
        ((f"{FIRST}/model", "ollama/fast"), ("model_list/0/model_info/supports_function_calling", True)),
        (PINNED,),
        (),
    ),
    ("ollama-generate-tools", ((f"{FIRST}/model", "ollama/fast"), (ALIAS, {"tools": "fast"})), (PINNED,), ()),
    ("ollama-generate-chat", ((f"{FIRST}/model", "ollama/fast"),), (PINNED,), ()),
    ("ollama-api-base-v1", ((f"{FIRST}/model", "ollama_chat/fast"),), (PINNED,), ()),
    ("openai-api-base-no-v1", ((f"{FIRST}/api_base", "http://banana:11434"),), (PINNED,), ()),
    ("ollama-chat-embedding", ((f"{FIRST}/model", "ollama_chat/bge-m3"), NO_MODE), (PINNED, "1.82.6"), ()),
    ("ollama-chat-embedding", ((f"{FIRST}/model", "ollama_chat/all-minilm:33m"), NO_MODE), (PINNED,), ()),
    ("ollama-chat-embedding", ((f"{FIRST}/model", "ollama_chat/intfloat/e5-large"), NO_MODE), (PINNED,), ()),
    ("ollama-chat-embedding", ((f"{FIRST}/model", "ollama_chat/gte-qwen2"), NO_MODE), (PINNED,), ()),
    ("ollama-chat-embedding", ((f"{FIRST}/model", "ollama_chat/x"), NO_MODE, (f"{FIRST}/mode", "embedding")), (PINNED,), ()),
    ("ollama-chat-embedding", ((f"{FIRST}/model", "ollama_chat/bge-reranker-v2"), NO_MODE), (), (PINNED,)),
    ("ollama-chat-embedding", ((f"{FIRST}/model", "ollama_chat/gemma3e5:4b"), NO_MODE), (), (PINNED,)),
    (
        "api-base-path",
        ((f"{FIRST}/model", "ollama_chat/fast"), (f"{FIRST}/api_base", "http://banana:11434/api")),
        (PINNED, "1.82.6"),
        (),
    ),
    (
        "api-base-path",
        ((f"{FIRST}/model", "ollama_chat/fast"), (f"{FIRST}/api_base", "http://banana:11434/api/chat")),
        (),
        (PINNED,),
    ),
    ("api-base-path", ((f"{FIRST}/api_base", "http://banana:8000/v1/chat/completions"),), (PINNED, "1.82.6"), ()),
    ("api-base-path", ((f"{FIRST}/api_base", "https://api.lan/api"),), (), (PINNED,)),
    ("api-base-scheme", ((f"{FIRST}/api_base", "banana:11434/v1"),), (PINNED, "1.82.6"), ()),
    ("api-base-scheme", ((f"{FIRST}/api_base", "http:/banana:11434/v1"),), (PINNED,), ()),
    ("api-base-scheme", ((f"{FIRST}/api_base", "http//banana:11434/v1"),), (PINNED,), ()),
    ("api-base-scheme", ((f"{FIRST}/api_base", "htp://banana:11434/v1"),), (PINNED,), ()),
    ("api-base-scheme", ((f"{FIRST}/api_base", "http://banana:114344/v1"),), (PINNED,), ()),
    ("api-base-scheme", ((f"{FIRST}/api_base", "http://http://banana:11434/v1"),), (PINNED,), ()),
    ("api-base-scheme", ((f"{FIRST}/api_base", "http://banana :11434/v1"),), (PINNED,), ()),
    ("api-base-scheme", ((f"{FIRST}/api_base", "http://:11434/v1"),), (PINNED,), ()),
    ("api-base-scheme", ((f"{FIRST}/api_base", "http://[fd00::1/v1"),), (PINNED,), ()),
    ("api-base-scheme", ((f"{FIRST}/api_base", "HTTP://banana:11434/v1"),), (), (PINNED,)),
    ("api-base-scheme", ((f"{FIRST}/api_base", "http://banana.lan/v1"),), (), (PINNED,)),
    ("api-base-scheme", ((f"{FIRST}/api_base", "http://httpd:8080/v1"),), (), (PINNED,)),
    ("api-base-path", ((f"{FIRST}/api_base", "http://banana:11434/v1/models"),), (PINNED,), ()),
    ("api-base-path", ((f"{FIRST}/api_base", "http://banana:11434/api/generate"),), (PINNED,), ()),
    ("openai-api-base-no-v1", ((f"{FIRST}/api_base", "http://banana:11434/v1/models"),), (), (PINNED,)),
    ("openai-api-base-no-v1", ((f"{FIRST}/api_base", "http://banana:11434/api"),), (PINNED,), ()),
    ("openai-api-base-no-v1", ((f"{FIRST}/api_base", "http://banana:11434/v1?x=1"),), (), (PINNED,)),
    ("timeout-unsaid", ((f"{FIRST}/timeout", ...), (f"{FIRST}/api_base", "os.environ/BASE")), (PINNED,), ()),
    ("timeout-missing", ((f"{FIRST}/timeout", ...), (f"{FIRST}/api_base", "os.environ/BASE")), (), (PINNED,)),
    ("timeout-missing", ((f"{FIRST}/timeout", ...), ("include", ["more.yaml"])), (), (PINNED,)),
    ("master-key-missing", (("general_settings", ...), ("include", ["more.yaml"])), (), (PINNED,)),
    ("ollama-generate-tools", ((f"{FIRST}/model", "ollama/fast"), (ALIAS, {"stool-classifier": "fast"})), (), (PINNED,)),
    ("order-ignored", (("router_settings/enable_pre_call_checks", "true"),), (), ("1.82.6",)),
    (
        "cache-stores-prompts",
        (("litellm_settings/cache", True), ("litellm_settings/cache_params", {"type": "redis", "supported_call_types": []})),
        (),
        (PINNED,),
    ),
    ("api-base-scheme", ((f"{FIRST}/api_base", "os.environ/BASE"),), (), (PINNED,)),
    (
        "openai-api-base-no-v1",
        ((f"{FIRST}/model", "lm_studio/fast"), (f"{FIRST}/api_base", "http://banana:11434")),
        (PINNED,),
        (),
    ),
    ("openai-api-base-no-v1", (*CREDENTIAL, (f"{FIRST}/api_base", ...)), (PINNED,), ()),
    ("openai-api-key-missing", (*CREDENTIAL, (f"{FIRST}/api_key", ...)), (PINNED,), ()),
    ("openai-api-key-missing", ((f"{FIRST}/api_key", ...), (f"{FIRST}/litellm_credential_name", "elsewhere")), (), (PINNED,)),
    ("timeout-missing", (*CREDENTIAL, (f"{FIRST}/api_base", ...), (f"{FIRST}/timeout", ...)), (PINNED,), ()),
    ("openai-api-key-missing", ((f"{FIRST}/api_key", ...),), (PINNED,), ()),
    ("provider-unknown", ((f"{FIRST}/model", "olama_chat/fast"),), (PINNED, "1.82.6"), ()),
    ("provider-unknown", ((f"{FIRST}/model", "qwen3:8b"),), (PINNED,), ()),
    ("provider-unknown", ((f"{FIRST}/model", "ft:gpt-4o-2024-08-06:acme::x"),), (), (PINNED, "1.82.6")),
    ("provider-unknown", ((f"{FIRST}/model", "claude-sonnet-99"),), ("1.83.14", "1.82.6"), (PINNED, "1.98.1", "1.90.0")),
    (
        "provider-unknown",
        ((f"{FIRST}/model", "some-model"), (f"{FIRST}/api_base", "https://api.groq.com/openai/v1")),
        ("1.98.1",),
        (PINNED,),
    ),
    (
        "provider-unknown",
        ((f"{FIRST}/model", "some-model"), (f"{FIRST}/api_base", "https://api.groq.com.lan/openai/v1")),
        (PINNED,),
        (),
    ),
    ("timeout-missing", ((f"{FIRST}/timeout", ...),), (PINNED,), ()),
    ("number-type", ((f"{FIRST}/timeout", "abc"),), (PINNED,), ()),
    ("number-type", ((f"{FIRST}/rpm", "many"),), (PINNED,), ()),
    ("setting-number", (("router_settings/timeout", "30s"),), (PINNED, "1.82.6"), ()),
    ("setting-number", (("router_settings/stream_timeout", "5s"),), (PINNED,), ()),
    ("setting-number", (("router_settings/stream_timeout", "5"),), (), (PINNED,)),
    ("setting-number", (("litellm_settings/request_timeout", [30]),), (PINNED,), ()),
    ("timeout-negative", ((f"{FIRST}/timeout", -1),), (PINNED, "1.98.1"), ("1.82.6",)),
    ("text-type", ((f"{FIRST}/api_version", datetime.date(2024, 10, 21)),), (PINNED,), ()),
    ("text-type", ((f"{FIRST}/api_key", 1234),), (PINNED, "1.82.6"), ()),
    (
        "parameter-refused",
        ((f"{FIRST}/model", "ollama_chat/fast"), (f"{FIRST}/presence_penalty", 1), ("litellm_settings/drop_params", ...)),
        (PINNED,),
        (),
    ),
    (
        "precall-drop-params",
        (
            ("router_settings/enable_pre_call_checks", True),
            (f"{FIRST}/model", "ollama_chat/fast"),
            (f"{FIRST}/api_base", "http://banana:11434"),
            ("litellm_settings/drop_params", ...),
        ),
        ("1.82.6", "1.83.14"),
        (PINNED, "1.98.1"),
    ),
    ("client-override", ((f"{FIRST}/model", "ollama_chat/fast"), (f"{FIRST}/num_ctx", 8192)), (PINNED,), ()),
    (
        "one-model-two-contexts",
        (
            (f"{FIRST}/model", "ollama_chat/m"),
            (f"{FIRST}/num_ctx", 8192),
            ("model_list/4/litellm_params/model", "ollama/m"),
            ("model_list/4/litellm_params/num_ctx", 4096),
        ),
        (PINNED,),
        (),
    ),
    (
        "context-window-smaller",
        (
            ("model_list/0/model_info/max_input_tokens", 8192),
            ("model_list/1/model_info/max_input_tokens", 8192),
            ("model_list/2/model_info/max_input_tokens", 4096),
            ("model_list/3/model_info/max_input_tokens", 4096),
            ("router_settings/context_window_fallbacks", [{"fast": ["slow"]}]),
        ),
        (PINNED,),
        (),
    ),
    ("mode-completion", ((f"{FIRST}/model", "ollama_chat/fast"), ("model_list/0/model_info/mode", "completion")), (PINNED,), ()),
    ("secret-in-file", ((f"{FIRST}/api_key", "sk-abcdefghijklmnop"),), (PINNED,), ()),
    ("alias-without-hidden", ((ALIAS, {"voice": {"model": "fast"}}),), (PINNED, "1.82.6"), ()),
    ("alias-dangling", ((ALIAS, {"voice": "fats"}),), (PINNED,), ()),
    ("alias-chained", ((ALIAS, {"voice": "talk", "talk": "fast"}),), (PINNED,), ()),
    ("alias-chained", ((ALIAS, {"voice": "voice"}),), (PINNED,), ()),
    ("alias-shadows-group", ((ALIAS, {"slow": "fast"}),), (PINNED,), ()),
    ("alias-type", ((ALIAS, ["voice"]),), (PINNED,), ()),
    ("alias-type", ((ALIAS, {"voice": 3}),), (PINNED,), ()),
    (
        "complexity-tier-names",
        (SMART, (f"{SMART_CONFIG}/tiers", {"simple": "fast", "MEDIUM": "fast", "COMPLEX": "slow"})),
        (PINNED,),
        (),
    ),
    ("complexity-tier-names", (SMART, (f"{SMART_CONFIG}/tiers/COMPLEX", ...)), (), (PINNED,)),
    ("complexity-tier-unresolved", (SMART, (f"{SMART_CONFIG}/tiers/COMPLEX", "slwo")), (PINNED,), ()),
    ("complexity-tier-unresolved", (SMART, (f"{SMART_CONFIG}/tiers/COMPLEX", "smart")), (PINNED,), ()),
    (
        "complexity-compaction",
        (
            (
                "model_list/6",
                deployment("single", "star", model="x")
                | {"litellm_params": {"model": "ollama_chat/x", "api_base": "http://star:11434", "timeout": 9}},
            ),
            ("model_list/7", ROUTER),
            ("model_list/7/litellm_params/complexity_router_config/tiers/REASONING", "single"),
            ("model_list/7/litellm_params/complexity_router_config/context_compaction", ...),
        ),
        ("1.104.9", PINNED, "1.109.1"),
        ("1.103.11", "1.83.14"),
    ),
    ("complexity-alias", (SMART, (ALIAS, {"router": "smart"})), ("1.82.6", "1.83.14", "1.98.1"), (PINNED, "1.103.11")),
    ("complexity-own-name", (SMART, (ALIAS, {"voice": "fast"})), (PINNED,), ()),
    ("complexity-fallback-key", (SMART,), ("1.83.14", "1.98.1"), (PINNED,)),
    ("complexity-escalation", (SMART, (f"{SMART_CONFIG}/escalation_keywords", ...)), (PINNED,), ("1.83.14",)),
    ("complexity-repeated", (SMART, ("model_list/7", ROUTER)), (PINNED,), ()),
    ("complexity-key-unknown", (SMART, (f"{SMART_CONFIG}/keyword_rules", [])), (PINNED,), ()),
    (
        "semantic-router-incomplete",
        (("model_list/6", {"model_name": "s", "litellm_params": {"model": "auto_router/s"}}),),
        (PINNED,),
        (),
    ),
    ("fallback-shape", ((CHAINS, {"fast": ["slow"]}),), (PINNED,), ()),
    ("fallback-shape", ((CHAINS, [{"fast": ["slow"], "slow": ["fast"]}]),), (PINNED,), ()),
    ("fallback-shape", ((CHAINS, [{"fast": "slow"}]),), (PINNED,), ()),
    ("fallback-shape", (("litellm_settings/default_fallbacks", "fast"),), (PINNED,), ()),
    ("fallback-section", (("general_settings/fallbacks", [{"fast": ["slow"]}]),), (PINNED,), ()),
    ("fallback-section", (("fallbacks", [{"fast": ["slow"]}]),), (PINNED,), ()),
    ("fallback-section", (("model_list/0/fallbacks", [{"fast": ["slow"]}]),), (PINNED,), ()),
    ("fallback-section-twice", (("litellm_settings/fallbacks", [{"slow": ["fast"]}]),), (PINNED, "1.82.6"), ()),
    ("fallback-section-twice", (("litellm_settings/fallbacks", [{"fast": ["slow"]}]),), (), (PINNED,)),
    ("fallback-target-unknown", ((CHAINS, [{"fast": ["slwo", "slow"]}]),), (PINNED,), ()),
    ("fallback-key-unknown", ((CHAINS, [{"fats": ["slow"]}]),), (PINNED,), ()),
    ("fallback-key-unknown", (WILD, (CHAINS, [{"openai/*": ["slow"]}])), (PINNED, "1.82.6"), ()),
    ("fallback-key-unknown", (WILD, (CHAINS, [{"openai/gpt-4o": ["slow"]}, {"*": ["slow"]}])), (), (PINNED, "1.82.6")),
    ("count-type", (("router_settings/max_fallbacks", "5"),), (PINNED, "1.82.6"), ()),
    ("count-type", (("litellm_settings/max_fallbacks", "five"),), (PINNED,), ()),
    ("count-type", (("litellm_settings/num_retries", "2"),), (PINNED,), ()),
    ("count-type", (("router_settings/num_retries", 1.5),), (PINNED,), ()),
    ("count-type", (("router_settings/num_retries", "os.environ/R"), ("router_settings/max_fallbacks", 3)), (), (PINNED,)),
    ("fallback-too-deep", (("router_settings/max_fallbacks", "1"),), (), (PINNED,)),
    ("fallback-key-repeated", ((CHAINS, [{"fast": ["slow"]}, {"fast": ["slow"]}]),), (PINNED,), ()),
    ("fallback-same-group", ((ALIAS, {"voice": "fast"}), (CHAINS, [{"fast": ["voice"]}, {"voice": ["fast"]}])), (PINNED,), ()),
    (
        "fallback-same-hosts",
        (ONE_HOST, ("model_list/7", deployment("more", "star")), (CHAINS, [{"more": ["single"]}])),
        (PINNED,),
        (),
    ),
    ("fallback-no-new-host", (ONE_HOST, (CHAINS, [{"slow": ["single"]}])), (PINNED,), ()),
    ("fallback-alias-uncovered", ((ALIAS, {"voice": "fast"}),), (PINNED, "1.83.14"), ()),
    ("fallback-alias-uncovered", ((ALIAS, {"voice": "fast"}), (CHAINS, [{"voice": ["slow"]}])), (PINNED,), ()),
    ("fallback-alias-uncovered", ((ALIAS, {"voice": "fast"}), (CHAINS, [{"fast": ["slow"]}, {"*": ["slow"]}])), (), (PINNED,)),
    ("fallback-alias-uncovered", ((ALIAS, {"voice": "fast"}), ("router_settings/default_fallbacks", ["slow"])), (), (PINNED,)),
    ("fallback-alias-uncovered", ((ALIAS, {"voice": "fast"}), ("router_settings/default_fallbacks", ["fast"])), (PINNED,), ()),
    (
        "fallback-alias-uncovered",
        ((ALIAS, {"voice": "fast"}), (CHAINS, []), ("router_settings/context_window_fallbacks", [{"fast": ["slow"]}])),
        (PINNED,),
        (),
    ),
    ("fallback-key-unknown", (("model_list/0/model_name", "openai/*"), (CHAINS, [{"gpt-4o": ["slow"]}])), (), (PINNED, "1.82.6")),
    ("fallback-key-unknown", (("model_list/0/model_name", "opnai/*"), (CHAINS, [{"gpt-4o": ["slow"]}])), (PINNED,), ()),
    ("fallback-embedding-chat", (RERANK, (CHAINS, [{"fast": ["single"]}])), (PINNED,), ()),
    ("default-fallback-embedding", (RERANK, ("router_settings/default_fallbacks", ["slow"]), EMBEDDED), (PINNED,), ()),
    ("fallback-too-deep", (("router_settings/max_fallbacks", 0),), (PINNED,), ()),
    # In 1.83.14 the chain is entered at the level that has failed, which is the last one: order-level-carried says so.
    ("fallback-too-deep", (("router_settings/max_fallbacks", 1),), (PINNED,), ("1.82.6", "1.83.14")),
    ("fallback-too-deep", (*ONE_CHAINED, ("router_settings/max_fallbacks", 1)), (PINNED, "1.83.14"), ("1.82.6",)),
    ("fallback-too-deep", (("router_settings/max_fallbacks", 2),), (PINNED,), ()),
    ("fallback-embedding-chat", ((CHAINS, [{"embedding": ["slow"]}]),), (PINNED,), ()),
    ("fallback-embedding-chat", ((CHAINS, [{"fast": ["embedding"]}]),), (PINNED,), ()),
    ("default-fallback-embedding", (("litellm_settings/default_fallbacks", ["slow"]),), (PINNED,), ()),
    ("retries-before-fallback", (ONE_HOST, (CHAINS, [{"single": ["fast"]}]), ("router_settings/num_retries", 2)), (PINNED,), ()),
    (
        "retries-before-fallback",
        (ONE_HOST, (CHAINS, [{"single": ["fast"]}]), ("router_settings/num_retries", ...)),
        (PINNED,),
        (),
    ),
    ("retries-before-fallback", (ONE_HOST, (CHAINS, []), DEFAULTED, ("router_settings/num_retries", 2)), (PINNED,), ()),
    ("retries-before-fallback", (*ONE_CHAINED, ("model_list/6/litellm_params/num_retries", 3)), (PINNED,), ()),
    (
        "retries-before-fallback",
        (*ONE_CHAINED, ("model_list/6/litellm_params/num_retries", "0"), ("router_settings/num_retries", 2)),
        (),
        (PINNED,),
    ),
    ("order-level-carried", (), ("1.83.14", "1.98.1"), (PINNED, "1.82.6")),
    (
        "attempts-multiplied",
        ((ALIAS, {"voice": "fast"}), (CHAINS, [{"voice": ["fast", "slow"]}, {"fast": ["slow"]}])),
        (PINNED,),
        (),
    ),
    ("alias-on-one-host", (ONE_HOST,), (PINNED,), ()),
    ("key-unknown", (("router_settings/foo_bar", 1),), (PINNED,), ()),
    ("key-unknown", (("general_settings/routing_strategy", "simple-shuffle"),), (PINNED,), ()),
    ("key-unknown", (("litellm_settings/cooldown_time", 3),), (PINNED,), ()),
    ("key-misspelt", ((f"{FIRST}/odrer", 1),), (PINNED,), ()),
    ("key-misspelt", (("router_setting", {}),), (PINNED,), ()),
    ("health-section", (("litellm_settings/enable_background_health_checks", True),), (PINNED,), ()),
    ("key-misspelt", (("model_list/0/model_info/mdoe", "chat"),), (PINNED,), ()),
    ("key-misspelt", (("model_list/0/litellm_param", {}),), (PINNED,), ()),
    ("health-without-routing", (("general_settings/background_health_checks", True),), (PINNED,), ()),
    ("health-without-routing", (("general_settings/background_health_checks", "true"),), (PINNED,), ()),
    ("routing-without-health", (("general_settings/enable_health_check_routing", True),), (PINNED,), ()),
    (
        "health-policy",
        (
            ("general_settings/background_health_checks", True),
            ("general_settings/enable_health_check_routing", True),
            ("router_settings/allowed_fails_policy", {"TimeoutErrorAllowedFails": 1}),
        ),
        (PINNED,),
        (),
    ),
    (
        "health-staleness",
        (
            ("general_settings/background_health_checks", True),
            ("general_settings/enable_health_check_routing", True),
            ("general_settings/health_check_interval", 900),
        ),
        (PINNED,),
        (),
    ),
    ("master-key-missing", (("general_settings", ...),), (PINNED, "1.104.0"), ("1.103.11",)),
    ("master-key-published", (("general_settings/master_key", "sk-1234"),), (PINNED, "1.82.6"), ()),
    ("master-key-missing", (("general_settings/master_key", "  "),), (PINNED,), ()),
    ("master-key-published", (("environment_variables", {"LITELLM_MASTER_KEY": "sk-1234"}),), (PINNED,), ()),
    (
        "environment-too-late",
        (("environment_variables", {"FAST_KEY": "x"}), (f"{FIRST}/api_key", "os.environ/FAST_KEY")),
        (PINNED, "1.82.6"),
        (),
    ),
    ("master-key-type", (("general_settings/master_key", 1234),), (PINNED,), ()),
    ("custom-auth-unchecked", (("general_settings/custom_auth", "my.auth"),), (PINNED,), ()),
    ("cache-stores-prompts", (("litellm_settings/cache", True),), (PINNED,), ()),
    ("check-provider-endpoint", (("litellm_settings/check_provider_endpoint", True),), (PINNED,), ()),
    (
        "health-interval",
        (
            *PROBED,
            ("general_settings/health_check_interval", "300"),
        ),
        (PINNED,),
        (),
    ),
    (
        "health-interval",
        (
            *PROBED,
            ("general_settings/health_check_interval", "5m"),
        ),
        (PINNED,),
        (),
    ),
    (
        "health-interval",
        (
            *PROBED,
            ("general_settings/health_check_interval", 120.5),
        ),
        (PINNED,),
        (),
    ),
    (
        "health-interval",
        (
            *PROBED,
            ("general_settings/health_check_interval", 0),
        ),
        (PINNED,),
        (),
    ),
    (
        "health-interval",
        (
            *PROBED,
            ("general_settings/health_check_interval", "os.environ/S"),
        ),
        (PINNED,),
        (),
    ),
    (
        "health-interval",
        (
            *PROBED,
            ("general_settings/health_check_interval", 120),
        ),
        (),
        (PINNED,),
    ),
    ("parameter-outside", (("model_list/0/api_base", "http://star:11434"),), (PINNED, "1.82.6"), ()),
    ("parameter-outside", (("model_list/0/num_ctx", 8192),), (PINNED, "1.82.6"), ()),
    ("parameter-outside", (("model_list/0/keep_alive", "1h"),), (PINNED, "1.82.6"), ()),
    ("parameter-outside", (("model_list/0/timeout", 60),), (PINNED, "1.82.6"), ()),
    ("parameter-outside", (("model_list/0/notes", "x"),), (), (PINNED,)),
    ("parameter-shape", ((f"{FIRST}/tags", "voice"),), (PINNED,), ()),
    ("parameter-shape", ((f"{FIRST}/tag_regex", "^x"),), (PINNED,), ()),
    ("parameter-shape", ((f"{FIRST}/tags", ["a", 1]),), (PINNED,), ()),
    ("parameter-shape", ((f"{FIRST}/complexity_router_config", "{}"),), (PINNED,), ()),
    ("number-type", ((f"{FIRST}/max_retries", "two"),), (PINNED,), ()),
    ("number-type", ((f"{FIRST}/input_cost_per_token", "free"),), (PINNED,), ()),
    ("number-type", ((f"{FIRST}/max_budget", "10$"),), (PINNED,), ()),
    ("text-type", ((f"{FIRST}/budget_duration", 5),), (PINNED,), ()),
    ("text-type", ((f"{FIRST}/vertex_project", 5),), (PINNED,), ()),
    ("text-type", ((f"{FIRST}/aws_region_name", 5),), (PINNED,), ()),
    ("text-type", ((f"{FIRST}/organization", 5),), (PINNED,), ()),
    ("policy-key-unknown", (("router_settings/retry_policy", {"TimeoutErrorRetry": 3}),), (PINNED,), ()),
    ("policy-key-unknown", (("router_settings/model_group_retry_policy", {"fast": {"TimeoutRetries": 3}}),), (PINNED,), ()),
    ("policy-key-unknown", (("router_settings/allowed_fails_policy", {"TimeoutErrorRetries": 3}),), (PINNED,), ()),
    ("policy-key-unknown", (("router_settings/retry_policy", {"TimeoutErrorRetries": 3}),), (), (PINNED,)),
    ("check-unknown", (("router_settings/optional_pre_call_checks", ["enforce_rate_limits"]),), (PINNED,), ()),
    ("cache-key-unknown", (("litellm_settings/cache_params", {"typ": "redis"}),), (PINNED,), ()),
    ("cache-key-unknown", (("litellm_settings/cache_params", {"url": "redis://r", "startup_nodes": []}),), (), (PINNED,)),
    ("mode-unknown", (("model_list/0/model_info/mode", "embeddings"),), (PINNED,), ()),
    ("key-unknown", (("model_group_alias", {"a": "fast"}),), (PINNED,), ()),
    ("key-unknown", (("master_key", "x"),), (PINNED,), ()),
    ("key-unknown", (("routing_strategy", "simple-shuffle"),), (PINNED,), ()),
    ("key-unknown", (("request_timeout", 60),), (PINNED,), ()),
    ("key-unknown", (("num_retries", 3),), (PINNED,), ()),
    ("key-unknown", (("callbacks", []),), (PINNED,), ()),
    ("key-unknown", (("cache", True),), (PINNED,), ()),
    ("key-unknown", (("enable_background_health_checks", True),), (PINNED,), ()),
    ("key-unknown", (("default_vertex_config", {}),), (), (PINNED,)),
    ("placeholder-literal", ((f"{FIRST}/api_key", "os.environ.OPENAI_API_KEY"),), (PINNED,), ()),
    ("placeholder-literal", ((f"{FIRST}/api_key", "${OPENAI_API_KEY}"),), (PINNED,), ()),
    ("placeholder-literal", ((f"{FIRST}/api_key", "$OPENAI_API_KEY"),), (PINNED,), ()),
    ("placeholder-literal", ((f"{FIRST}/api_key", "os.env/X"),), (PINNED,), ()),
    ("placeholder-literal", ((f"{FIRST}/api_key", "os.environ/ X"),), (PINNED,), ()),
    ("placeholder-literal", ((f"{FIRST}/api_key", "os.environ/$X"),), (PINNED,), ()),
    ("placeholder-literal", ((f"{FIRST}/api_key", "os.environ/"),), (PINNED,), ()),
    ("placeholder-literal", ((f"{FIRST}/api_key", "os.environ['X']"),), (PINNED,), ()),
    ("placeholder-literal", ((f"{FIRST}/api_key", "os.getenv('X')"),), (PINNED,), ()),
    ("placeholder-literal", ((f"{FIRST}/api_key", "${KEY:-none}"),), (PINNED,), ()),
    ("placeholder-literal", (("general_settings/master_key", "${LITELLM_MASTER_KEY}"),), (PINNED,), ()),
    ("placeholder-literal", ((f"{FIRST}/api_base", "http://${STAR}:11434/v1"),), (PINNED,), ()),
    ("placeholder-literal", ((f"{FIRST}/api_key", "sk-$a{b}"),), (), (PINNED,)),
    ("placeholder-literal", ((f"{FIRST}/api_key", "os.environ/MY-KEY"),), (), (PINNED,)),
    ("placeholder-literal", ((f"{FIRST}/api_key", "$ecret"),), (), (PINNED,)),
    ("section-type", (("router_settings", ["x"]),), (PINNED,), ()),
    ("section-type", (("model_list", {"a": 1}),), (PINNED,), ()),
    ("model-list-missing", (("model_list", ...),), (PINNED,), ()),
    ("deployment-shape", (("model_list/0", "x"),), (PINNED,), ()),
    ("deployment-shape", ((f"{FIRST}/model", ...),), (PINNED,), ()),
    ("deployment-shape", (("model_list/0/model_name", None),), (PINNED,), ()),
    ("deployment-id-repeated", (("model_list/1/model_info/id", "banana--fast--fast"),), (PINNED,), ()),
]
WRITTEN = {
    "key-repeated": "model_list: []\nrouter_settings: {}\nrouter_settings: {}\n",
    "not-a-configuration": "- a\n- b\n",
    "model-info-shared": "model_list:\n- {model_name: a, litellm_params: {model: openai/a}, model_info: &info {mode: chat}}\n"
    "- {model_name: a, litellm_params: {model: openai/b}, model_info: *info}\n",
}
# Rules that need more than the file stand in test_surroundings.py and test_releases.py.
ELSEWHERE = {
    "release-compromised", "memory-overcommitted", "host-not-in-inventory", "model-not-in-inventory", "health-not-resident",
    "environment-missing",
}  # fmt: skip


def test_the_right_configuration_has_nothing_wrong() -> None:
    assert rules(right(), PINNED) == []


@pytest.mark.parametrize(
    ("name", "changes", "fires", "silent"), CASES, ids=[f"{number}-{case[0]}" for number, case in enumerate(CASES)]
)
def test_rule(name: str, changes: tuple[tuple[str, Any], ...], fires: tuple[str, ...], silent: tuple[str, ...]) -> None:
    config = changed(*changes)
    assert [release for release in fires if name not in rules(config, release)] == []
    assert [release for release in silent if name in rules(config, release)] == []


@pytest.mark.parametrize("name", sorted(WRITTEN))
def test_rule_about_the_file(name: str) -> None:
    assert name in rules(WRITTEN[name], "1.98.1")


def test_a_shared_model_info_is_two_where_the_release_makes_two() -> None:
    assert "model-info-shared" not in rules(WRITTEN["model-info-shared"], PINNED)


def test_what_belongs_beside_the_sections() -> None:
    found = check(text(changed(("litellm_settings/default_vertex_config", {"project": "x"}))), PINNED)
    assert [(item["rule"], item["mend"]) for item in found] == [("key-unknown", "Move it beside the sections.")]


def test_a_suggestion_ends_before_the_next_sentence() -> None:
    found = check(text(changed((f"{FIRST}/model", "mistal/x"))), PINNED)
    assert [item["mend"][:45] for item in found if item["rule"] == "provider-unknown"] == [
        "Did you mean mistral? Write the provider firs"
    ]


def test_each_rule_has_its_case() -> None:
    known = {rule.id for rule in RULES if not rule.id.startswith("release-weakness")}
    assert known - {case[0] for case in CASES} - set(WRITTEN) - ELSEWHERE == set()
    assert len({rule.id for rule in (*RULES, *STACK_RULES)}) == len(RULES) + len(STACK_RULES)
