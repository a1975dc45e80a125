"""The summary of a run: counts that add up, what was lost and why, and the table."""

from __future__ import annotations

import json
from typing import Any

import pytest

from plugins.plugin_utils.summary import failure, objective_words, result_table, summarise
from tests.unit.benchmarks import SETTINGS, chosen, failed, sample

FACTS = {
    "started_at": "2026-11-21T11:00:00+00:00",
    "ended_at": "2026-11-21T11:01:00+00:00",
    "elapsed_s": 60.0,
    "selection": {"hosts": [], "workloads": [], "limit": None},
    "not_measured": ["coding on beta (m): not selected in this run"],
    "incidents": [],
    "samples_file": "x.jsonl",
}
CASES = chosen(host="alpha", workload="coding") + chosen(workload="embedding")


def summary(samples: list[dict[str, Any]], **facts: Any) -> dict[str, Any]:
    return json.loads(json.dumps(summarise(SETTINGS, CASES, samples, {**FACTS, **facts})))


def run_of(*chats: dict[str, Any]) -> list[dict[str, Any]]:
    vector = {"content": None, "reasoning": None, "usage": None, "dimension": 576, "finish_reason": None}
    return [*chats, *[sample(CASES[1], number, 0.1, **vector) for number in (1, 2, 3)]]


WHOLE = run_of(*[sample(CASES[0], number, float(number)) for number in (1, 2, 3)])
LOSSY = run_of(
    sample(CASES[0], 1, 2.0),
    sample(CASES[0], 2, verdict="failed", error=failed("truncated", "the connection broke")),
    sample(CASES[0], 3, 9.0, verdict="cache_hit"),
)


def test_a_whole_run_fails_nothing() -> None:
    result = summary(WHOLE)
    assert (result["attempts"], result["attempts_planned"], result["verdicts"], result["lost"]) == (6, 6, {"warm": 6}, [])
    assert result["cases"][0]["metrics"]["e2e_s"]["median"] == 2.0
    assert result["cases"][0]["objective"]["met"] is True
    assert failure(result, "x.jsonl") is None


def test_a_lossy_run_names_host_model_and_what_was_lost() -> None:
    result = summary(LOSSY)
    message = failure(result, "x.jsonl")
    assert message is not None
    words = ["5 finished samples of 6", "x.jsonl", "host alpha", "model m", "lost 1 of 3", "truncated: the connection broke"]
    assert [word for word in words if word not in message] == []
    assert (result["cases"][0]["n"], result["cases"][0]["dropped"]) == (1, 2)
    assert result["cases"][0]["metrics"]["e2e_s"]["median"] == 2.0


@pytest.mark.parametrize(
    ("samples", "incidents", "words"),
    [
        (WHOLE, ["host alpha: it was started again"], ["started again", "6 finished"]),
        (WHOLE[1:], [], ["lost 1 of 3", "not attempted"]),
    ],
)
def test_a_restart_or_a_missing_sample_fails_the_run_too(samples, incidents, words) -> None:
    message = failure(summary(samples, incidents=incidents), "x.jsonl")
    assert message is not None
    assert [word for word in words if word not in message] == []


def test_the_table_has_a_line_per_case_and_a_dash_for_unknown() -> None:
    lines = result_table(summary(LOSSY))
    assert len(lines) == 4
    assert lines[0].split()[:6] == ["workload", "host", "model", "n", "time", "TTFT"]
    assert lines[2].split()[:8] == ["coding", "alpha", "m", "1/3", "2.00", "s", "200", "ms"]
    assert "1 truncated" in lines[2]
    assert "1 warm, 1 cache_hit, 1 failed" in lines[2]
    assert "576 dim." in lines[3]
    nothing = result_table(summary([]))
    assert nothing[2].split()[3:8] == ["0/3", "-", "-", "-", "-"]


OBJECTIVES = [
    (None, "-"),
    ({"metric": "e2e_s", "percentile": 50, "limit": 10.0, "met": True}, "met: ≤ 10 s"),
    ({"metric": "ttft_s", "percentile": 90, "limit": 0.5, "met": False}, "missed: ttft_s p90 ≤ 0.5 s"),
    ({"metric": "decode_tokens_per_s", "percentile": 50, "limit": 20.0, "met": None}, "unknown: decode_tokens_per_s p50 ≥ 20"),
]


@pytest.mark.parametrize(("objective", "expected"), OBJECTIVES)
def test_objectives_in_words(objective: dict | None, expected: str) -> None:
    assert objective_words(objective) == expected
