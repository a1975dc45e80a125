"""The timed path against an engine that follows a script: what is recorded, when it is stamped, what each fault is called."""

from __future__ import annotations

import socket
import sys
from typing import Any

import pytest

from plugins.module_utils.connection import Endpoint
from plugins.module_utils.stream import BODY_LIMIT_BYTES, ERROR_KINDS, chat, embed, get
from tests.scripted_engine import (
    DONE,
    END,
    HEAD,
    HELLO,
    ROLE,
    ScriptedEngine,
    chunked,
    delta,
    event,
    finish,
    framed,
    nobody,
    reply,
    usage,
)

BODY = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 8, "temperature": 0.0}


def ask(script: list[Any], timeout_s: float = 10.0) -> tuple[dict[str, Any], ScriptedEngine]:
    with ScriptedEngine(lambda _asked: script) as engine:
        return chat(Endpoint(engine.url), BODY, timeout_s), engine


REASONED = [ROLE, delta(reasoning="why"), delta("", reasoning="?"), delta("so"), finish(), usage(9), DONE]
LAST = HEAD.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
ENDLESS = HEAD.replace(b"Transfer-Encoding: chunked\r\n", b"")
OUT_OF_MEMORY = event({"error": {"message": "CUDA out of memory"}})
GOOD = [
    # name, script, content, reasoning, number of stamped chunks, tokens
    ("as llama.cpp writes it", chunked(HELLO), "Hello", "", 2, 2),
    ("several tokens per chunk", chunked([ROLE, delta("one "), delta("two"), finish(), usage(6), DONE]), "one two", "", 2, 6),
    ("reasoning first", chunked(REASONED), "so", "why?", 3, 9),
    ("reasoning only", chunked([delta(reasoning_content="hm"), finish("length"), usage(1), DONE]), "", "hm", 1, 1),
    ("comments", chunked([b": ping\n\n", delta("a"), b": ping\n\n", delta("b"), finish(), usage(2), DONE]), "ab", "", 2, 2),
    ("CRLF", chunked([step.replace(b"\n", b"\r\n") for step in HELLO]), "Hello", "", 2, 2),
    ("no space after data:", chunked([step.replace(b"data: ", b"data:") for step in HELLO]), "Hello", "", 2, 2),
    ("all in one piece", chunked([b"".join(HELLO)]), "Hello", "", 2, 2),
    ("byte by byte", chunked([bytes([byte]) for step in HELLO for byte in step]), "Hello", "", 2, 2),
    ("without [DONE]", chunked(HELLO[:-1]), "Hello", "", 2, 2),
    ("without finish_reason", chunked([delta("a"), DONE]), "a", "", 1, None),
    ("last event without blank line", chunked([*HELLO[:-1], b"data: [DONE]"]), "Hello", "", 2, 2),
    ("a declared length", [reply(b"".join(HELLO), kind="text/event-stream; charset=utf-8")], "Hello", "", 2, 2),
    ("ends with the connection", [ENDLESS, *HELLO, ("close",)], "Hello", "", 2, 2),
    ("a close announced and kept", [LAST, framed(b"".join(HELLO)), END, ("close",)], "Hello", "", 2, 2),
    ("broken off after [DONE]", [*chunked(HELLO, end=b""), ("reset",)], "Hello", "", 2, 2),
    ("unknown fields and nulls", chunked([event({"choices": [], "x": 1}), event({}), *HELLO]), "Hello", "", 2, 2),
    ("zero usage before the real one", chunked([usage(0), delta("a"), usage(0), usage(3), DONE]), "a", "", 1, 3),
]


@pytest.mark.parametrize(
    ("script", "content", "reasoning", "chunks", "tokens"), [row[1:] for row in GOOD], ids=[row[0] for row in GOOD]
)
def test_every_way_to_stream_an_answer(script, content, reasoning, chunks, tokens) -> None:
    record, engine = ask(script)
    assert record["error"] is None
    assert (record["content"], record["reasoning"]) == (content, reasoning)
    assert len(record["times"]["token_chunks_ns"]) == chunks
    assert (record["usage"] or {}).get("completion_tokens") == tokens
    assert engine.asked[0].body == {**BODY, "stream": True, "stream_options": {"include_usage": True}}


BAD = [
    ("cut between events", chunked([ROLE, delta("a")]), "truncated", "without finish_reason or [DONE]", "a"),
    ("cut inside an event", chunked([delta("a"), delta("b")[:20]]), "truncated", "inside an event", "a"),
    ("cut inside a chunk", [HEAD, framed(delta("a")), b"ff\r\ndata: {", ("close",)], "truncated", "middle of the reply", "a"),
    ("reset in the middle", [*chunked([delta("a")], end=b""), ("at", 0.05), ("reset",)], "truncated", "connection", "a"),
    ("closed before a byte", [("close",)], "truncated", "connection", None),
    ("short of its length", [reply(b"data: x", kind="text/event-stream")[:-3], ("close",)], "truncated", "3 bytes before", None),
    ("an error inside a 200", chunked([delta("a"), OUT_OF_MEMORY]), "engine", "CUDA out of memory", "a"),
    ("an error body instead of a stream", [reply({"error": {"message": "busy"}})], "engine", "busy", None),
    ("a whole reply instead of a stream", [reply({"choices": []})], "malformed", "expected text/event-stream", None),
    ("not JSON", chunked([delta("a"), event("{nonsense"), DONE]), "malformed", "nonsense", "a"),
    ("not UTF-8", chunked([b"data: \xff\xfe\n\n", DONE]), "malformed", "UTF-8", None),
    ("not HTTP", [b"SSH-2.0-nonsense\r\n\r\n", ("close",)], "malformed", "HTTP", None),
    ("500 with a reason", [reply({"error": {"message": "no slot"}}, "500 Error")], "http", "status 500: no slot", None),
    ("404 with text", [reply(b"not here", "404 Not Found", "text/plain")], "http", "status 404: not here", None),
    ("a redirect", [reply(b"", "302 Found")], "http", "302", None),
    ("no answer at all", chunked([ROLE, finish(), usage(0), DONE]), "empty", "without any answer", ""),
    ("only empty content", chunked([delta(""), finish("length"), DONE]), "empty", "finish_reason length", ""),
]


@pytest.mark.parametrize(("script", "kind", "words", "content"), [row[1:] for row in BAD], ids=[row[0] for row in BAD])
def test_every_fault_has_its_kind_and_keeps_what_came(script, kind, words, content) -> None:
    record, _engine = ask(script)
    assert kind in ERROR_KINDS
    assert record["error"]["kind"] == kind
    assert words in record["error"]["message"]
    assert record["content"] == content


def drops(drop: bytes) -> list[Any]:
    """A drop every 50 ms for five seconds."""
    return [step for number in range(100) for step in (drop, ("at", number * 0.05))]


HANGS = [
    ("before the headers", [("hang",)]),
    ("after the headers", [HEAD, ("hang",)]),
    ("in the middle", [*chunked([delta("a")], end=b""), ("hang",)]),
    # Every read succeeds within the limit; only the sum is too long.
    ("drop by drop", [HEAD, *drops(framed(b": ping\n\n"))]),
    ("drop by drop in the headers", drops(b"H")),
]


@pytest.mark.parametrize("script", [row[1] for row in HANGS], ids=[row[0] for row in HANGS])
def test_the_deadline_is_for_the_whole_request(script) -> None:
    record, _engine = ask(script, timeout_s=0.2)
    assert record["error"]["kind"] == "timeout"
    assert "0.2 s" in record["error"]["message"]
    # Far from the script's own five seconds, and wide enough for a busy machine.
    assert record["times"]["end_ns"] is None or record["times"]["end_ns"] < 4e9


def test_nobody_listens() -> None:
    with nobody() as url:
        record = chat(Endpoint(url), BODY, 5.0)
    assert record["error"]["kind"] == "connect"
    assert url in record["error"]["message"]
    assert record["times"]["started_ns"] is None


@pytest.mark.parametrize("url", ["ftp://x", "http://", "nonsense", "http://127.0.0.1:notaport", "http://no-such-host.invalid"])
def test_an_address_that_cannot_be_reached_is_data_too(url: str) -> None:
    assert chat(Endpoint(url), BODY, 5.0)["error"]["kind"] == "connect"


def test_stamps_follow_the_sends_and_the_role_chunk_is_no_token() -> None:
    tokens = [("at", 0.03), delta(reasoning="r"), ("at", 0.06), delta("a"), ("at", 0.09), delta("b")]
    steps = [ROLE, *tokens, finish(), ("at", 0.12), usage(3), DONE]
    record, engine = ask(chunked(steps))
    times, sent = record["times"], engine.asked[0].sent_ns
    # Both clocks are this process's: a chunk cannot be stamped before it was sent. sent: head, role, r, a, b, …
    stamps = [times["started_ns"] + stamp for stamp in times["token_chunks_ns"]]
    assert all(stamp >= at for stamp, at in zip(stamps, sent[2:5], strict=True))
    assert times["first_token_ns"] == times["token_chunks_ns"][0]
    assert times["first_answer_ns"] == times["token_chunks_ns"][1]
    assert times["last_token_ns"] == times["token_chunks_ns"][2]
    # The usage chunk came later than the last token, and only the end of the stream shows it.
    assert times["started_ns"] + times["end_ns"] >= sent[-2]
    assert times["started_ns"] <= engine.asked[0].read_ns


def test_chunks_of_one_read_share_its_stamp() -> None:
    record, _engine = ask(chunked([b"".join([delta("a"), delta("b")]), finish(), DONE]))
    assert len(set(record["times"]["token_chunks_ns"])) == 1


def test_one_connection_carries_all_requests() -> None:
    with ScriptedEngine() as engine:
        endpoint = Endpoint(engine.url)
        records = [chat(endpoint, BODY, 5.0), chat(endpoint, BODY, 5.0), embed(endpoint, {"model": "m", "input": "x"}, 5.0)]
        assert [record["error"] for record in records] == [None] * 3
        assert engine.connections == 1
        assert [record["connection"]["request_number"] for record in records] == [1, 2, 3]
        assert endpoint._connection.sock.plain.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_a_connection_that_the_engine_closed_is_opened_again_before_the_clock_starts() -> None:
    with ScriptedEngine(lambda _asked: [*chunked(HELLO), ("close",)]) as engine:
        endpoint = Endpoint(engine.url)
        chat(endpoint, BODY, 5.0)
        while not endpoint._was_closed_by_peer():
            pass
        record = chat(endpoint, BODY, 5.0)
    assert record["error"] is None
    assert (record["connection"]["opened"], engine.connections) == (2, 2)


def test_a_get_on_a_used_connection_is_asked_again_on_a_new_one() -> None:
    def answer(asked):
        return [("close",)] if asked.path == "/health" and asked.connection == 1 else None

    with ScriptedEngine(answer) as engine:
        endpoint = Endpoint(engine.url)
        get(endpoint, "/v1/models", 5.0)
        assert "ok" in get(endpoint, "/health", 5.0)
        assert engine.connections == 2


def test_a_path_in_the_address_is_a_prefix() -> None:
    with ScriptedEngine(lambda _asked: chunked(HELLO)) as engine:
        chat(Endpoint(engine.url + "/prefix/"), BODY, 5.0)
        assert engine.asked[0].path == "/prefix/v1/chat/completions"


EMBEDDINGS = [
    ({"data": [{"embedding": [1, 2.5, 3, 4, 5]}], "model": "e", "usage": {"prompt_tokens": 4}}, 5, [1.0, 2.5, 3.0, 4.0], None),
    ({"data": [{"embedding": []}]}, None, None, "empty"),
    ({"data": []}, None, None, "malformed"),
    ({}, None, None, "malformed"),
    ({"data": [{"embedding": "AAAA"}]}, None, None, "malformed"),
    ({"data": [{"embedding": [1, None]}]}, None, None, "malformed"),
    ({"error": {"message": "no embeddings here"}}, None, None, "engine"),
]


@pytest.mark.parametrize(("body", "dimension", "head", "kind"), EMBEDDINGS)
def test_embeddings(body, dimension, head, kind) -> None:
    with ScriptedEngine(lambda _asked: [reply(body)]) as engine:
        record = embed(Endpoint(engine.url), {"model": "e", "input": "x"}, 5.0)
    assert (record["dimension"], record["vector_head"]) == (dimension, head)
    assert (record["error"] or {}).get("kind") == kind
    assert record["times"]["end_ns"] is not None
    assert engine.asked[0].body == {"model": "e", "input": "x", "encoding_format": "float"}


def test_a_reply_without_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    assert BODY_LIMIT_BYTES > 1_000_000
    monkeypatch.setattr(sys.modules[chat.__module__], "BODY_LIMIT_BYTES", 10_000)
    record, _engine = ask(chunked([delta("x" * 1000)] * 50))
    assert record["error"]["kind"] == "malformed"
    assert "longer than" in record["error"]["message"]


def test_text_that_json_cannot_carry_is_sent_and_received_without_a_traceback() -> None:
    half = b'data: {"choices":[{"delta":{"content":"\\ud83d"}}]}\n\n'
    other = b'data: {"choices":[{"delta":{"content":"\\ude00"},"finish_reason":"stop"}],"usage":{"x":NaN}}\n\n'
    record, _engine = ask(chunked([half, other, DONE]))
    assert record["content"] == "\U0001f600"
    assert record["usage"] == {"x": None}
