"""The measure of the predictor's errors: its arithmetic, its output, and what it refuses."""

from __future__ import annotations

import importlib.util
import json
import sys
from functools import cache
from pathlib import Path

import pytest

from tests.unit.measured import MODELS, models, rows

ROOT = Path(__file__).resolve().parents[3]
SCRIPT = ROOT / "perf" / "memory_error.py"
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


@cache
def found():
    """Every measured row, predicted once."""
    cases, _seconds, wrong = memory_error.cases_of(rows(), models())
    assert wrong == []
    return cases


def written(path, lines):
    path.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    return str(path)


@pytest.fixture
def few(tmp_path):
    """The first rows, a file that is read in no time."""
    return written(tmp_path / "rows.jsonl", rows()[:14])


WANTED = {"rows", "under_share", "median_pct", "p95_pct", "context_exact_share"}


def test_no_row_is_too_low_and_caches_are_exact():
    for side, cases in found().items():
        sizes = memory_error.figures(cases)
        assert (side, sizes["rows"], sizes["under_share"], sizes["context_exact_share"]) == (side, len(rows()), 0, 1)
        assert (sizes["median_pct"] < 0.1, sizes["p95_pct"] < 0.1) == (True, True)


def test_the_json_has_what_is_asked_for(few, capsys):
    assert memory_error.main([few, str(MODELS), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert WANTED | {"seconds", "device", "host"} == set(said)
    assert set(said["device"]) == WANTED | {"seconds"}
    assert (said["rows"], said["context_exact_share"], said["device"]["context_exact_share"]) == (14, 1, 1)


def test_a_person_sees_rules_parts_and_families(few, capsys):
    assert memory_error.main([few, str(MODELS), "--rows"]) == 0
    text = capsys.readouterr().out
    for words in ("Ollama's own rule", "weights", "llama", "CPU median", "llama3.2-3b-q4_K_M 131072x1 b2048 q4_0", "0.00 %"):
        assert words in text


def test_the_table_of_the_readme_is_current():
    table = memory_error.lines(memory_error.comparison(found(), rows()), markdown=True)
    shown = memory_error.README_TABLE.search((ROOT / "README.md").read_text(encoding="utf-8"))
    assert shown
    assert shown[0] == f"{table}\n", "run make docs"


def test_the_table_is_put_between_its_marks(tmp_path, few, capsys):
    path = tmp_path / "README.md"
    path.write_text("a\n<!-- memory error: begin -->\nold\n<!-- memory error: end -->\nb\n", encoding="utf-8")
    assert memory_error.main([few, str(MODELS), "--readme", str(path)]) == 0
    text = path.read_text(encoding="utf-8")
    assert text.startswith("a\n<!-- memory error: begin -->\n|  | rows |")
    assert text.endswith(" |\n<!-- memory error: end -->\nb\n")
    path.write_text("no marks", encoding="utf-8")
    assert memory_error.main([few, str(MODELS), "--readme", str(path)]) == 2
    assert "lacks the marks" in capsys.readouterr().err


OPTIONAL = (
    "family",
    "file_size",
    "gpu_sim_mib",
    "baselines_mib",
    "output_buffer_mib",
    "context_split_mib",
    "truth_fit_params_mib",
)


def test_rows_without_what_is_optional_are_judged(tmp_path, capsys):
    first = {key: value for key, value in rows()[0].items() if key not in OPTIONAL}
    first["settings"] = {"num_ctx": 4096, "batch": 512}
    assert memory_error.main([written(tmp_path / "rows", [first]), str(MODELS)]) == 0
    assert "0 numbers" not in capsys.readouterr().out
    assert memory_error.main([written(tmp_path / "rows", [first]), str(MODELS), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["rows"], said["under_share"], said["device"]["rows"]) == (1, 0, 0)


def test_an_unknown_architecture_is_bounded_and_what_cannot_be_predicted_counts_as_nothing(tmp_path, capsys):
    row = rows()[0]
    known = models()[row["model"]]
    listed = {
        row["model"]: known,
        "unknown": json.loads(json.dumps(known).replace("llama", "frobnicate")),
        "broken": {"metadata": {"general.architecture": "llama"}},
    }
    (tmp_path / "models").write_text(json.dumps(listed), encoding="utf-8")
    path = written(tmp_path / "rows", [{**row, "model": name} for name in listed])
    assert memory_error.main([path, str(tmp_path / "models"), "--json"]) == 1
    shown = capsys.readouterr()
    said = json.loads(shown.out)
    assert (said["rows"], round(3 * said["under_share"])) == (3, 1)
    assert shown.err.startswith("memory_error: row 3 (broken): MemoryShapeError: ")


ROW = {"model": "x", "settings": {"num_ctx": 1}, "truth_mib": {"weights": 1, "context": 1, "compute": 1, "total": 3}}


@pytest.mark.parametrize(
    ("rows_text", "models_text", "words"),
    [
        ("", "{}", "rows: no rows"),
        (json.dumps(ROW), "{}", "models: lacks x, of which"),
        (json.dumps(ROW), "[]", "models: got a list"),
        (json.dumps(ROW), '{"x": {}}', "x has no metadata"),
        ('{"model": "x"}', "{}", "rows:1: lacks settings, truth_mib"),
        ("[1]", "{}", "rows:1: got a list, expected an object"),
        (json.dumps({**ROW, "truth_mib": {"total": 1}}), "{}", "rows:1: the measured sizes of cpu are not"),
        ("\n{", "{}", "rows:2: is no JSON"),
        (json.dumps(ROW), "{", "models: is no JSON"),
    ],
)
def test_files_that_cannot_be_used(rows_text, models_text, words, tmp_path, capsys):
    (tmp_path / "rows").write_text(rows_text, encoding="utf-8")
    (tmp_path / "models").write_text(models_text, encoding="utf-8")
    assert memory_error.main([str(tmp_path / "rows"), str(tmp_path / "models")]) == 2
    assert words in capsys.readouterr().err


def test_files_that_are_not_there(tmp_path, capsys):
    assert memory_error.main([str(tmp_path), str(tmp_path / "none")]) == 2
    assert "cannot be read" in capsys.readouterr().err
