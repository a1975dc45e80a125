"""What an answer says, whichever way it came: whole or in pieces, from an engine or through the router."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

COUNTED = ("prompt_tokens", "completion_tokens", "total_tokens")
# Engines name the text of a reasoning model in two ways; LiteLLM gives both the first name.
REASONING = ("reasoning_content", "reasoning")
END = "[DONE]"


def reasoning_of(message: Mapping[str, Any]) -> str:
    return next((str(message[name]) for name in REASONING if message.get(name)), "")


def told(body: Mapping[str, Any]) -> dict[str, Any]:
    """Everything of a whole answer that a client acts on. Ids of calls are random, and not among it."""
    [choice] = body["choices"]
    message = choice["message"]
    calls = [call["function"] for call in message.get("tool_calls") or ()]
    return {
        "role": message["role"],
        "content": message.get("content") or "",
        "reasoning": reasoning_of(message),
        "calls": [(call["name"], json.loads(call["arguments"])) for call in calls],
        "finish_reason": choice["finish_reason"],
        "usage": {name: body["usage"][name] for name in COUNTED},
    }


def events(content: bytes) -> list[str]:
    """The data of a stream of server-sent events."""
    lines = content.decode().splitlines()
    return [line.removeprefix("data:").strip() for line in lines if line.startswith("data:")]


def pieces(content: bytes) -> list[dict[str, Any]]:
    """A stream's chunks. It has to end as OpenAI's do."""
    *chunks, last = events(content)
    assert last == END, f"the stream ends with {last!r}"
    return [json.loads(chunk) for chunk in chunks]


def joined(chunks: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """What the pieces of a stream say together, as `told` says it of a whole answer."""
    role = content = reasoning = ""
    finish_reason, usage, calls = None, {}, {}
    for chunk in chunks:
        usage = chunk.get("usage") or usage
        for choice in chunk["choices"]:
            delta = choice["delta"]
            role = role or delta.get("role") or ""
            content += delta.get("content") or ""
            reasoning += reasoning_of(delta)
            finish_reason = choice.get("finish_reason") or finish_reason
            for call in delta.get("tool_calls") or ():
                add(calls.setdefault(call["index"], {"name": "", "arguments": ""}), call["function"])
    return {
        "role": role,
        "content": content,
        "reasoning": reasoning,
        "calls": [(call["name"], json.loads(call["arguments"])) for _index, call in sorted(calls.items())],
        "finish_reason": finish_reason,
        "usage": {name: usage.get(name) for name in COUNTED},
    }


def add(call: dict[str, str], piece: Mapping[str, str | None]) -> None:
    for name in call:
        call[name] += piece.get(name) or ""
