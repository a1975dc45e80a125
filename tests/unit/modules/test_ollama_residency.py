"""What the module ollama_residency answers."""

from __future__ import annotations

from typing import Any

import pytest

from plugins.modules import ollama_residency
from tests.module_doors import call_module
from tests.unit.residencies import ThoughtEngine, loaded

MODELS = [{"name": "a", "context_tokens": 4096}, {"name": "b", "context_tokens": 4096, "load_order": 2}]


def answered(monkeypatch: pytest.MonkeyPatch, engine: Any, **options: Any) -> dict[str, Any]:
    monkeypatch.setattr(ollama_residency, "ResidentEngine", lambda _url, _timeout: engine)
    return call_module("ollama_residency", **{"models": MODELS, "start_timeout_s": 0, **options})


DEAD = ThoughtEngine(dead=True)
CASES = [
    ("nothing there", {}, {}, {"changed": True, "loaded": ["a", "b"], "findings": []}),
    ("all there", {"models": {"a": loaded("a"), "b": loaded("b")}}, {}, {"changed": False, "loaded": [], "findings": []}),
    (
        "foreign",
        {"models": {"a": loaded("a"), "b": loaded("b"), "f": loaded("f")}},
        {},
        {"changed": False, "foreign": ["f:latest"]},
    ),
    ("does not fit", {"slots": 1}, {}, {"changed": True, "failed": True}),
    ("dead", {"dead": True}, {}, {"changed": False, "failed": True, "loaded": []}),
    ("check", {}, {"check_mode": True}, {"changed": True, "loaded": ["a", "b"]}),
    ("check, all there", {"models": {"a": loaded("a"), "b": loaded("b")}}, {"check_mode": True}, {"changed": False}),
    ("check, dead", {"dead": True}, {"check_mode": True}, {"changed": True, "loaded": ["a", "b"]}),
    ("reported", {}, {"state": "reported"}, {"changed": False, "findings": ["a is not loaded", "b is not loaded"]}),
    ("reported, dead", {"dead": True}, {"state": "reported"}, {"failed": True}),
    (
        "bad set",
        {},
        {"models": [*MODELS, MODELS[0]]},
        {"failed": True, "msg": "models: a:latest more than once, expected each name once"},
    ),
]


@pytest.mark.parametrize(("engine", "options", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_answers(
    engine: dict[str, Any],
    options: dict[str, Any],
    expected: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = answered(monkeypatch, thought := ThoughtEngine(**engine), **options)
    assert {key: found.get(key, False) for key in expected} == expected
    assert bool(found.get("failed")) is bool(expected.get("failed"))
    if "check_mode" in options and found["changed"]:
        assert "a would be loaded" in found["diff"]["after"]
    if "check_mode" in options or options.get("state") == "reported":
        assert thought.asked == []


def test_a_failure_says_each_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    found = answered(monkeypatch, ThoughtEngine(broken=("b",)))
    assert found["msg"].splitlines() == ["the resident set is not as planned:", *found["findings"]]
    assert "status 500: it is broken" in found["findings"][0]
    assert (found["diff"]["before"], "a:latest context 4096" in found["diff"]["after"]) == ("", True)
