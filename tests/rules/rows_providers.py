"""What a deployment's provider does with a request."""

from __future__ import annotations

import json
from typing import Any

from tests.rules.hosts import UP, Is
from tests.rules.releases import Seen
from tests.rules.rows import Row, all_failed, chat, config, deployment, embed, not_asked, ollama, openai, until

TOOL = {"type": "function", "function": {"name": "light", "parameters": {"type": "object", "properties": {}}}}
EMBEDDING = {"mode": "embedding"}
# No deadline of ours is longer.
LONG_S = 600.0


def one(entry: dict[str, Any], **sections: Any) -> str:
    return config([entry], **sections)


def forever(seen: Seen) -> bool:
    """The request reached the HTTP client with a deadline that nobody would wait for."""
    return any((limits.get("read") or 1e9) > LONG_S for limits in seen.deadlines)


def without_tools(seen: Seen) -> bool:
    return not any(body.get("tools") for body in seen.bodies("a"))


def named(prefix: str, model: str) -> dict[str, Any]:
    return deployment("v", f"{prefix}/{model}", "@a")


def behind(values: dict[str, Any]) -> str:
    """Address and key of a deployment come from a credential."""
    entry = {"model_name": "g", "litellm_params": {"model": "openai/m", "litellm_credential_name": "lab"}}
    listed = [{"credential_name": "lab", "credential_values": values, "credential_info": {}}]
    return f"{config([entry], router=NO_RETRY)}credential_list: {json.dumps(listed)}\n"


NO_RETRY = {"num_retries": 0}
HOST = {"a": UP}
ROWS = [
    Row("ollama-chat-embedding", one(ollama("v", "a", model_info=EMBEDDING)),
        one(ollama("v", "a", "ollama", model_info=EMBEDDING)), (embed("v"),), not_asked("a"), hosts=HOST),
    Row("openai-api-key-missing", one(openai("g", "a", api_key=None), router=NO_RETRY),
        one(openai("g", "a"), router=NO_RETRY), (chat("g"),), all_failed, hosts=HOST),
    Row("ollama-api-base-v1", one(deployment("g", "ollama_chat/m", "@a/v1"), router=NO_RETRY),
        one(ollama("g", "a"), router=NO_RETRY), (chat("g"),), all_failed, hosts=HOST),
    *(
        Row("ollama-chat-embedding", one(named("ollama_chat", model)), one(named("ollama", model)), (embed("v"),), not_asked("a"),
            hosts=HOST, case=model)
        for model in ("bge-m3", "all-minilm")
    ),
    *(
        Row("api-base-path", one(deployment("g", model, bad, api_key="none"), router=NO_RETRY),
            one(deployment("g", model, right, api_key="none"), router=NO_RETRY), (chat("g"),), all_failed, hosts=HOST, case=case)
        for case, model, bad, right in (
            ("ollama", "ollama_chat/m", "@a/api", "@a"),
            ("ollama-chat", "ollama_chat/m", "@a/v1/chat/completions", "@a/api/chat"),
            ("openai", "openai/m", "@a/v1/chat/completions", "@a/v1"),
            ("lm-studio", "lm_studio/m", "@a/v1/chat/completions", "@a/v1"),
        )
    ),
    *(
        Row("api-base-scheme", one(deployment("g", model, "127.0.0.1:9/v1", api_key="none"), router=NO_RETRY),
            one(deployment("g", model, right, api_key="none"), router=NO_RETRY), (chat("g"),), all_failed, hosts=HOST, case=case)
        for case, model, right in (("ollama", "ollama_chat/m", "@a"), ("openai", "openai/m", "@a/v1"))
    ),
    *(
        Row("openai-api-base-no-v1", one(deployment("g", f"{prefix}/m", "@a", api_key="none"), router=NO_RETRY),
            one(deployment("g", f"{prefix}/m", "@a/v1", api_key="none"), router=NO_RETRY), (chat("g"),), all_failed, hosts=HOST,
            case=prefix)
        for prefix in ("hosted_vllm", "lm_studio")
    ),
    Row("openai-api-key-missing", behind({"api_base": "@a/v1"}), behind({"api_base": "@a/v1", "api_key": "none"}), (chat("g"),),
        all_failed, hosts=HOST, case="credential"),
    Row("ollama-generate-tools", one(ollama("tools", "a", "ollama")), one(ollama("tools", "a")), (chat("tools", tools=[TOOL]),),
        without_tools, hosts=HOST),
    Row("ollama-generate-chat", one(ollama("g", "a", "ollama")), one(ollama("g", "a")), (chat("g", tools=[TOOL]),), without_tools,
        hosts=HOST),
    Row("precall-drop-params", one(ollama("g", "a"), router={"enable_pre_call_checks": True}),
        one(ollama("g", "a"), router={"enable_pre_call_checks": True}, litellm={"drop_params": True}), (chat("g"),), all_failed,
        until("1.83.14"), HOST),
    Row("rate-limit-ignored", one(openai("g", "a", rpm=2)),
        one(openai("g", "a", rpm=2), router={"optional_pre_call_checks": ["enforce_model_rate_limits"]}), (chat("g", 6),),
        lambda seen: seen.hosts["a"] == 6, hosts=HOST),
    Row("timeout-missing", one(openai("g", "a")), one(openai("g", "a", timeout=60)), (chat("g"),), forever, hosts=HOST,
        case="deployment"),
    Row("timeout-missing", one(openai("g", "a")), one(openai("g", "a"), router={"timeout": 60}), (chat("g"),), forever,
        hosts=HOST, case="router"),
    Row("timeout-missing", one(openai("g", "a")), one(openai("g", "a"), litellm={"request_timeout": 60}), (chat("g"),), forever,
        hosts=HOST, case="litellm"),
    Row("timeout-missing", one(ollama("g", "a")), one(ollama("g", "a", timeout=60)), (chat("g"),), forever, hosts=HOST,
        case="ollama"),
    Row("timeout-missing", one(openai("g", "a", stream_timeout=60)), one(openai("g", "a", stream_timeout=60, timeout=60)),
        (chat("g"),), forever, hosts=HOST, case="stream-only"),
    Row("timeout-missing", one(openai("g", "a"), router=NO_RETRY), one(openai("g", "a", timeout=0.5), router=NO_RETRY),
        (chat("g"),), lambda seen: not seen.failed,
        hosts={"a": Is(after_s=1.5)}, case="waits"),
]  # fmt: skip
