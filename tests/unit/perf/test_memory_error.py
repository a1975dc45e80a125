"""The measure of the predictor's errors: its arithmetic, its output, and what it refuses."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import pytest

from tests.unit.measured import MODELS, ROWS, rows

SCRIPT = Path(__file__).resolve().parents[3] / "perf" / "memory_error.py"
SPEC = importlib.util.spec_from_file_location("memory_error", SCRIPT)
memory_error = importlib.util.module_from_spec(SPEC)
sys.modules["memory_error"] = memory_error
SPEC.loader.exec_module(memory_error)


@pytest.mark.parametrize(
    ("predicted", "truth", "under"),
    [(100, 100, False), (92.1, 100, False), (91.9, 100, True), (9901, 10000, False), (9899, 10000, True), (200, 100, False)],
)
def test_too_low_is_more_than_one_percent_or_eight_mib(predicted, truth, under):
    assert memory_error.is_under(predicted, truth) is under


@pytest.mark.parametrize(
    ("values", "share", "expected"), [([], 0.95, 0), ([3], 0.95, 3), (range(1, 101), 0.95, 95), ([1, 2, 3, 4], 0.5, 2)]
)
def test_percentiles(values, share, expected):
    assert memory_error.percentile(values, share) == expected


def case(truth, predicted, context=(0, 0)):
    sizes = ({"total": truth, "context": context[0]}, {"total": predicted, "context": context[1]})
    return memory_error.Case("m", "f", {}, *sizes)


def test_figures_of_few_cases():
    found = memory_error.figures([case(1000, 1010), case(1000, 980, (5, 7)), case(1000, 1000, (5, 5.9)), case(1000, 900)])
    assert found == {"rows": 4, "under_share": 0.5, "median_pct": 1.5, "p95_pct": 10, "context_exact_share": 0.75}


def test_the_json_has_what_is_asked_for(capsys):
    assert memory_error.main([str(ROWS), str(MODELS), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    wanted = {"rows", "under_share", "median_pct", "p95_pct", "context_exact_share"}
    assert wanted | {"seconds", "device", "host"} == set(found)
    assert set(found["device"]) == wanted
    assert (found["rows"], found["context_exact_share"], found["device"]["context_exact_share"]) == (len(rows()), 1, 1)


def test_a_person_sees_rules_parts_and_families(capsys):
    assert memory_error.main([str(ROWS), str(MODELS), "--rows"]) == 0
    text = capsys.readouterr().out
    for words in ("Ollama's own rule", "weights", "gemma3", "CPU median", "llama3.2-3b-q4_K_M 131072x1 b2048 q4_0"):
        assert words in text


def test_the_readmes_table_is_markdown(capsys):
    assert memory_error.main([str(ROWS), str(MODELS), "--markdown"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 9
    assert {line.count("|") for line in lines} == {7}


@pytest.mark.parametrize(
    ("rows_text", "models_text", "words"),
    [("", "{}", "no rows"), ('{"model": "x"}', "{}", "['x']"), ("{", "{}", "memory_error:")],
)
def test_files_that_do_not_belong_together(rows_text, models_text, words, tmp_path, capsys):
    (tmp_path / "rows").write_text(rows_text, encoding="utf-8")
    (tmp_path / "models").write_text(models_text, encoding="utf-8")
    assert memory_error.main([str(tmp_path / "rows"), str(tmp_path / "models")]) == 2
    assert words in capsys.readouterr().err
