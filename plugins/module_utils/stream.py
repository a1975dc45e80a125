"""The timed path: one request to an engine's OpenAI endpoint, stamped chunk by chunk. Standard library only.

A call returns a raw record, never an exception: what was received, when (nanoseconds since the request began to be
written), and ``error`` by kind where something was wrong. What is unknown is None.
"""

from __future__ import annotations

import http.client
import json
import socket
import time
from datetime import datetime, timezone
from typing import Any, Dict, Iterator, cast

from .connection import Endpoint, ReadClock, RequestFailed
from .events import EXCERPT_CHARACTERS, Answer, EventParser, cleaned, error_text, parsed

# connect: no connection · http: a status other than 200 · timeout: the deadline of the whole request passed ·
# truncated: the reply broke off · malformed: not the format expected · engine: an error object inside a 200 ·
# empty: a well-formed reply without an answer · model: the engine does not have the model that was asked for
ERROR_KINDS = ("connect", "http", "timeout", "truncated", "malformed", "engine", "empty", "model")
# Larger than any answer or batch of vectors; a reply beyond it is not one of ours.
BODY_LIMIT_BYTES = 64 * 1024 * 1024
VECTOR_HEAD = 4
Record = Dict[str, Any]


def new_record() -> Record:
    """A record that knows nothing yet. Times are nanoseconds since t0, the moment before the request was written."""
    return {
        "started_at": datetime.now(timezone.utc).isoformat(timespec="milliseconds"),
        "times": {
            "started_ns": None,
            "headers_ns": None,
            "first_token_ns": None,
            "first_answer_ns": None,
            "last_token_ns": None,
            "end_ns": None,
            "token_chunks_ns": [],
        },
        "connection": {"connect_s": None, "opened": None, "request_number": None},
        "status": None,
        "content": None,
        "reasoning": None,
        "tool_calls": [],
        "finish_reason": None,
        "usage": None,
        "timings": None,
        "reported_model": None,
        "dimension": None,
        "vector_head": None,
        "error": None,
    }


def chat(endpoint: Endpoint, body: dict[str, Any], timeout_s: float) -> Record:
    """One streamed /v1/chat/completions; ``body`` without stream settings. Returns a raw record."""
    record = new_record()
    answer = Answer()
    request = {**body, "stream": True, "stream_options": {"include_usage": True}}
    t0_ns = None
    try:
        t0_ns, response = begin(endpoint, "/v1/chat/completions", request, timeout_s, record)
        read_stream(endpoint, response, answer)
        if not answer.token_ns:
            raise RequestFailed("empty", f"the stream ended properly (finish_reason {answer.finish_reason}) without any answer")
    except RequestFailed as failure:
        endpoint.close()
        record["error"] = failure.as_dict()
    if t0_ns is not None:
        record["times"]["end_ns"] = time.perf_counter_ns() - t0_ns
        record_answer(record, answer, t0_ns)
    return cast(Record, cleaned(record))


def embed(endpoint: Endpoint, body: dict[str, Any], timeout_s: float) -> Record:
    """One /v1/embeddings call. Returns a raw record with the dimension and the first values of the first vector."""
    record = new_record()
    request = {**body, "encoding_format": "float"}
    try:
        t0_ns, response = begin(endpoint, "/v1/embeddings", request, timeout_s, record)
        text = read_all(response, endpoint.clock)
        record["times"]["end_ns"] = endpoint.clock.last_read_ns - t0_ns
        record_vector(record, parsed(text))
    except RequestFailed as failure:
        endpoint.close()
        record["error"] = failure.as_dict()
    return cast(Record, cleaned(record))


def get(endpoint: Endpoint, path: str, timeout_s: float) -> str:
    """The text of a GET outside any timing; raises RequestFailed by kind.

    llama.cpp closes its side after a streamed reply without announcing it, sometimes only when the next request is on its
    way. A GET on a used connection is therefore asked once more on a new one; it also makes the connection sound for the
    timed request that follows.
    """
    try:
        return get_once(endpoint, path, timeout_s)
    except RequestFailed as failure:
        if failure.kind != "truncated" or endpoint.requests < 2:
            raise
    return get_once(endpoint, path, timeout_s)


def get_once(endpoint: Endpoint, path: str, timeout_s: float) -> str:
    """One GET, on the connection that stands or a new one."""
    try:
        endpoint.open(timeout_s)
        with translated(endpoint.clock):
            endpoint.start("GET", path, None, timeout_s)
            response = endpoint.response()
        text = read_all(response, endpoint.clock)
    except RequestFailed:
        endpoint.close()
        raise
    if response.status != 200:
        raise RequestFailed("http", f"GET {path}: status {response.status}: {excerpt(text)}", response.status)
    return text


def begin(endpoint: Endpoint, path: str, request: dict[str, Any], timeout_s: float, record: Record) -> Any:
    """Send a timed POST; returns t0 and the response once its headers are there. Other statuses than 200 are raised."""
    payload = json.dumps(request, ensure_ascii=False).encode("utf-8", "replace")
    endpoint.open(timeout_s)
    record["started_at"] = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
    with translated(endpoint.clock):
        t0_ns = endpoint.start("POST", path, payload, timeout_s)
        record["times"]["started_ns"] = t0_ns
        record["connection"] = {
            "connect_s": endpoint.connect_s,
            "opened": endpoint.opened,
            "request_number": endpoint.requests,
        }
        response = endpoint.response()
    record["times"]["headers_ns"] = endpoint.clock.last_read_ns - t0_ns
    record["status"] = response.status
    if response.status != 200:
        text = read_all(response, endpoint.clock)
        raise RequestFailed("http", f"POST {path}: status {response.status}: {excerpt(text)}", response.status)
    return t0_ns, response


def read_stream(endpoint: Endpoint, response: http.client.HTTPResponse, answer: Answer) -> None:
    """Read a chat stream to the end of its body, so that the connection can carry the next request."""
    kind = response.headers.get_content_type()
    if kind != "text/event-stream":
        parsed(read_all(response, endpoint.clock))
        raise RequestFailed("malformed", f"got a reply of type {kind}; expected text/event-stream")
    parser = EventParser()
    try:
        for piece in pieces(response, endpoint.clock):
            stamp_ns = endpoint.clock.last_read_ns
            for data in parser.feed(piece):
                answer.take(data, stamp_ns)
    except RequestFailed as failure:
        if failure.kind != "truncated" or not answer.done:
            raise
        endpoint.close()
    finish_stream(parser, answer, endpoint.clock.last_read_ns)


def finish_stream(parser: EventParser, answer: Answer, stamp_ns: int) -> None:
    """Take a last event without its blank line, then judge whether the stream was whole."""
    try:
        for data in parser.finish():
            answer.take(data, stamp_ns)
    except RequestFailed as failure:
        if failure.kind != "malformed":
            raise
        raise RequestFailed("truncated", f"the stream broke off inside an event: {failure.message}") from failure
    if not answer.done and answer.finish_reason is None:
        count = len(answer.token_ns)
        raise RequestFailed("truncated", f"the stream ended after {count} chunks without finish_reason or [DONE]")


class translated:
    """Turns what http.client and sockets raise into RequestFailed by kind."""

    def __init__(self, clock: ReadClock) -> None:
        self._clock = clock

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: Any, error: Any, _trace: Any) -> None:
        if isinstance(error, (socket.timeout, TimeoutError)):
            raise RequestFailed("timeout", f"no complete reply within {self._clock.timeout_s:g} s") from error
        if isinstance(error, http.client.IncompleteRead):
            raise RequestFailed("truncated", "the connection broke in the middle of the reply") from error
        if isinstance(error, OSError):
            # RemoteDisconnected is an OSError too: the engine went away before its first byte.
            raise RequestFailed("truncated", "the connection broke: %s" % (str(error) or type(error).__name__)) from error
        if isinstance(error, (http.client.HTTPException, ValueError)):
            raise RequestFailed("malformed", f"not an HTTP reply: {type(error).__name__} {error}") from error


def pieces(response: http.client.HTTPResponse, clock: ReadClock, limited: bool = True) -> Iterator[bytes]:
    """The body as it arrives, one socket read at a time, up to its declared end; ``limited`` False: however long it is."""
    # Counted here: read1 of older Pythons does not count down a declared length and would wait for more.
    left = response.length if not response.chunked else None
    total = 0
    while left is None or left > 0:
        with translated(clock):
            piece = response.read1(65536 if left is None else min(left, 65536))
        if not piece:
            if left is not None:
                raise RequestFailed("truncated", f"the body ended {left} bytes before its declared length")
            break
        total += len(piece)
        if limited and total > BODY_LIMIT_BYTES:
            raise RequestFailed("malformed", f"the reply is longer than {BODY_LIMIT_BYTES} bytes")
        left = None if left is None else left - len(piece)
        yield piece
    response.close()


def read_all(response: http.client.HTTPResponse, clock: ReadClock) -> str:
    """The whole body as text; bytes that are not UTF-8 are shown as replacement signs."""
    return b"".join(pieces(response, clock)).decode("utf-8", "replace")


def excerpt(text: str) -> str:
    """The reason inside an error body: its message where it is an OpenAI-style object, else its beginning."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return " ".join(text.split())[:EXCERPT_CHARACTERS] or "(empty body)"
    return error_text(value.get("error") or value if isinstance(value, dict) else value)


def record_answer(record: Record, answer: Answer, t0_ns: int) -> None:
    """Write what a stream said into the record, also when it broke off."""
    stamps = [stamp - t0_ns for stamp in answer.token_ns]
    first_answer_ns = None if answer.first_answer_ns is None else answer.first_answer_ns - t0_ns
    record["times"].update(
        token_chunks_ns=stamps,
        first_answer_ns=first_answer_ns,
        first_token_ns=stamps[0] if stamps else None,
        last_token_ns=stamps[-1] if stamps else None,
    )
    heard = bool(answer.token_ns) or answer.done
    record.update(
        content="".join(answer.content) if heard else None,
        reasoning="".join(answer.reasoning) if heard else None,
        tool_calls=[answer.tool_calls[index] for index in sorted(answer.tool_calls)],
        finish_reason=answer.finish_reason,
        usage=answer.usage,
        timings=answer.timings,
        reported_model=answer.model,
    )


def record_vector(record: Record, reply: dict[str, Any]) -> None:
    """Write the first vector's dimension and head into the record; raises RequestFailed when there is none."""
    data = reply.get("data")
    first = data[0] if isinstance(data, list) and data else None
    vector = first.get("embedding") if isinstance(first, dict) else None
    if not isinstance(vector, list):
        raise RequestFailed("malformed", f"the reply has no list data[0].embedding; its keys are {sorted(reply)}")
    if not vector:
        raise RequestFailed("empty", "the embedding has no values")
    if not all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in vector):
        raise RequestFailed("malformed", "the embedding holds something that is not a number")
    record["dimension"] = len(vector)
    record["vector_head"] = [float(value) for value in vector[:VECTOR_HEAD]]
    record["usage"] = reply["usage"] if isinstance(reply.get("usage"), dict) else None
    record["reported_model"] = reply["model"] if isinstance(reply.get("model"), str) else None
