"""How an Ollama is asked to look, load and unload; the answers are those of a script."""

from __future__ import annotations

from typing import Any

import pytest

from plugins.module_utils.connection import RequestFailed
from plugins.module_utils.resident_engine import ResidentEngine, stored
from tests.scripted_engine import Asked, ScriptedEngine, nobody, reply
from tests.unit.residencies import FOREVER

PS = [{"name": "a:latest", "digest": "d1", "size": 9, "size_vram": 9, "context_length": 512, "expires_at": FOREVER}]
TAGS = [
    {
        "name": "b:1",
        "digest": "d2",
        "size": 7,
        "modified_at": "2026-11-21T20:00:00Z",
        "details": {"family": "llama", "parameter_size": "8.0B", "quantization_level": "Q4_K_M", "context_length": 4096},
        "capabilities": ["completion"],
    },
    {"name": "a:latest", "digest": "d1", "size": 5},
]


class Script:
    """Answers by path; what is loaded goes when it is told to."""

    def __init__(self, capabilities: Any = None, stays: bool = False, **replies: Any) -> None:
        self.loaded, self.stays = list(PS), stays
        shown = {"capabilities": capabilities, "model_info": {"general.architecture": "llama", "llama.context_length": 2048}}
        self.replies = {"/api/tags": {"models": TAGS}, "/api/version": {"version": "0.33.0"}, "/api/show": shown, **replies}

    def __call__(self, asked: Asked) -> list[Any]:
        if asked.method == "POST" and (asked.body or {}).get("keep_alive") == 0 and not self.stays:
            self.loaded = []
        found = {"models": self.loaded} if asked.path == "/api/ps" else self.replies.get(asked.path, {"done": True})
        return [reply({"error": "no"}, "404 Not Found")] if found is None else [reply(found)]


def posts(server: ScriptedEngine) -> list[tuple[str, Any]]:
    return [(asked.path, asked.body) for asked in server.posts() if asked.path != "/api/show"]


def test_a_look_has_the_store_by_name() -> None:
    with ScriptedEngine(Script()) as server:
        found = ResidentEngine(server.url).look()
    assert (found["error"], found["version"], [item["name"] for item in found["models"]]) == (None, "0.33.0", ["a:latest"])
    assert [(item["name"], item["trained_context_tokens"]) for item in found["installed"]] == [("a:latest", 2048), ("b:1", 4096)]


def test_what_the_engine_leaves_out_is_none() -> None:
    assert set(stored({"name": "a"}).values()) == {"a", None}
    assert stored({"name": "a", "details": 5, "capabilities": "x", "size": "7"})["size_bytes"] is None


@pytest.mark.parametrize("answer", [None, {}, {"model_info": 5}, {"model_info": {"llama.context_length": "x"}}])
def test_a_context_that_nobody_tells_is_none(answer: Any) -> None:
    with ScriptedEngine(Script(**{"/api/show": answer})) as server:
        found = ResidentEngine(server.url).look()
    assert (found["error"], found["installed"][0]["trained_context_tokens"]) == (None, None)


@pytest.mark.parametrize(
    ("capabilities", "embedding", "path"),
    [
        (["completion"], False, "/api/generate"),
        (["completion"], True, "/api/generate"),
        (["embedding"], False, "/api/embed"),
        (["embedding", "completion"], True, "/api/generate"),
        (None, False, "/api/generate"),
        (None, True, "/api/embed"),
        ([], True, "/api/embed"),
    ],
)
def test_what_a_model_can_do_decides_how_it_is_loaded(capabilities: Any, embedding: bool, path: str) -> None:
    with ScriptedEngine(Script(capabilities)) as server:
        ResidentEngine(server.url).load("a", embedding)
        assert posts(server) == [(path, {"model": "a", "keep_alive": -1, "stream": False})]


def test_a_model_that_is_not_there_is_an_error() -> None:
    with ScriptedEngine(Script(**{"/api/show": None})) as server, pytest.raises(RequestFailed, match="404"):
        ResidentEngine(server.url).load("a", False)


def test_unloading_waits_until_it_is_gone() -> None:
    with ScriptedEngine(Script()) as server:
        ResidentEngine(server.url).unload("a", "d1")
        assert posts(server) == [("/api/generate", {"model": "a", "keep_alive": 0, "stream": False})]


@pytest.mark.parametrize("stays", [True, False])
def test_a_file_that_is_loaded_under_another_name_may_go(stays: bool) -> None:
    with ScriptedEngine(Script(stays=stays)) as server:
        ResidentEngine(server.url).unload("b:1", None)
        assert posts(server) == [("/api/generate", {"model": "b:1", "keep_alive": 0, "stream": False})]


def test_what_does_not_go_is_an_error() -> None:
    with ScriptedEngine(Script(stays=True)) as server, pytest.raises(RequestFailed, match=r"a is still loaded 0\.2 s after"):
        ResidentEngine(server.url).unload("a", "d1", 0.2)


@pytest.mark.parametrize(("path", "kind"), [("/api/tags", "http"), (None, "connect")])
def test_an_engine_that_does_not_answer_is_an_error_in_the_receipt(path: str | None, kind: str) -> None:
    if path is None:
        with nobody() as url:
            assert ResidentEngine(url).look()["error"]["kind"] == kind
        return
    with ScriptedEngine(Script(**{path: None})) as server:
        assert ResidentEngine(server.url).look()["error"]["kind"] == kind
