"""What a client gets through the router is what the engine said: the same request, asked of the engine and through LiteLLM.

The configuration is the one that production gets. The models are tiny and say little of sense; in which form they say it is what
clients of tools, schemas and reasoning depend on. No vision model is small enough for a test: images go to a backend that
records.
"""

from __future__ import annotations

import base64
import contextlib
import json
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.engines.conftest import built
from tests.engines.servers import ANSWER_S, Server, create, llama_server, ollama
from tests.proxy import conversations
from tests.proxy.answers import joined, pieces, told
from tests.proxy.recorder import PIECES, SENTENCE, Recorder, recorder
from tests.proxy.router import OLLAMA_SERVER, Backend, Proxy, config_of, litellm_proxy
from tests.rules.environments import PINNED, Unavailable, python_of

pytestmark = pytest.mark.engines

MODEL = "smollm2-135m"
# One thread each: several wait for each other after every layer, and three engines share the cores of a small machine.
LLAMA_CPP = ("--ctx-size", "2048", "--parallel", "1", "--threads", "1")
CHAT = ("--jinja", "--reasoning-format", "deepseek", "--chat-template-file")
VECTORS = ("--embedding", "--pooling", "mean")
OLLAMA = {
    **{f"OLLAMA_{name.upper()}": str(value) for name, value in OLLAMA_SERVER.items()},
    "LLAMA_ARG_THREADS": "1",
    "LLAMA_ARG_EMBEDDINGS": "1",
    "LLAMA_ARG_POOLING": "mean",
    "OLLAMA_NUM_PARALLEL": "1",
}
RECORDER = "recorder"


@dataclass(frozen=True)
class House:
    """A router and the engines behind it; an alias has the name of its host, a dash and what it is for."""

    proxy: Proxy
    backends: Mapping[str, Backend]
    recorder: Recorder

    def direct(self, alias: str, path: str, body: Mapping[str, Any]) -> bytes:
        """The engine's own answer."""
        backend = self.backends[alias]
        data = json.dumps({**body, "model": backend.engine_model}).encode()
        request = urllib.request.Request(backend.url + path, data, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=ANSWER_S) as answer:
            return bytes(answer.read())

    def routed(self, alias: str, path: str, body: Mapping[str, Any]) -> bytes:
        """The answer that a client of the router gets, of this engine and no other."""
        reply = self.proxy.post(path, {**body, "model": alias}, ANSWER_S)
        assert reply.status == 200, reply.content
        assert reply.headers["x-litellm-model-api-base"] == f"{self.backends[alias].url}/v1"
        return reply.content

    def both(self, alias: str, path: str, body: Mapping[str, Any]) -> tuple[bytes, bytes]:
        """The first answer is thrown away: with it the prompt is in the engine's cache for both of the others."""
        self.direct(alias, path, body)
        return self.direct(alias, path, body), self.routed(alias, path, body)


def derive(server: Server, name: str, template: str) -> None:
    said = server.ask("/api/create", {"model": name, "from": MODEL, "template": template, "stream": False})
    assert said["status"] == "success"


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder, model = tmp_path_factory.mktemp("conformance"), built(MODEL) / "model.gguf"
    try:
        python_of(PINNED)
    except Unavailable as reason:
        pytest.skip(str(reason))
    template = folder / "template.jinja"
    template.write_text(conversations.JINJA, encoding="utf-8")
    with contextlib.ExitStack() as stack:
        llama_cpp = built("llama-cpp-b10488")
        chat = stack.enter_context(llama_server(llama_cpp, model, [*LLAMA_CPP, *CHAT, str(template)], folder / "chat.log"))
        vectors = stack.enter_context(llama_server(llama_cpp, model, [*LLAMA_CPP, *VECTORS], folder / "vectors.log"))
        store = folder / "ollama"
        store.mkdir()
        other = stack.enter_context(ollama(built("ollama-0.33.0"), store, OLLAMA))
        create(other, store, MODEL, model)
        derive(other, "calling", conversations.CALLING)
        derive(other, "thinking", conversations.THINKING)
        derive(other, "vectors", "{{ .Prompt }}")
        recording = stack.enter_context(recorder())
        backends = {
            "llama_cpp-chat": Backend("one", chat.url, MODEL),
            "llama_cpp-vectors": Backend("two", vectors.url, MODEL, mode="embedding"),
            "ollama-chat": Backend("three", other.url, MODEL, "ollama"),
            "ollama-calling": Backend("three", other.url, "calling", "ollama"),
            "ollama-thinking": Backend("three", other.url, "thinking", "ollama"),
            "ollama-vectors": Backend("three", other.url, "vectors", "ollama", "embedding"),
            RECORDER: Backend("four", recording.url, RECORDER, "external"),
        }
        config = config_of({alias: [backend] for alias, backend in backends.items()}, timeout_s=ANSWER_S)
        proxy = stack.enter_context(litellm_proxy(config, folder / "proxy"))
        yield House(proxy, backends, recording)


CHATS = {
    "llama.cpp, plain": ("llama_cpp-chat", conversations.PLAIN, "content"),
    "llama.cpp, JSON by a schema": ("llama_cpp-chat", conversations.BY_SCHEMA, "content"),
    "llama.cpp, a call of a tool": ("llama_cpp-chat", conversations.CALL_LLAMA_CPP, "calls"),
    "llama.cpp, reasoning": ("llama_cpp-chat", conversations.REASONED_LLAMA_CPP, "reasoning"),
    "Ollama, plain": ("ollama-chat", conversations.PLAIN, "content"),
    "Ollama, JSON by a schema": ("ollama-chat", conversations.BY_SCHEMA, "content"),
    "Ollama, a call of a tool": ("ollama-calling", conversations.CALL_OLLAMA, "calls"),
    "Ollama, reasoning": ("ollama-thinking", conversations.PLAIN, "reasoning"),
}
PATH = "/v1/chat/completions"


@pytest.mark.parametrize(("alias", "body", "present"), CHATS.values(), ids=CHATS)
def test_an_answer_comes_through_as_it_is(house: House, alias: str, body: dict[str, Any], present: str) -> None:
    direct, routed = (told(json.loads(content)) for content in house.both(alias, PATH, body))
    assert direct[present], direct
    assert routed == direct


@pytest.mark.parametrize(("alias", "body", "present"), CHATS.values(), ids=CHATS)
def test_a_stream_comes_through_as_it_is(house: House, alias: str, body: dict[str, Any], present: str) -> None:
    wanted = {**body, "stream": True, "stream_options": {"include_usage": True}}
    direct, routed = (pieces(content) for content in house.both(alias, PATH, wanted))
    assert joined(direct)[present], direct
    assert joined(routed) == joined(direct)
    # What the engine sent in pieces has not been put together on the way.
    assert len(spoken(direct)) == len(spoken(routed)) > 0


def test_a_piece_comes_through_before_the_next_one_is_said(house: House) -> None:
    """The backend says the second piece when the first has been heard here: a router that waits for the end waits for ever."""
    house.recorder.heard.clear()
    connection = house.proxy.connect(ANSWER_S)
    with contextlib.closing(connection):
        asked = {**conversations.PLAIN, "model": RECORDER, "stream": True}
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {house.proxy.key}"}
        connection.request("POST", PATH, json.dumps(asked).encode(), headers)
        answer = connection.getresponse()
        first = b""
        while PIECES[0].encode() not in first and (line := answer.readline()):
            first += line
        house.recorder.heard.set()
        chunks = pieces(first + answer.read())
    assert [choice["delta"]["content"] for chunk in spoken(chunks) for choice in chunk["choices"]] == list(PIECES)


def spoken(chunks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The pieces that carry some of the answer."""
    names = ("content", "reasoning", "reasoning_content", "tool_calls")
    return [chunk for chunk in chunks if any(choice["delta"].get(name) for choice in chunk["choices"] for name in names)]


@pytest.mark.parametrize("alias", ["llama_cpp-chat", "ollama-chat"])
def test_json_keeps_to_its_schema(house: House, alias: str) -> None:
    body = json.loads(house.routed(alias, PATH, conversations.BY_SCHEMA))
    wanted = conversations.BY_SCHEMA["response_format"]["json_schema"]["schema"]
    jsonschema.validate(json.loads(told(body)["content"]), wanted)


@pytest.mark.parametrize(
    ("alias", "body"),
    [("llama_cpp-chat", conversations.CALL_LLAMA_CPP), ("ollama-calling", conversations.CALL_OLLAMA)],
    ids=["llama.cpp", "Ollama"],
)
def test_a_call_names_a_tool_that_was_offered(house: House, alias: str, body: dict[str, Any]) -> None:
    answer = told(json.loads(house.routed(alias, PATH, body)))
    [(name, arguments)] = answer["calls"]
    assert (name, answer["finish_reason"]) == ("get_weather", "tool_calls")
    jsonschema.validate(arguments, conversations.WEATHER)


@pytest.mark.parametrize("alias", ["llama_cpp-vectors", "ollama-vectors"])
@pytest.mark.parametrize("form", [None, "float", "base64"])
def test_vectors_come_through_as_they_are(house: House, alias: str, form: str | None) -> None:
    body = {"input": ["a lamp", "the second, longer text"], **({"encoding_format": form} if form else {})}
    direct, routed = (json.loads(content) for content in house.both(alias, "/v1/embeddings", body))
    assert [item["index"] for item in routed["data"]] == [0, 1]
    assert routed["data"][0]["embedding"] != routed["data"][1]["embedding"]
    assert [item["embedding"] for item in routed["data"]] == [item["embedding"] for item in direct["data"]]
    assert {name: routed["usage"][name] for name in ("prompt_tokens", "total_tokens")} == {
        name: direct["usage"][name] for name in ("prompt_tokens", "total_tokens")
    }


def test_a_request_with_an_image_arrives_byte_for_byte(house: House, tmp_path: Path) -> None:
    """Text, a small picture, and one that is larger than any buffer on the way."""
    large = base64.b64encode(bytes(range(256)) * 4096).decode()
    images = [
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}"}} for data in (conversations.PIXEL, large)
    ]
    messages = [{"role": "user", "content": [{"type": "text", "text": "What is this?"}, *images]}]
    body = {**conversations.BASE, "messages": messages}
    house.recorder.requests.clear()
    answer = json.loads(house.routed(RECORDER, PATH, body))
    assert house.recorder.requests == [(PATH, {**body, "model": RECORDER})]
    assert told(answer) == told(SENTENCE)
