"""Requests for a tiny model that make it say what a large one says by itself: calls, JSON by a schema, reasoning.

What it says is no matter; that the engine sends it in the form that a client of tools or reasoning gets is.
"""

from __future__ import annotations

import json
from typing import Any

QUESTION = "Weather in Oslo for 2 days?"
WEATHER = {
    "type": "object",
    "properties": {"city": {"type": "string", "enum": ["Paris", "Oslo"]}, "days": {"type": "integer", "enum": [1, 2, 3]}},
    "required": ["city", "days"],
    "additionalProperties": False,
}
TOOLS = [{"type": "function", "function": {"name": "get_weather", "description": "weather of a city", "parameters": WEATHER}}]
# With these every request has one answer.
BASE: dict[str, Any] = {"temperature": 0, "seed": 1, "max_tokens": 24}
# llama-server takes reasoning and calls out of the text by what it finds in the template; these are Qwen's and Hermes' words.
JINJA = """\
{%- if tools %}
    {{- '<|im_start|>system\\n# Tools\\n\\n<tools>' }}
    {%- for tool in tools %}
        {{- '\\n' }}
        {{- tool | tojson }}
    {%- endfor %}
    {{- '\\n</tools>\\n\\nFor each call:\\n<tool_call>\\n{"name": <name>, "arguments": <object>}\\n</tool_call><|im_end|>\\n' }}
{%- endif %}
{%- for message in messages %}
    {{- '<|im_start|>' + message.role + '\\n' }}
    {%- if message.reasoning_content %}
        {{- '<think>\\n' + message.reasoning_content + '\\n</think>\\n\\n' }}
    {%- endif %}
    {%- if message.content %}
        {{- message.content }}
    {%- endif %}
    {%- for call in message.tool_calls or [] %}
        {{- '\\n' if message.content or not loop.first else '' }}
        {{- '<tool_call>\\n{"name": "' + call.function.name + '", "arguments": ' }}
        {{- call.function.arguments if call.function.arguments is string else call.function.arguments | tojson }}
        {{- '}\\n</tool_call>' }}
    {%- endfor %}
    {{- '<|im_end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}
"""
# Ollama finds a call by the first letter of its template's calls, and reasoning by the words around .Thinking; a prompt that ends
# with the first of these begins with reasoning.
CALLING = (
    "{{ range .Messages }}<|im_start|>{{ .Role }}\n{{ .Content }}"
    '{{ range .ToolCalls }}{"name": "{{ .Function.Name }}", "parameters": {{ .Function.Arguments }}}{{ end }}'
    "<|im_end|>\n{{ end }}{{ if .Tools }}{{ .Tools }}{{ end }}<|im_start|>assistant\n"
)
THINKING = (
    "{{ range .Messages }}<|im_start|>{{ .Role }}\n{{ if .Thinking }}<think>{{ .Thinking }}</think>{{ end }}"
    "{{ .Content }}<|im_end|>\n{{ end }}<|im_start|>assistant\n<think>"
)


def said(text: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": text}]


def schema(properties: dict[str, Any]) -> dict[str, Any]:
    """A response format that forces a JSON object."""
    wanted = {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}
    return {"type": "json_schema", "json_schema": {"name": "wanted", "strict": True, "schema": wanted}}


def asked_before(city: str, days: int, number: int) -> list[dict[str, Any]]:
    """A question and the call that answered it: an example that the model repeats."""
    function = {"name": "get_weather", "arguments": json.dumps({"city": city, "days": days})}
    call = {"id": f"call{number}", "type": "function", "function": function}
    return [
        *said(f"Weather in {city} for {days} days?"),
        {"role": "assistant", "content": None, "tool_calls": [call]},
    ]


PLAIN = {**BASE, "messages": said("Say hello.")}
BY_SCHEMA = {
    **BASE,
    "max_tokens": 48,
    "messages": said("A town as JSON."),
    "response_format": schema(
        {"name": {"type": "string", "enum": ["Paris", "Oslo"]}, "people": {"type": "integer", "enum": [1, 2]}}
    ),
}
# After two examples the model writes a call, and llama-server's grammar sees to its form.
CALL_LLAMA_CPP = {
    **BASE,
    "max_tokens": 64,
    "messages": [*asked_before("Paris", 3, 1), *asked_before("Oslo", 1, 2), *said(QUESTION)],
    "tools": TOOLS,
    "tool_choice": "required",
}
# Ollama has no grammar for calls; an answer by this schema is one.
CALL_OLLAMA = {
    **BASE,
    "max_tokens": 64,
    "messages": said(QUESTION),
    "tools": TOOLS,
    "response_format": schema({"name": {"type": "string", "enum": ["get_weather"]}, "parameters": WEATHER}),
}
# A grammar that opens and closes the reasoning; `grammar` is llama-server's own, and not OpenAI's.
REASONED_LLAMA_CPP = {
    **BASE,
    "messages": said("Say hello."),
    "grammar": 'root ::= "<think>\\nA greeting.\\n</think>\\n\\n" [a-z]+ "."',
}
# The smallest PNG: one transparent pixel.
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
