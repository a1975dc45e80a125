"""Events out of bytes and answers out of events, whatever way an engine writes them."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plugins.module_utils.connection import RequestFailed
from plugins.module_utils.events import NESTING_MOST, Answer, EventParser, cleaned, error_text
from tests.unit.any_text import any_text

GRAMMARS = [
    (b"data: a\n\ndata: b\n\n", ["a", "b"]),
    (b"data: a\r\n\r\ndata: b\r\n\r\n", ["a", "b"]),
    (b"data: a\n\r\n", ["a"]),
    (b"data:a\n\n", ["a"]),
    (b"data:  a\n\n", [" a"]),
    (b": ping\n\ndata: a\n\n: ping\n\n", ["a"]),
    (b": ping\ndata: a\n\n", ["a"]),
    (b"event: chunk\nid: 7\nretry: 1\ndata: a\n\n", ["a"]),
    (b"data: a\ndata: b\n\n", ["a\nb"]),
    (b"\n\n\n\ndata: a\n\n\n\n", ["a"]),
    (b"data: \n\n", [""]),
    ("data: \u00fc\U0001f600\n\n".encode(), ["\u00fc\U0001f600"]),
    (b"data: cut off", []),
    (b"dat", []),
]


def events_of(stream: bytes, cuts: list[int]) -> list[str]:
    parser = EventParser()
    edges = [0, *sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]
    return [event for begin, end in pairwise(edges) for event in parser.feed(stream[begin:end])]


@pytest.mark.parametrize(("stream", "expected"), GRAMMARS)
@pytest.mark.parametrize("cuts", [[], list(range(60))], ids=["whole", "byte by byte"])
def test_every_grammar_is_understood(stream: bytes, expected: list[str], cuts: list[int]) -> None:
    assert events_of(stream, cuts) == expected


@given(st.sampled_from(GRAMMARS), st.sampled_from(GRAMMARS[:-2]), st.lists(st.integers(0, 10_000), max_size=12))
@settings(max_examples=100, deadline=None)
def test_where_the_network_cuts_does_not_matter(last: tuple, first: tuple, cuts: list[int]) -> None:
    assert events_of(first[0] + last[0], cuts) == [*first[1], *last[1]]


@pytest.mark.parametrize(("stream", "expected"), [(b"data: [DONE]", ["[DONE]"]), (b"data: a\n", ["a"]), (b": x", []), (b"", [])])
def test_the_end_of_the_body_ends_the_last_event(stream: bytes, expected: list[str]) -> None:
    parser = EventParser()
    assert parser.feed(stream) + parser.finish() == expected


def test_broken_utf_8_is_malformed() -> None:
    with pytest.raises(RequestFailed) as caught:
        EventParser().feed(b"data: \xff\n\n")
    assert caught.value.kind == "malformed"


def chunk(delta: object, **more: object) -> str:
    return json.dumps({"choices": [{"delta": delta, **more}]})


# events -> content, reasoning, tool calls, positions of the token-bearing events, position of the first answer
ANSWERS = [
    ([chunk({"role": "assistant", "content": ""}), chunk({"content": "a"}), chunk({"content": "b"})], "ab", "", [], [1, 2], 1),
    ([chunk({"role": "assistant", "content": None}), chunk({"content": "a"})], "a", "", [], [1], 1),
    ([chunk({"content": "", "reasoning": "r"}), chunk({"content": "a"})], "a", "r", [], [0, 1], 1),
    ([chunk({"reasoning_content": "r"}), chunk({"reasoning_content": "s"})], "", "rs", [], [0, 1], None),
    ([chunk({"reasoning": "r", "reasoning_content": "r"})], "", "r", [], [0], None),
    ([chunk({"reasoning_content": "r", "content": "a"})], "a", "r", [], [0], 0),
    (
        [
            chunk({"tool_calls": [{"index": 0, "function": {"name": "f", "arguments": '{"a"'}}]}),
            chunk({"tool_calls": [{"index": 0, "function": {"arguments": ":1}"}}]}),
        ],
        "",
        "",
        [{"name": "f", "arguments": '{"a":1}'}],
        [0, 1],
        0,
    ),
    (
        [chunk({"tool_calls": [None, {"function": None}]}), chunk({"tool_calls": []})],
        "",
        "",
        [{"name": "", "arguments": ""}],
        [0],
        0,
    ),
    ([chunk(None), chunk([]), chunk({"content": 7}), chunk({"content": ["x"]}), '{"choices": null}', "{}"], "", "", [], [], None),
]


@pytest.mark.parametrize(("events", "content", "reasoning", "calls", "stamps", "first_answer"), ANSWERS)
def test_an_answer_is_put_together(events, content, reasoning, calls, stamps, first_answer) -> None:
    answer = Answer()
    for position, data in enumerate(events):
        answer.take(data, position)
    assert ("".join(answer.content), "".join(answer.reasoning)) == (content, reasoning)
    assert [answer.tool_calls[index] for index in sorted(answer.tool_calls)] == calls
    assert (answer.token_ns, answer.first_answer_ns) == (stamps, first_answer)


def test_the_last_usage_counts() -> None:
    answer = Answer()
    for count in (0, 0, 5):
        answer.take(json.dumps({"usage": {"completion_tokens": count}, "choices": []}), 0)
    answer.take('{"usage": null, "choices": []}', 0)
    assert answer.usage == {"completion_tokens": 5}


@pytest.mark.parametrize(
    ("data", "kind", "words"),
    [
        ('{"error": {"message": "out of memory"}}', "engine", "out of memory"),
        ('{"error": "plain"}', "engine", "plain"),
        ('{"error": {"code": 7}}', "engine", "7"),
        ("{", "malformed", "JSON"),
        ("[1]", "malformed", "JSON object"),
        ("[" * 100_000, "malformed", "JSON"),
    ],
)
def test_what_is_no_chunk_is_an_error_by_kind(data: str, kind: str, words: str) -> None:
    with pytest.raises(RequestFailed) as caught:
        Answer().take(data, 0)
    assert caught.value.kind == kind
    assert words in caught.value.message
    assert len(caught.value.message) < 1000


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | any_text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(any_text(3), inner, max_size=3),
    max_leaves=20,
)


@given(JSON)
@settings(max_examples=100, deadline=None)
def test_what_is_kept_can_always_be_written(value: object) -> None:
    json.dumps(cleaned(value), allow_nan=False, ensure_ascii=False).encode("utf-8")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("\ud83d\ude00", "\U0001f600"),
        ("a\ud83d", "a\ufffd"),
        (float("nan"), None),
        (True, True),
        (None, None),
        ({"a": [float("inf"), 1.5]}, {"a": [None, 1.5]}),
    ],
)
def test_foreign_values_are_cleaned(value: object, expected: object) -> None:
    assert cleaned(value) == expected


def test_an_error_can_always_be_written() -> None:
    assert error_text({"message": "a\ud83d"}) == "a\ufffd"


def test_deep_nesting_is_cut() -> None:
    value: object = 1
    for _level in range(NESTING_MOST + 500):
        value = [value]
    depth, inner = 0, cleaned(value)
    while isinstance(inner, list):
        depth, inner = depth + 1, inner[0]
    assert (depth, inner) == (NESTING_MOST, None)
