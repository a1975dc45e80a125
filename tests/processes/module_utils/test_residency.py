"""Receipts: what each engine says about its loaded models, also when it says something odd or nothing."""

from __future__ import annotations

from typing import Any

import pytest

from plugins.module_utils.connection import Endpoint
from plugins.module_utils.residency import counters_of, full_name, restarted, take
from tests.scripted_engine import ScriptedEngine, nobody, reply
from tests.unit.benchmarks import failed, receipt

PROPS = {"default_generation_settings": {"n_ctx": 8192}, "media_marker": "life-7", "build_info": "b42"}
METRICS = b"# HELP x\nllamacpp:n_decode_total 12\nllamacpp:prompt_tokens_total 3.5\nother 1\nllamacpp:tokens_predicted_total x\n"
LLAMA = {
    "/health": {"status": "ok"},
    "/props": PROPS,
    "/metrics": METRICS,
    "/v1/models": {"data": [{"id": "file.gguf", "aliases": ["m", "n"], "meta": {"size": 9}}]},
}
PS = {
    "models": [
        {"name": "x:1", "digest": "d2", "size": 5, "size_vram": 4, "context_length": 512, "expires_at": "2318-01-01T00:00:00Z"},
        {"name": "m:latest", "digest": "d1", "size": 9, "size_vram": 9, "context_length": 4096},
    ],
}


def asked(engine: str, replies: dict[str, Any], model: str = "m") -> dict[str, Any]:
    def answer(request):
        body = replies.get(request.path)
        return [reply(b"no", "404 Not Found")] if body is None else [reply(body)]

    with ScriptedEngine(answer) as server:
        return take(Endpoint(server.url), engine, model)


def test_llama_cpp() -> None:
    found = asked("llama_cpp", LLAMA)
    assert (found["resident"], found["instance"], found["version"], found["error"]) == (True, "life-7", "b42", None)
    assert found["counters"] == {"llamacpp:n_decode_total": 12.0, "llamacpp:prompt_tokens_total": 3.5}
    model = found["models"][0]
    assert (model["name"], model["context_tokens"], model["size_bytes"]) == ("file.gguf", 8192, 9)


LLAMA_CASES = [
    ({}, "n", True),
    ({}, "file.gguf", True),
    ({}, "other", False),
    ({"/health": {"status": "loading model"}}, "m", False),
    ({"/metrics": None, "/props": None}, "m", True),
    ({"/props": b"not json"}, "m", True),
    ({"/props": {"default_generation_settings": [], "media_marker": 7, "build_info": None}}, "m", True),
    ({"/v1/models": {"data": [{"id": "m", "aliases": 5, "meta": 5}, None, 3]}}, "m", True),
    ({"/v1/models": {"data": "m"}}, "m", False),
]


@pytest.mark.parametrize(("changes", "model", "resident"), LLAMA_CASES)
def test_llama_cpp_that_leaves_things_out(changes: dict, model: str, resident: bool) -> None:
    found = asked("llama_cpp", {**LLAMA, **changes}, model)
    assert (found["resident"], found["error"]) == (resident, None)


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"/health": None}, "http"),
        ({"/health": b"{"}, "malformed"),
        ({"/v1/models": [1]}, "malformed"),
        ({"/v1/models": None}, "http"),
    ],
)
def test_a_receipt_that_cannot_be_had_is_an_error_by_kind(changes: dict, kind: str) -> None:
    assert asked("llama_cpp", {**LLAMA, **changes})["error"]["kind"] == kind


def test_ollama() -> None:
    found = asked("ollama", {"/api/ps": PS, "/api/version": {"version": "0.33.0"}})
    assert (found["resident"], found["version"], found["instance"]) == (True, "0.33.0", None)
    assert [model["name"] for model in found["models"]] == ["m:latest", "x:1"]
    assert found["models"][1] == {
        "name": "x:1",
        "digest": "d2",
        "expires_at": "2318-01-01T00:00:00Z",
        "context_tokens": 512,
        "size_bytes": 5,
        "size_vram_bytes": 4,
    }
    assert found["models"][0]["expires_at"] is None


@pytest.mark.parametrize(
    ("models", "resident"), [([], False), (None, False), ([{"model": "m:latest"}], True), ([{"name": 7}], False)]
)
def test_ollama_without_the_model(models: object, resident: bool) -> None:
    assert asked("ollama", {"/api/ps": {"models": models}})["resident"] is resident


def test_an_external_engine_cannot_tell() -> None:
    found = asked("external", {"/v1/models": {"data": [{"id": "m"}]}})
    assert (found["resident"], [model["name"] for model in found["models"]], found["error"]) == (None, ["m"], None)
    assert asked("external", {})["error"] is None


@pytest.mark.parametrize("engine", ["llama_cpp", "ollama", "external"])
def test_nobody_there(engine: str) -> None:
    with nobody() as url:
        found = take(Endpoint(url), engine, "m")
    assert found["error"]["kind"] == "connect"
    assert found["resident"] is None


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("gemma4", "gemma4:latest"),
        ("gemma4:26b", "gemma4:26b"),
        ("reg:5000/a", "reg:5000/a:latest"),
        ("reg:5000/a:c", "reg:5000/a:c"),
    ],
)
def test_names_have_their_tag(name: str, expected: str) -> None:
    assert full_name(name) == expected


COUNT = {"llamacpp:n_decode_total": 5.0}
LESS = {"llamacpp:n_decode_total": 4.0}
LIVES = [
    (None, receipt(), None),
    (receipt(), receipt(), False),
    (receipt(), receipt(instance="life-2"), True),
    (receipt(), receipt(error=failed()), None),
    (receipt(error=failed()), receipt(), None),
    (receipt(instance=None), receipt(instance=None), None),
    (receipt(instance=None, counters=COUNT), receipt(instance=None, counters=COUNT), False),
    (receipt(instance=None, counters=COUNT), receipt(instance=None, counters=LESS), True),
    (receipt(counters=COUNT), receipt(counters=LESS), False),
]


@pytest.mark.parametrize(("earlier", "later", "expected"), LIVES)
def test_a_restart_is_told_by_marker_or_counters(earlier, later, expected) -> None:
    assert restarted(earlier, later) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, {}),
        ("", {}),
        ("llamacpp:n_decode_total", {}),
        ("llamacpp:n_decode_total x", {}),
        ("llamacpp:n_decode_total 2", {"llamacpp:n_decode_total": 2.0}),
    ],
)
def test_counters(text: str | None, expected: dict) -> None:
    assert counters_of(text) == expected
