"""residency.json and its metrics."""

from __future__ import annotations

import re

from plugins.module_utils.residency_receipt import metrics_text, receipt_document
from plugins.module_utils.residency_state import restored
from plugins.module_utils.resident_loading import Outcome, reach
from tests.unit.residencies import ThoughtEngine, loaded, sight, wanted

NOW = 1795293700.0
SAMPLE = re.compile(r'homelab_llm_[a-z_]+(\{[a-z]+="(?:[^"\\\n]|\\.)*"\})? -?[0-9.e+-]+')


def document(outcome: Outcome, *names: str) -> dict:
    expected = wanted(*names)
    return receipt_document(restored(None, expected, NOW), expected, outcome, "http://engine", NOW)


def resident() -> dict:
    engine = ThoughtEngine(models={"a": loaded("a"), "f": loaded("f")})
    return document(reach(engine, wanted("a", "b"), engine.look(), frozenset({"b"})), "a", "b")


def test_the_document_has_each_model_and_what_nobody_planned() -> None:
    found = resident()
    assert [(item["name"], item["resident"]) for item in found["models"]] == [("a", True), ("b", False)]
    assert [item["name"] for item in found["foreign"]] == ["f:latest"]
    assert found["findings"] == ["b is not loaded"]
    assert (found["engine"]["up"], found["models"][0]["for_ever"], found["models"][1]["size_bytes"]) == (True, True, None)


def test_a_dead_engine_says_nothing_of_models() -> None:
    found = document(Outcome(sight(error="no connection")), "a")
    assert found["findings"] == ["the engine does not answer: no connection"]
    text = metrics_text(found)
    assert "homelab_llm_engine_up 0\n" in text
    assert "model_resident" not in text
    assert "model_memory_bytes" not in text


def test_every_sample_has_a_help_and_a_type_of_its_own() -> None:
    lines = metrics_text(resident()).splitlines()
    names = [line.split("{")[0].split(" ")[0] for line in lines if not line.startswith("#")]
    helped = [line.split(" ")[2] for line in lines if line.startswith("# HELP ")]
    typed = {line.split(" ")[2]: line.split(" ")[3] for line in lines if line.startswith("# TYPE ")}
    assert list(dict.fromkeys(names)) == helped == list(typed)
    assert all(SAMPLE.fullmatch(line) for line in lines if not line.startswith("#"))
    assert all((kind == "counter") == name.endswith("_total") for name, kind in typed.items())


def test_a_number_may_be_of_any_size() -> None:
    found = resident()
    found["models"][0]["size_bytes"] = 10**400
    assert f'homelab_llm_model_memory_bytes{{model="a"}} {10**400}\n' in metrics_text(found)


def test_the_samples_are_those_of_the_document() -> None:
    text = metrics_text(resident())
    for sample in (
        'homelab_llm_model_resident{model="a"} 1',
        'homelab_llm_model_resident{model="b"} 0',
        'homelab_llm_model_memory_bytes{model="a"} 100',
        'homelab_llm_model_context_tokens{model="a"} 4096',
        'homelab_llm_engine_info{version="0.33.0"} 1',
        "homelab_llm_foreign_models 1",
        "homelab_llm_residency_findings 1",
    ):
        assert f"{sample}\n" in text
    assert 'model_memory_bytes{model="b"}' not in text


def test_a_label_cannot_break_a_line() -> None:
    found = resident()
    found["engine"]["version"] = 'a"b\\c\nd'
    assert 'homelab_llm_engine_info{version="a\\"b\\\\c\\nd"} 1\n' in metrics_text(found)
