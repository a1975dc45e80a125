"""What a deployment's provider does with a request."""

from __future__ import annotations

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


HOST = {"a": UP}
NO_RETRY = {"num_retries": 0}
ROWS = [
    Row("ollama-chat-embedding", one(ollama("v", "a", model_info=EMBEDDING)),
        one(ollama("v", "a", "ollama", model_info=EMBEDDING)), (embed("v"),), not_asked("a"), hosts=HOST),
    Row("openai-api-key-missing", one(openai("g", "a", api_key=None), router=NO_RETRY),
        one(openai("g", "a"), router=NO_RETRY), (chat("g"),), all_failed, hosts=HOST),
    Row("ollama-api-base-v1", one(deployment("g", "ollama_chat/m", "@a/v1"), router=NO_RETRY),
        one(ollama("g", "a"), router=NO_RETRY), (chat("g"),), all_failed, hosts=HOST),
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
