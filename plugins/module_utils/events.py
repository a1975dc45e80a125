"""What a chat stream says: server-sent events out of bytes, an answer out of events. Knows no clock and no socket."""

from __future__ import annotations

import json
import math
from typing import Any

from .connection import RequestFailed

EXCERPT_CHARACTERS = 300
# Usage and timings are two or three levels deep; what is deeper is not kept.
NESTING_MOST = 8


class EventParser:
    """Server-sent events from any cut of the byte stream. Lines end in LF or CRLF, a blank line ends an event."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._searched = 0
        self._data: list[bytes] = []

    def feed(self, piece: bytes) -> list[str]:
        """The data of every event that this piece completes. Raises RequestFailed(malformed) on broken UTF-8."""
        self._rest += piece
        events: list[str] = []
        begin = 0
        while True:
            end = self._rest.find(b"\n", max(begin, self._searched))
            if end < 0:
                break
            self._line(bytes(self._rest[begin:end]).rstrip(b"\r"), events)
            begin = end + 1
            self._searched = begin
        del self._rest[:begin]
        self._searched = len(self._rest)
        return events

    def finish(self) -> list[str]:
        """The data of an event that the end of the body cut off before its blank line."""
        events: list[str] = []
        self._line(bytes(self._rest).rstrip(b"\r"), events)
        self._line(b"", events)
        self._rest.clear()
        return events

    def _line(self, line: bytes, events: list[str]) -> None:
        if not line:
            if self._data:
                data, self._data = b"\n".join(self._data), []
                events.append(decoded(data))
        elif line.startswith(b"data:"):
            value = line[len(b"data:") :]
            self._data.append(value[1:] if value.startswith(b" ") else value)
        # Comments (":…") and the fields event, id and retry carry nothing that we measure.


def decoded(data: bytes) -> str:
    """UTF-8 to text; an event is whole here, so a character is never cut."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise RequestFailed("malformed", f"an event is not UTF-8: {error}") from error


class Answer:
    """What a chat stream has said so far. Chunks that carry no token are not counted as tokens or as time."""

    def __init__(self) -> None:
        self.content: list[str] = []
        self.reasoning: list[str] = []
        self.tool_calls: dict[int, dict[str, str]] = {}
        self.token_ns: list[int] = []
        self.first_answer_ns: int | None = None
        self.finish_reason: str | None = None
        self.usage: dict[str, Any] | None = None
        self.timings: dict[str, Any] | None = None
        self.model: str | None = None
        self.done = False

    def take(self, data: str, stamp_ns: int) -> None:
        """Add one event's data; raises RequestFailed for an error object or something that is not a chunk."""
        if data.strip() == "[DONE]":
            self.done = True
            return
        chunk = parsed(data)
        self.model = chunk["model"] if isinstance(chunk.get("model"), str) else self.model
        # The last one counts: some engines put a zero usage on every chunk before it.
        self.usage = chunk["usage"] if isinstance(chunk.get("usage"), dict) else self.usage
        self.timings = chunk["timings"] if isinstance(chunk.get("timings"), dict) else self.timings
        choices = chunk.get("choices")
        choice = choices[0] if isinstance(choices, list) and choices else None
        if isinstance(choice, dict):
            self._choice(choice, stamp_ns)

    def _choice(self, choice: dict[str, Any], stamp_ns: int) -> None:
        if isinstance(choice.get("finish_reason"), str):
            self.finish_reason = choice["finish_reason"]
        delta = choice.get("delta")
        if not isinstance(delta, dict):
            return
        content = text_of(delta.get("content"))
        reasoning = text_of(delta.get("reasoning")) or text_of(delta.get("reasoning_content"))
        calls = delta.get("tool_calls")
        called = isinstance(calls, list) and bool(calls)
        if not (content or reasoning or called):
            return
        self.token_ns.append(stamp_ns)
        self.content.append(content)
        self.reasoning.append(reasoning)
        if called:
            self._tool_calls(calls)
        if self.first_answer_ns is None and (content or called):
            self.first_answer_ns = stamp_ns

    def _tool_calls(self, calls: Any) -> None:
        for position, call in enumerate(calls):
            if not isinstance(call, dict):
                continue
            index = call.get("index")
            entry = self.tool_calls.setdefault(index if isinstance(index, int) else position, {"name": "", "arguments": ""})
            function = call.get("function")
            if isinstance(function, dict):
                entry["name"] += text_of(function.get("name"))
                entry["arguments"] += text_of(function.get("arguments"))


def text_of(value: Any) -> str:
    """A text field of a chunk; null and anything that is not text count as no text."""
    return value if isinstance(value, str) else ""


def parsed(data: str) -> dict[str, Any]:
    """A chunk or reply body as a mapping; an error object inside it is raised as kind ``engine``."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise RequestFailed("malformed", f"got {data[:EXCERPT_CHARACTERS]!r}; expected a JSON object ({error})") from error
    if not isinstance(value, dict):
        raise RequestFailed("malformed", f"got {data[:EXCERPT_CHARACTERS]!r}; expected a JSON object")
    if value.get("error"):
        raise RequestFailed("engine", "the engine reported {}".format(error_text(value["error"])))
    return value


def error_text(error: Any) -> str:
    """The message of an OpenAI-style error object, or as much of anything else as fits a line."""
    message = error.get("message") if isinstance(error, dict) else error
    return str(cleaned(str(message if message else error)))[:EXCERPT_CHARACTERS]


def cleaned(value: Any, depth: int = 0) -> Any:
    """A value from a foreign JSON as one that JSON and UTF-8 can carry: no lone surrogates, no NaN, no deep nesting."""
    if isinstance(value, str):
        # Through UTF-16, so that two halves of one character that came in two chunks become that character.
        return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, (dict, list)) and depth >= NESTING_MOST:
        return None
    if isinstance(value, dict):
        return {cleaned(str(key)): cleaned(entry, depth + 1) for key, entry in value.items()}
    if isinstance(value, list):
        return [cleaned(entry, depth + 1) for entry in value]
    return value
